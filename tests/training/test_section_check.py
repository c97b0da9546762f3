import shutil
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import tifffile

from napari_nh2st.errors import Cancelled
from napari_nh2st.expression import read_sheet
from napari_nh2st.training.sections.section_check import (
    NO_PATIENT,
    check_section,
    check_sections,
    check_together,
    named,
    shared_genes,
)
from support.sections import GENES, sheet
from support.slides import tiff


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for sample in read_sheet(sheet(folder, ("A", "P", 1), ("B", "Q", 2))):  # stained: grey is no tissue
        pixels = (tifffile.imread(sample.slide) * np.array([1.0, 0.6, 0.9])).astype(np.uint8)
        tiff(sample.slide, pixels, resolution=(1e4, 1e4), resolutionunit=3)
    return folder


@pytest.fixture
def samples(made, tmp_path):
    return read_sheet(shutil.copytree(made, tmp_path / "own") / "samples.csv")


def change(sample, how):
    data = ad.read_h5ad(sample.expression)
    data = how(data) or data
    data.write_h5ad(sample.expression)
    return check_section(sample)


def test_good_sections_bring_their_facts(samples):
    facts = check_sections(samples)
    assert [f.state for f in facts] == ["good", "good"], [f.says for f in facts]
    assert facts[0].spots == facts[0].on_tissue > 50
    assert facts[0].mpp == pytest.approx(1.0)
    assert facts[0].pitch_um == pytest.approx(144)
    assert shared_genes(facts) == frozenset(GENES)
    assert check_together(facts) == ([], [])


def test_spots_that_lie_off_the_image_stop_a_run(samples):
    def shift(data):
        data.obsm["spatial"] += 900.0

    facts = change(samples[0], shift)
    assert facts.state == "stop"
    assert "lie off A.tif" in facts.says[0]
    assert check_together([facts])[0][0].startswith("A: ")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda d: setattr(d, "X", d.X * 0.37), "no raw counts (whole numbers, 0 and up): "),
        (lambda d: setattr(d, "X", -d.X), "it contains -"),
        (lambda d: setattr(d, "X", d.X * np.nan), "it contains nan"),
        (lambda d: setattr(d, "X", d.X * 0), "all values are 0"),
        (lambda d: setattr(d, "obs_names", ["same"] * d.n_obs), "spot ids repeat (same)"),
        (lambda d: d.obsm["spatial"].__setitem__(2, np.nan), "positions that are not numbers: 1"),
        (lambda d: d.obsm.__delitem__("spatial"), "spatial"),
    ],
)
def test_what_cannot_be_read_says_why(samples, how, words):
    facts = change(samples[0], how)
    assert facts.state == "stop"
    assert words in facts.says[0]
    assert "sample A" not in facts.says[0]


def test_what_is_odd_is_told_and_stops_nothing(samples):
    def few(data):
        data.X[3] = 0
        return data[:20].copy()

    facts = change(samples[0], few)
    assert facts.state == "look"
    assert any("without any count" in s for s in facts.says)
    assert any("only 19 spots" in s for s in facts.says)


def test_too_few_spots_stop_a_run(samples):
    facts = change(samples[0], lambda data: data[:4].copy())
    assert facts.state == "stop"
    assert "only 4 spots" in facts.says[0]


def test_genes_of_one_name_are_told(samples):
    facts = change(samples[0], lambda data: setattr(data, "var_names", ["DARK", "DARK", "NOISE", "REST"]))
    assert facts.state == "look"
    assert any("genes with the name of an earlier one: 1" in text for text in facts.says)


def test_genes_in_another_order_are_the_same(samples):
    change(samples[1], lambda data: data[:, ["REST", "DARK", "NOISE", "LIGHT"]].copy())
    facts = check_sections(samples)
    assert check_together(facts) == ([], [])
    assert shared_genes(facts) == frozenset(GENES)


def test_spots_that_only_lie_elsewhere_are_placed_by_the_sheet(samples):
    def shift(data):
        data.obsm["spatial"] = data.obsm["spatial"] * 2 + 900.0

    assert change(samples[0], shift).state == "stop"
    facts = check_section(replace(samples[0], scale=0.5, x=-450, y=-450))
    assert facts.state == "good"
    assert facts.pitch_um == pytest.approx(144)


def test_no_spot_over_tissue_stops_a_run(samples):
    white = np.full((1600, 1600, 3), 250, np.uint8)
    white[1590:, 1590:] = (170, 90, 150)
    tiff(samples[0].slide, white, resolution=(1e4, 1e4), resolutionunit=3)
    facts = check_section(samples[0])
    assert facts.state == "stop"
    assert any("no spot lies over tissue" in text for text in facts.says)


def test_what_only_names_tell_needs_no_file(samples):
    facts = check_sections(samples)
    for path in (samples[0].slide, samples[0].expression):
        path.unlink()
    first, second = facts
    for changes, words in (
        ({"patient": ""}, "which patient is it?"),
        ({"sample": ""}, "has no name"),
        ({"sample": "B"}, "another section is named B too"),
        ({"slide": second.sample.slide, "expression": second.sample.expression}, "are listed twice"),
    ):
        wrong = replace(first, sample=replace(first.sample, **changes))
        told = named([wrong, second])[0]
        assert told.state == "stop"
        assert words in told.says[0]
        mended = named([replace(wrong, sample=first.sample), second])
        assert [f.state for f in mended] == ["good", "good"]


def test_sections_without_a_patient_are_told_together(samples):
    facts = [replace(f, sample=replace(f.sample, patient="")) for f in check_sections(samples)]
    facts[1] = replace(facts[1], state="stop", says=("it cannot be read",))
    stop, look = check_together(named(facts))
    assert stop == [f"A, B: {NO_PATIENT}", "B: it cannot be read"]
    assert look == []


def test_few_genes_in_common_are_told(samples):
    change(samples[1], lambda data: setattr(data, "var_names", ["DARK", "X", "Y", "Z"]))
    _, look = check_together(check_sections(samples))
    assert look == [
        "genes that were measured in every section: only 1 (A has the fewest, 4); a model learns no other ones"
    ]


def test_pixels_of_very_different_size_are_told(samples):
    facts = check_sections([samples[0], replace(samples[1], mpp=2.0)])
    _, look = check_together(facts)
    assert look[0].startswith("pixels are 1 to 2 µm wide")
    assert facts[1].mpp_source == "sheet"


def test_sections_are_seen_together(samples, tmp_path):
    change(samples[1], lambda d: setattr(d, "var_names", ["ENSG1", "ENSG2", "ENSG3", "ENSG4"]))
    stop, _ = check_together(check_sections(samples))
    assert "no gene in common" in stop[0]
    _, look = check_together(check_sections(samples[:1]))
    assert "one section" in look[0]
    alike = read_sheet(sheet(tmp_path, ("A", "P", 1), ("C", "P", 3)))
    assert "one patient" in check_together(check_sections(alike))[1][0]


def test_a_slide_without_pixel_size_asks_for_it(samples):
    tifffile.imwrite(samples[0].slide, np.full((1600, 1600, 3), 180, np.uint8), photometric="rgb")
    facts = check_section(samples[0])
    assert facts.state == "stop"
    assert "column mpp" in facts.says[0]


def test_looking_can_be_stopped(samples):
    with pytest.raises(Cancelled):
        check_sections(samples, cancelled=lambda: True)


def test_one_section_in_two_rows_and_a_patient_written_in_two_ways_are_said(samples):
    a, b = check_sections(samples)
    twin = replace(a, sample=replace(a.sample, sample="C", patient="p "))
    stop, look = check_together([a, b, twin])
    assert stop == []
    assert "A (patient P) and C (patient p ) are one section (they lie on one slide): hold out both or none" in look[0]
    assert look[1].startswith("patients P and p  are taken for one person")
