import anndata as ad
import numpy as np
import pytest
import tifffile

from napari_nh2st.errors import Cancelled
from napari_nh2st.expression import read_sheet
from napari_nh2st.training.sections import about_all, look_at, look_at_all, shared_genes
from support.sections import GENES, sheet
from support.slides import tiff


@pytest.fixture
def samples(tmp_path):
    found = read_sheet(sheet(tmp_path, ("A", "P", 1), ("B", "Q", 2)))
    for sample in found:  # stained: grey is no tissue
        pixels = (tifffile.imread(sample.slide) * np.array([1.0, 0.6, 0.9])).astype(np.uint8)
        tiff(sample.slide, pixels, resolution=(1e4, 1e4), resolutionunit=3)
    return found


def change(sample, how):
    data = ad.read_h5ad(sample.expression)
    data = how(data) or data
    data.write_h5ad(sample.expression)
    return look_at(sample)


def test_good_sections_bring_their_facts(samples):
    facts = look_at_all(samples)
    assert [f.state for f in facts] == ["good", "good"], [f.says for f in facts]
    assert facts[0].spots == facts[0].on_tissue > 50
    assert facts[0].mpp == pytest.approx(1.0)
    assert facts[0].pitch_um == pytest.approx(144)
    assert shared_genes(facts) == frozenset(GENES)
    assert about_all(facts) == ([], [])


def test_spots_that_lie_off_the_image_stop_a_run(samples):
    def shift(data):
        data.obsm["spatial"] += 900.0

    facts = change(samples[0], shift)
    assert facts.state == "stop"
    assert "lie off A.tif" in facts.says[0]
    assert about_all([facts])[0][0].startswith("A: ")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda d: setattr(d, "X", d.X * 0.5), "no raw counts"),
        (lambda d: setattr(d, "X", -d.X), "no raw counts"),
        (lambda d: setattr(d, "obs_names", ["same"] * d.n_obs), "repeat"),
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


def test_sections_are_seen_together(samples, tmp_path):
    change(samples[1], lambda d: setattr(d, "var_names", ["ENSG1", "ENSG2", "ENSG3", "ENSG4"]))
    stop, _ = about_all(look_at_all(samples))
    assert "no gene in common" in stop[0]
    _, look = about_all(look_at_all(samples[:1]))
    assert "one section" in look[0]
    alike = read_sheet(sheet(tmp_path, ("A", "P", 1), ("C", "P", 3)))
    assert "one patient" in about_all(look_at_all(alike))[1][0]


def test_a_slide_without_pixel_size_asks_for_it(samples):
    tifffile.imwrite(samples[0].slide, np.full((1600, 1600, 3), 180, np.uint8), photometric="rgb")
    facts = look_at(samples[0])
    assert facts.state == "stop"
    assert "column mpp" in facts.says[0]


def test_looking_can_be_stopped(samples):
    with pytest.raises(Cancelled):
        look_at_all(samples, cancelled=lambda: True)
