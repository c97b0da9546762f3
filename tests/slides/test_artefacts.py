"""Blur, ink, folds and bubbles: what is planted is found, clean tissue is left alone, at any scanner's pixel size."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st.demo.artefacts import INKS, PLANTS, plant
from napari_nh2st.demo.tissue import make_section
from napari_nh2st.errors import Cancelled, MppNeeded
from napari_nh2st.slides import artefact_rules, find_artefacts, open_slide
from napari_nh2st.slides.artefacts import KINDS, CleanTissue, count_kinds, counts_in_words, shares_in_words

NAMES = [kind.name for kind in KINDS]
COUNTS = {"blur": 2, "fold": 2, "bubble": 2, "pen": 2}
SIDE = 8  # um


@pytest.fixture(scope="module")
def section():
    """A section of a seed on which no rule was set, 1 um per pixel."""
    return make_section(21, size_mm=(3.2, 2.8)).image


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Open a picture as a slide."""
    folder, slides = tmp_path_factory.mktemp("slides"), []

    def open_(image, mpp=1.0):
        path = folder / f"{len(slides)}.tif"
        tifffile.imwrite(path, image, photometric="rgb", tile=(256, 256))
        slides.append(open_slide(path, mpp=mpp))
        return slides[-1]

    yield open_
    for slide in slides:
        slide.close()


@pytest.fixture(scope="module")
def planted(section):
    return plant(section, 1.0, 3, COUNTS)


@pytest.fixture(scope="module")
def found(opened, planted):
    return opened(planted.image).artefacts()


def coarse(there):
    height, width = (side // SIDE for side in there.shape)
    return there[: height * SIDE, : width * SIDE].reshape(height, SIDE, width, SIDE).mean(axis=(1, 3)) > 0.5


def test_every_kind_has_a_rule_a_plant_and_a_colour_of_its_own():
    assert set(artefact_rules.RULES) == set(NAMES) == set(PLANTS) == set(artefact_rules.SMALLEST)
    assert len({kind.colour for kind in KINDS}) == len(KINDS)
    assert all(kind.title and kind.about and kind.method for kind in KINDS)


@pytest.mark.parametrize(
    ("kind", "recall", "precision"), [("pen", 0.9, 0.8), ("fold", 0.5, 0.7), ("bubble", 0.5, 0.8), ("blur", 0.6, 0.7)]
)
def test_what_is_planted_alone_is_found(opened, section, kind, recall, precision):
    hit = own = said = 0
    for seed in (1, 2):
        planted = plant(section, 1.0, seed, {kind: 2})
        labels = opened(planted.image).artefacts().labels
        truth = coarse(planted.truth[kind])
        labels = labels[tuple(slice(side) for side in truth.shape)]
        as_kind = labels == NAMES.index(kind) + 1
        hit += (as_kind & truth).sum()
        own += (truth & coarse(planted.tissue)).sum()
        said += (labels > 0).sum()
    assert hit / own >= recall
    assert hit / said >= precision


def test_clean_tissue_is_left_alone(opened, section):
    assert sum(opened(section).artefacts().shares.values()) < 0.005


@pytest.mark.parametrize("mpp", [0.5, 1.6])
def test_the_same_tissue_at_another_pixel_size_gives_the_same_answer(opened, planted, found, mpp):
    height, width = (round(side / mpp) for side in planted.image.shape[:2])
    image = np.asarray(Image.fromarray(planted.image).resize((width, height), Image.Resampling.BICUBIC))
    other = opened(image, mpp=mpp).artefacts()
    assert found.labels.max() == len(KINDS)
    assert sum(found.shares.values()) > 0.1
    assert other.shares == pytest.approx(found.shares, abs=0.02)
    shape = np.minimum(other.labels.shape, found.labels.shape)
    both = [labels[: shape[0], : shape[1]] for labels in (other.labels, found.labels)]
    assert (both[0] != both[1]).mean() < 0.02


def test_it_is_read_in_blocks_and_these_leave_no_seams(opened, planted, found, monkeypatch):
    monkeypatch.setattr(find_artefacts, "BLOCK", 96)
    monkeypatch.setattr(find_artefacts, "WIDE", 200)
    slide, sizes = opened(planted.image), []
    read = slide.read
    monkeypatch.setattr(slide, "read", lambda *where: sizes.append(where[2] * where[3]) or read(*where))
    slide.tissue()
    sizes.clear()
    labels = slide.artefacts().labels
    assert max(sizes) <= ((96 + 2 * artefact_rules.REACH) * artefact_rules.PER) ** 2
    assert (labels != found.labels).mean() < 0.005


def test_nuclei_and_iron_are_no_ink():
    """Colours of dense nuclei, of haemosiderin and of blood, as even fields: the worst case."""
    norms = artefact_rules.Norms(0.5, -0.4, -0.3, 0.2)
    for colour in [(60, 40, 110), (40, 28, 80), (120, 80, 40), (90, 55, 25), (190, 40, 60), (70, 20, 60)]:
        light = np.full((60, 60, 3), colour, np.float32)
        view = artefact_rules.View(light, np.zeros((60, 60), np.float32), np.ones((60, 60), bool), norms)
        assert not artefact_rules.pen(view).any(), colour
    for name, density in INKS.items():
        light = 256 * 10 ** -np.broadcast_to(np.array(density, np.float32), (60, 60, 3)) - 1
        view = artefact_rules.View(light, np.zeros((60, 60), np.float32), np.ones((60, 60), bool), norms)
        assert artefact_rules.pen(view).mean() > 0.9, name


def test_shares_are_of_the_tissue_and_of_each_tile(found, planted):
    ground = found.ground
    assert found.shares["pen"] == pytest.approx((found.labels == 1).sum() / ground)
    height, width = planted.image.shape[:2]
    whole = found.shares_at([(width / 2, height / 2)], 2 * max(height, width))
    assert whole.shape == (1, len(KINDS))
    row, column = np.argwhere(found.labels == 1)[200]
    at = [((column + 0.5) * found.step, (row + 0.5) * found.step)]
    inside = found.shares_at(at, 0.9 * found.step)[0]
    assert inside.tolist() == pytest.approx([1, 0, 0, 0], abs=1e-9)
    clean = CleanTissue(found.any(), found, 0.25)
    assert clean.fraction_at(at, 8.0).tolist() == [0]


def test_tiles_are_counted_by_the_kind_that_covers_most():
    shares = np.array([[0.2, 0.1, 0, 0], [0.2, 0, 0, 0], [0, 0, 0, 0.9], [0, 0, 0, 0.3]])
    counts = count_kinds(shares, 0.25)
    assert counts == {"pen": 1, "fold": 0, "bubble": 0, "blur": 2}
    assert counts_in_words(counts) == "3 (pen 1, out of focus 2)"
    assert counts_in_words(count_kinds(np.zeros((0, 4)))) == "0"


def test_cancel_and_missing_pixel_size(opened, section, tmp_path):
    told = []
    with pytest.raises(Cancelled):
        opened(section).artefacts(tell=lambda done, total: told.append(done), cancelled=lambda: bool(told))
    assert told == [0]
    tifffile.imwrite(tmp_path / "s.tif", section[:512, :512], photometric="rgb")
    with open_slide(tmp_path / "s.tif") as slide:
        assert slide.artefact_shares is None
        with pytest.raises(MppNeeded):
            slide.artefacts()
        other = slide.with_mpp(1.0)
        assert set(other.artefacts().shares) == set(NAMES)
        assert slide.artefact_shares is None


def test_pixels_too_coarse_to_tell_focus(opened, section):
    image = np.asarray(Image.fromarray(section).reduce(4))
    found = opened(image, mpp=4.0).artefacts()
    assert set(found.shares) == set(NAMES) - {"blur"}
    assert "too coarse" in found.remark


def test_fluorescence_has_none_of_these(data_dir):
    with open_slide(data_dir / "slides" / "test3-TRITC 2 (560).ndpi") as slide:
        found = slide.artefacts()
    assert found.shares == {}
    assert "fluorescence" in shares_in_words(found)


def test_real_sections_are_nearly_clean(data_dir):
    with (data_dir / "her2st" / "samples.csv").open() as file:
        mpps = {row["sample"]: float(row["mpp"]) for row in csv.DictReader(file)}
    for name in ("B4", "C2"):
        with open_slide(data_dir / "her2st" / f"{name}.jpg", mpp=mpps[name]) as slide:
            assert sum(slide.artefacts().shares.values()) < 0.02, name
    with open_slide(data_dir / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert sum(slide.artefacts().shares.values()) < 0.02
