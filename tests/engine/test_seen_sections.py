"""Sections seen in training are recognised by content; by name only where nothing else is kept."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st.engine.descriptor_file import DESCRIPTORS, put_descriptors, read_descriptors
from napari_nh2st.engine.section_descriptor import (
    UNDESCRIBED,
    SectionDescriptor,
    box_of_spots,
    describe_section,
    same_section,
    same_sections,
)
from napari_nh2st.engine.seen_sections import SeenSections
from napari_nh2st.errors import ModelError
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.geometry import Box
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.slides import open_slide
from support.models import small_card
from support.sections import detailed_sheet


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return read_sheet(detailed_sheet(tmp_path_factory.mktemp("two"), ("A", "P", 1), ("B", "Q", 2)))


def described(sample, slide=None, data=None):
    with open_slide(slide or sample.slide, mpp=sample.mpp) as opened:
        return describe_section(opened, read_expression(sample) if data is None else data)


@pytest.fixture(scope="module")
def a(samples):
    return described(samples[0])


@pytest.fixture(scope="module")
def b(samples):
    return described(samples[1])


def seen(sample, descriptor, tmp_path, **more):
    """A model folder that was trained on one section."""
    entry = TrainingSample(sample=sample.sample, patient=sample.patient, spots=9, fingerprint=descriptor.fingerprint)
    card = small_card(training=[entry], **more)
    (tmp_path / "card.json").write_text(card.model_dump_json())
    put_descriptors({(entry.sample, entry.fingerprint): descriptor}, tmp_path)
    return SeenSections.of(card, tmp_path)


def other_counts(descriptor):
    """Without the counts, so that the picture alone must tell."""
    return replace(descriptor, marks=None)


def test_two_sections_are_two(a, b):
    assert same_section(a, b) is None
    assert same_sections([a, b, a]) == [(0, 2, "file")]
    assert same_section(UNDESCRIBED, UNDESCRIBED) is None


def test_a_section_is_known_under_any_name(samples, a, b, tmp_path):
    known = seen(samples[0], a, tmp_path)
    assert known.find(a, "other", "someone").section.sample == "A"
    assert known.find(b, "B", "Q") is None
    assert known.find(b, "A", "P") is None  # its name alone says nothing: its content is another
    assert not known.only_fingerprints
    assert known.has_patient("p ")
    assert not known.has_patient("Q")


COPIES = {
    "a JPEG of it": lambda p: (p, 1.0, (0, 0)),
    "cropped": lambda p: (p[300:1300, 200:1400], 1.0, (-200, -300)),
    "at half the size": lambda p: (np.asarray(Image.fromarray(p).reduce(2)), 0.5, (0, 0)),
    "upside down": lambda p: (p[::-1], None, None),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_its_slide_is_known_by_its_picture(samples, a, b, tmp_path, how):
    pixels, scale, moved = COPIES[how](tifffile.imread(samples[0].slide))
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "copy.jpg", quality=70)
    data = read_expression(samples[0])
    spots = data.obsm["spatial"]
    data.obsm["spatial"] = spots * [1, -1] + [0, len(pixels)] if scale is None else spots * scale + moved
    copy = described(replace(samples[0], mpp=1.0 / (scale or 1.0)), tmp_path / "copy.jpg", data)
    assert same_section(other_counts(a), copy) == "picture"
    assert same_section(a, copy) == "counts"
    assert same_section(other_counts(b), copy) is None


def test_the_same_counts_are_known_on_another_slide(samples, a, b):
    data = read_expression(samples[0])
    names = [f"spot {i}" for i in range(data.n_obs)]
    data.obs_names, data.var_names = names, [f"ENSG{i}" for i in range(data.n_vars)]
    copy = described(samples[0], samples[1].slide, data[::-1][: data.n_obs // 2].copy())
    assert same_section(a, copy) == "counts"
    assert same_section(other_counts(a), copy) is None


def test_several_sections_on_one_slide_are_several(a):
    def at(x, y, marks=None):
        return SectionDescriptor(a.fingerprint, Box(x, y, x + 1000, y + 800), None, marks)

    assert same_section(at(0, 0), at(5000, 0)) is None
    assert same_section(at(0, 0), at(0, 2000)) is None
    assert same_section(at(0, 0), at(1010, 0)) == "file"  # the other half of one
    assert same_section(at(0, 0), SectionDescriptor(a.fingerprint)) == "file"


def test_spots_have_a_part_of_the_slide():
    spots = np.array([[100.0, 100], [200, 100], [100, 200], [9000, 50]])
    assert box_of_spots(spots, (1000, 1000)) == Box(0, 0, 300, 300)
    assert box_of_spots(spots + 1e6, (1000, 1000)) is None
    assert box_of_spots(spots[:1], (1000, 1000)) == Box(100, 100, 100, 100)


def test_old_cards_are_asked_for_what_they_have(samples, a, b):
    training = [TrainingSample(sample="A", patient="P", spots=9, fingerprint=a.fingerprint)]
    old = SeenSections.of(small_card(training=training))
    assert old.only_fingerprints
    assert old.find(a, "other", "someone").witness == "file"
    assert old.find(b, "A", "p").witness == "name"
    assert old.find(b, "A", "").witness == "name"
    assert old.find(b, "A", "someone") is None


def test_what_the_base_has_seen_is_seen(samples, a):
    before = [TrainingSample(sample="A", patient="P", spots=9, fingerprint=a.fingerprint)]
    tuned = SeenSections.of(small_card(training=[], seen_before=before))
    assert tuned.find(a, "x").section.sample == "A"
    assert tuned.has_patient("P")


def test_descriptors_are_small_and_come_back_as_they_were(samples, a, tmp_path):
    known = seen(samples[0], a, tmp_path)
    (again,) = known.descriptors.values()
    np.testing.assert_array_equal(again.keypoints.words, a.keypoints.words)
    np.testing.assert_array_equal(again.marks, a.marks)
    np.testing.assert_allclose(again.keypoints.sizes, a.keypoints.sizes, rtol=1e-3)
    assert (tmp_path / DESCRIPTORS).stat().st_size < 25_000
    assert read_descriptors(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("harm", ["cut", "nonsense", "shape", "json", "key"])
def test_damaged_descriptors_are_one_line(samples, a, tmp_path, harm):
    from safetensors.numpy import load_file, save_file

    seen(samples[0], a, tmp_path)
    path = tmp_path / DESCRIPTORS
    tensors, meta = load_file(path), {"version": "1", "sections": '[["A", null]]'}
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif harm == "nonsense":
        path.write_bytes(b"nonsense" * 100)
    else:
        if harm == "shape":
            tensors["words.0"] = tensors["words.0"][:, :3].copy()
        elif harm == "json":
            meta["sections"] = "[" * 5000
        else:
            del tensors["places.0"]
        save_file(tensors, path, metadata=meta)
    with pytest.raises(ModelError, match="cannot be read") as error:
        read_descriptors(tmp_path)
    assert "\n" not in str(error.value)


def test_the_bundled_models_have_descriptors():
    from napari_nh2st.model.folder import bundled_models, find_model, load_card

    for name in bundled_models():
        assert not SeenSections.of(load_card(name), find_model(name)).only_fingerprints, name
