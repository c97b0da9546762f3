import numpy as np
import pytest
import torch

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.geometry import SELF
from napari_nh2st.training.data.batches import StepPlan, windows_a_step
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.data.window_batches import WindowBatches
from napari_nh2st.training.data.windows import WindowCutter, cover, turn
from napari_nh2st.training.sections.blocks import hold_out_blocks
from napari_nh2st.training.sections.section import load_section
from support.models import small_card
from support.sections import GENES, sheet


@pytest.fixture(scope="module")
def card():
    return small_card(genes=GENES, gene_means=[0.0] * 4)


@pytest.fixture(scope="module")
def section(tmp_path_factory, card):
    sample = read_sheet(sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1)))[0]
    out = load_section(sample, read_expression(sample), card)
    hold_out_blocks([out], 0.2, seed=0, scored=False)
    return out


@pytest.fixture(scope="module")
def cutter():
    return WindowCutter(LabelScale.none(4))


def darkness(pixels, centre):
    x, y = (round(float(v)) for v in centre)
    return -pixels[y - 40 : y + 40, x - 40 : x + 40].float().mean()


def test_spots_lie_on_their_tissue(section):
    """The measured gene says how dark a spot is: the crop's frame is right, or the correlation breaks."""
    pixels = torch.from_numpy(section.pixels)
    dark = [darkness(pixels, c) for c in section.centres[:, SELF]]
    assert np.corrcoef(dark, section.labels[:, 0])[0, 1] > 0.95


def test_neighbours_know_which_spot_was_measured_there(section):
    for spot in (0, len(section.labels) // 2):
        for place in range(9):
            near = np.linalg.norm(section.centres[:, SELF] - section.centres[spot, place], axis=1)
            there = near.min() <= 50
            assert section.measured.weights[spot, place].tolist() == [float(there), 0, 0]
            assert not there or section.measured.spots[spot, place, 0] == near.argmin()
    assert (section.measured.spots[:, SELF, 0] == np.arange(len(section.labels))).all()


def test_the_held_out_block_is_compact_and_of_the_asked_size(section):
    held = section.centres[section.held_out, SELF]
    assert len(held) == round(0.2 * len(section.labels))
    assert np.ptp(held, axis=0).max() < 0.8 * np.ptp(section.centres[:, SELF], axis=0).max()


def test_turning_a_window_keeps_its_spots_on_their_tissue(section, cutter):
    inside = np.flatnonzero(~section.held_out)[:12]
    window = cutter.cut(section, np.array([0, 0]), (1024, 1024), inside)
    keep = ((window.centres[:, SELF] > 60) & (window.centres[:, SELF] < 964)).all(-1)
    plain = [darkness(window.pixels, c) for c in window.centres[keep, SELF]]
    for quarter in range(4):
        for mirror in (False, True):
            turned = turn(window, quarter, mirror)
            again = [darkness(turned.pixels, c) for c in turned.centres[keep, SELF]]
            assert np.allclose(plain, again, atol=1.5), (quarter, mirror)


def test_training_windows_show_no_held_out_label(section, cutter, card):
    held = set(np.flatnonzero(section.held_out).tolist())
    secret = section.labels[section.held_out]
    windows = WindowBatches([section], cutter, card, 768, StepPlan(2, seed=0))
    seen = set()
    for batch in windows:
        for window in batch:
            seen |= set(window.spots.tolist())
            shown = window.labels[window.known].numpy()
            assert not any((shown == row).all(axis=1).any() for row in secret)
    assert seen
    assert not seen & held


def test_batches_follow_from_seed_and_epoch(section, cutter, card):
    def spots(seed, epoch):
        windows = WindowBatches([section], cutter, card, 640, StepPlan(2, seed))
        windows.epoch = epoch
        return [w.spots.tolist() for batch in windows for w in batch]

    assert spots(0, 3) == spots(0, 3)
    assert spots(0, 3) != spots(0, 4)
    assert spots(0, 3) != spots(1, 3)


@pytest.mark.parametrize("side", [256, 640])
def test_training_windows_of_a_step_are_equal_and_hold_little_but_patches(section, cutter, card, side):
    """No margin that nothing needs: the area a spot takes is near that of the array, and its tissue lies under it."""
    pixels, spots = 0, 0
    for batch in WindowBatches([section], cutter, card, side, StepPlan(3, seed=0)):
        assert len({tuple(window.pixels.shape) for window in batch}) == 1
        for window in batch:
            own = window.centres[:, SELF]
            beyond = torch.tensor([window.pixels.shape[1], window.pixels.shape[0]]) - own
            whole = ((own >= 48) & (beyond >= 64)).all(-1)  # of which `encode_windows` can pool 7 x 7 cells
            assert whole.any()
            pixels, spots = pixels + window.pixels[..., 0].numel(), spots + int(whole.sum())
            dark = [darkness(window.pixels, c) for c in own[whole]]
            assert np.allclose(dark, [darkness(torch.from_numpy(section.pixels), c) for c in
                                      section.centres[window.spots[whole].numpy(), SELF]], atol=1.5)  # fmt: skip
    assert pixels / spots < 1.2 * 144**2


def test_two_threads_get_as_many_windows_of_a_step_each():
    assert [windows_a_step(spots, 3.5) for spots in (2, 12, 18, 23, 256)] == [2, 4, 6, 6, 74]


def test_validation_meets_every_held_out_spot_once_with_its_surroundings(section, cutter, card):
    windows = cover(section, np.flatnonzero(section.held_out), cutter, card, 640)
    met = np.concatenate([w.spots.numpy() for w in windows])
    assert sorted(met) == np.flatnonzero(section.held_out).tolist()
    for window in windows:
        side = window.pixels.shape[0]
        assert window.centres.min() >= card.patch / 2
        assert window.centres.max() <= side - card.patch / 2 - card.architecture.stride


def test_spots_of_another_image_are_refused(tmp_path, card):
    sample = read_sheet(sheet(tmp_path, ("S1", "P1", 1)))[0]
    data = read_expression(sample)
    data.obsm["spatial"] *= 3
    with pytest.raises(SampleError, match=r"lie off S1\.tif"):
        load_section(sample, data, card)
