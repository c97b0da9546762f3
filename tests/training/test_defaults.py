"""The default learning rate and batch suit few spots and many: what an encoder sees is made up, so no pixel is read."""

import lightning as L
import numpy as np
import pytest
import torch

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data import batches
from napari_nh2st.training.data.batches import embedded_a_step
from napari_nh2st.training.data.embedded import EmbeddedSection
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.data.spot_batches import HELD_OUT_AT_ONCE, targets_in_parts
from napari_nh2st.training.data.windows import WindowCutter
from napari_nh2st.training.network.setup import TrainingSetup, set_up_training
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.training_pass import TrainingPass
from napari_nh2st.training.sections.place_labels import PlaceLabels
from napari_nh2st.training.sections.section import Section
from napari_nh2st.training.trainer import quiet

ARCH = Architecture()  # the best rate depends on the network's size
GENES, STATES = 20, 8
MARGIN = 0.02
"""Of the correlation, below the best of the grid."""


def tissue(spots: int) -> tuple[Section, EmbeddedSection]:
    """A square array over tissue whose state varies smoothly and from place to place.

    An embedding is a rectified mixture of its place's state. Labels are a linear part of the state, a bent part of it
    and of its surroundings, and as much noise.
    """
    rng = np.random.default_rng(spots)
    side = int(np.ceil(spots**0.5))
    wide = side + 2  # a rim, so that each spot has its nine places
    grid = np.stack(np.meshgrid(np.arange(wide), np.arange(wide)), axis=-1).reshape(-1, 2)
    waves = np.sin(grid @ rng.normal(0, 0.35, (2, 24)) + rng.uniform(0, 2 * np.pi, 24))
    state = waves @ rng.normal(0, 0.3, (24, STATES)) + 0.7 * rng.normal(size=(len(grid), STATES))
    channels = 8 * ARCH.width
    seen = state @ rng.normal(0, STATES**-0.5, (STATES, channels)) + 0.3 * rng.normal(size=(len(grid), channels))
    own = np.flatnonzero(((grid > 0) & (grid <= side)).all(axis=1))[:spots]
    off = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)])
    nine = own[:, None] + off @ [1, wide]
    around = np.concatenate([state[own], state[nine].mean(axis=1)], axis=1)
    bent = np.tanh(around @ rng.normal(0, 0.5, (2 * STATES, 32))) @ rng.normal(0, 0.15, (32, GENES))
    labels = state[own] @ rng.normal(0, STATES**-0.5, (STATES, GENES)) + bent + rng.normal(size=(len(own), GENES))
    number = np.full(len(grid), -1)
    number[own] = np.arange(spots)
    section = Section(
        "S", "P", "made up", 1.0, np.zeros((1, 1, 3), dtype=np.uint8), 144.0 * (grid[own][:, None] + off),
        np.ones((spots, 9), dtype=bool), PlaceLabels.at(number[nine]), labels.astype(np.float32), np.full(spots, 1e4),
        grid[own][:, 0] > 0.85 * side, grid[own][:, 0] > 0.85 * side, np.zeros(2, dtype=np.int64), own.astype(str),
    )  # fmt: skip
    assert (section.measured.spots[:, SELF, 0] == np.arange(spots)).all()
    plain = torch.from_numpy(seen.clip(0).astype(np.float32))[torch.from_numpy(nine)]
    none = torch.zeros((0, spots, 9, channels), dtype=torch.float16)
    return section, EmbeddedSection(plain, none, torch.zeros(spots, 2))


def setup_of(section: Section, embedded: EmbeddedSection, **settings) -> TrainingSetup:
    """Make a setup by the defaults, but for these settings."""
    L.seed_everything(0, verbose=False)
    config = TrainingConfig(device="cpu", precision="fp32", pretrain_steps=0, kernel_share=0, **settings)
    genes = [f"G{i}" for i in range(GENES)]
    card = Card(
        name="made up", licence="none", architecture=ARCH, mpp=1.0, pitch=144, genes=genes, gene_means=[0.0] * GENES
    )
    return set_up_training([section], card, config, 0, embed=lambda net, card: [embedded])


def score(section: Section, embedded: EmbeddedSection, folder, **settings) -> float:
    """Train by such a setup; the best correlation on the block that is held out."""
    setup = setup_of(section, embedded, **settings)
    folder = RunFolder(folder / "-".join(f"{v}" for v in ["run", *settings.values()]))
    with quiet():
        return TrainingPass(setup, folder, RunControl.of(folder), score=True).run().best_score


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("spots", [200, 2000])
def test_the_defaults_are_about_as_good_as_the_best_of_a_small_grid(tmp_path, spots):
    section, embedded = tissue(spots)
    batch, rate = embedded_a_step(int((~section.held_out).sum())), TrainingConfig().rate
    grid = [{"learning_rate": rate * f} for f in (0.3, 3)] + [{"spots_per_step": round(batch * f)} for f in (0.5, 2)]
    default, others = score(section, embedded, tmp_path), [score(section, embedded, tmp_path, **g) for g in grid]
    told = f"default {default:.4f}, others {others}"
    assert default > max(others) - MARGIN, told
    assert default > 0.3, told


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("batch", "threads"), [(12, 1), (127, 1), (128, 2), (256, 2)])
def test_a_small_step_of_the_head_wakes_no_second_thread(tmp_path, two_threads, monkeypatch, batch, threads):
    monkeypatch.setattr(batches, "FEWEST_STEPS", 2)

    class Seen(L.Callback):
        def __init__(self):
            self.threads = set()

        def on_train_batch_end(self, *_):
            self.threads.add(torch.get_num_threads())

        def on_validation_batch_end(self, *_):
            self.threads.add(torch.get_num_threads())

    setup, folder, seen = setup_of(*tissue(300), epochs=1, spots_per_step=batch), RunFolder(tmp_path), Seen()
    with quiet():
        TrainingPass(setup, folder, RunControl.of(folder), score=True, watch=[seen]).run()
    assert seen.threads == {threads}
    assert torch.get_num_threads() == 2


def test_many_held_out_spots_are_predicted_in_parts():
    section, embedded = tissue(2 * HELD_OUT_AT_ONCE + 1)
    cutter, every = WindowCutter(LabelScale.none(GENES)), np.arange(len(section.labels))
    parts = targets_in_parts(section, embedded, cutter, every)
    assert max(len(part.spots) for part in parts) <= HELD_OUT_AT_ONCE
    assert torch.cat([part.spots for part in parts]).equal(torch.arange(len(section.labels)))
    assert [len(part.spots) for part in targets_in_parts(section, embedded, cutter, every[:0])] == [0]
