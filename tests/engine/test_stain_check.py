"""A slide from afar: its stain and its pixel size against those of the training sections."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_nh2st.engine import stain_check
from napari_nh2st.engine.places import problems_of, warnings_for
from napari_nh2st.engine.stain_check import measure_stain, not_h_and_e
from napari_nh2st.model.reference import Part, Reference
from napari_nh2st.slides import open_slide
from support.models import small_card
from support.slides import tiff

PINK = np.array([0.45, 0.65, 0.4])  # optical density of the tissue


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(stain_check, "_STAINS", {})


def tissue(density, side: int = 900, seed: int = 0, glass: float = 240) -> np.ndarray:
    """Tissue of this mean optical density, uneven, on glass."""
    rng = np.random.default_rng(seed)
    uneven = 1 + 0.3 * gaussian_filter(rng.normal(size=(side, side)), 4) * 10
    pixels = 256 * np.exp(-np.asarray(density) * uneven.clip(0.7, 1.3)[..., None]) - 1
    pixels[: side // 6] = pixels[:, : side // 6] = glass
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture
def slide(tmp_path):
    made = []

    def make(pixels: np.ndarray, mpp: float = 0.7):
        path = tiff(tmp_path / f"{len(made)}.tif", pixels, resolution=(1e4 / mpp,) * 2, resolutionunit=3)
        made.append(open_slide(path))
        return made[-1]

    yield make
    for opened in made:
        opened.close()


def reference(*colours) -> Reference:
    part = Part(0, 1, np.zeros(1, np.float32), np.ones(1, np.float32), np.eye(1, dtype=np.float16), 1.0)
    return Reference([part], np.array(colours, dtype=np.float32), 100)


def said(opened, card=None, *colours) -> list[str]:
    measure_stain(opened)
    return problems_of(opened, card or small_card(training_mpp=[0.69, 0.7]), reference(*(colours or (PINK,))))


@pytest.fixture
def pink(slide) -> np.ndarray:
    """Return the stain of usual tissue, as it is measured."""
    return measure_stain(slide(tissue(PINK))).colour


def test_the_colour_is_the_mean_density_of_the_tissue_without_the_glass(slide):
    pixels = np.full((1800, 1800, 3), 240, dtype=np.uint8)
    pixels[700:, 700:] = (200, 100, 150)  # less glass would be taken for a hole in the tissue
    found = measure_stain(slide(pixels))
    assert found.colour == pytest.approx(-np.log((np.array([200, 100, 150]) + 1) / 256), rel=0.12)
    assert not found.dark


@pytest.mark.parametrize("density", [PINK, PINK * 1.3, PINK * 0.75, PINK * [1.05, 0.97, 1.0]])
def test_a_stain_like_that_of_the_training_is_no_alarm(slide, pink, density):
    assert said(slide(tissue(density)), None, pink) == []


@pytest.mark.parametrize(
    ("density", "words"),
    [
        (PINK * [0.5, 1.1, 1.2], "redder"),
        (PINK * [1.3, 1.0, 0.6], "bluer"),
        (PINK * [1.3, 0.6, 1.3], "greener"),
        (PINK * [1.8, 1.0, 1.0], "bluer"),
        (PINK * [0.8, 1.0, 1.6], "yellower"),
        (PINK * 0.45, "much paler"),
        (PINK * 2.2, "much darker"),
    ],
)
def test_another_stain_is_named(slide, pink, density, words):
    odd = slide(tissue(density))
    (sentence,) = said(odd, None, pink)
    assert words in sentence
    assert "small-context" in sentence
    assert said(odd, None, pink, measure_stain(odd).colour) == []  # a section of the training has it


def test_fluorescence_is_named(slide):
    pixels = np.zeros((900, 900, 3), np.uint8)
    pixels[300:400, 300:400] = (255, 40, 0)
    (sentence,) = said(slide(pixels))
    assert "dark, as in fluorescence" in sentence
    assert not_h_and_e(measure_stain(slide(pixels))).startswith("This slide is dark, as in fluorescence.")


def test_a_slide_without_colour_is_told_from_a_stain(slide, pink):
    assert not_h_and_e(measure_stain(slide(tissue(np.full(3, 0.6))))) == (
        "This slide has no colour. The models read H&E: open the scan in colour."
    )
    for fine in (tissue(PINK), tissue(PINK * 0.4), np.full((500, 500, 3), 243, np.uint8)):
        assert not_h_and_e(measure_stain(slide(fine))) == ""


def test_glass_alone_and_a_model_without_a_record_say_nothing(slide):
    empty = slide(np.full((500, 500, 3), 243, np.uint8))
    assert measure_stain(empty).colour is None
    assert said(empty) == []
    odd = slide(tissue(PINK * 0.4))
    measure_stain(odd)
    assert problems_of(odd, small_card(training_mpp=[0.7])) == []


def test_it_is_said_when_somebody_has_looked_and_the_command_line_looks(slide):
    odd, card = slide(tissue(PINK * 0.4)), small_card(training_mpp=[0.7])
    assert problems_of(odd, card, reference(PINK)) == []  # quick: nothing is read
    assert any("paler" in sentence for sentence in warnings_for(odd, card, reference(PINK)))
    assert any("paler" in sentence for sentence in problems_of(odd, card, reference(PINK)))


def test_it_is_read_once(slide, monkeypatch):
    opened = slide(tissue(PINK))
    found = measure_stain(opened)
    monkeypatch.setattr(opened, "read", None)
    assert measure_stain(opened) is found


@pytest.mark.parametrize(
    ("mpp", "typed", "words"),
    [
        (0.25, False, None),  # a finer scan is read as coarse as the model wants it
        (0.25, True, "typed in (0.25 um)"),
        (0.4, True, None),
        (1.3, False, None),
        (1.45, False, "coarser (1.45 um per pixel) than those"),
        (2.0, False, "detail it looks for is not there"),
    ],
)
def test_pixel_sizes_far_from_the_training(slide, mpp, typed, words):
    opened = slide(tissue(PINK, side=300), mpp=mpp)
    opened = opened.with_mpp(mpp) if typed else opened
    found = problems_of(opened, small_card(training_mpp=[0.69, 0.7]))
    assert (found == []) if words is None else (words in found[0] and len(found) == 1)
    assert len(problems_of(opened, small_card())) == (mpp == 2.0)  # nothing is known of its training slides
