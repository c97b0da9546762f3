"""Training by blocks of tissue against ten patches a spot: the same network, loss and optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_nh2st.bench.figures import Findings
from napari_nh2st.bench.rates import Clock, Contender, Rate, in_turns, median_rate, ratio
from napari_nh2st.geometry import SELF
from napari_nh2st.model.nh2st import normalise
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.batches import StepPlan
from napari_nh2st.training.data.data_module import to_device
from napari_nh2st.training.data.stain_jitter import stain_jitter
from napari_nh2st.training.data.targets import Targets
from napari_nh2st.training.data.window_batches import WindowBatches
from napari_nh2st.training.data.windows import Window, WindowCutter
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.network.setup import TrainingSetup, set_up_training
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_section

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets

STEPS, NAIVE_STEPS = 6, 2
WINDOWS = 6
"""Windows a step, as many as `nh2st finetune` takes for some 700 spots."""
NAIVE_BATCH = 8
"""Spots a step of the naive contender: the released code's batch."""


class _Counted(NH2STModule):
    """Counts the targets of its steps; it has no trainer to log to."""

    counted = 0

    def log(self, name: str, value: Any, *_: Any, **more: Any) -> None:
        """Count."""
        self.counted += int(more.get("batch_size", 0))


def compare(data_sets: DataSets, progress: Callable[[int, int], object]) -> Findings:
    """Measure both contenders, each of which trains the encoder, and their ratio."""
    quick = data_sets.options.quick
    contenders: dict[str, Contender] = {
        "training by blocks": blocks_of(data_sets),
        "training by patches": naive(set_up(data_sets), data_sets.device, 1 if quick else NAIVE_STEPS),
    }
    rates = in_turns(contenders, data_sets.options.repeat, data_sets.options.cancelled, progress)
    over, under = (rates[name] for name in contenders)
    return Findings({"finetune_over_naive": ratio(over, under)}, {k: median_rate(v) for k, v in rates.items()})


def blocks_of(data_sets: DataSets) -> Contender:
    """Take steps on the section of the speed figures, as `nh2st finetune` does."""
    return by_blocks(set_up(data_sets), data_sets.device, 2 if data_sets.options.quick else STEPS)


def set_up(data_sets: DataSets) -> TrainingSetup:
    """Set up the training of a whole network on the section of the speed figures."""
    config = TrainingConfig(
        train="everything", pretrain_steps=0, kernel_share=0, device=data_sets.options.device, name="bench"
    )
    sample, data = data_sets.sample, data_sets.data
    card = card_for([sample], [data], config)
    return set_up_training([load_section(sample, data, card)], card, config, 0)


def by_blocks(setup: TrainingSetup, device: torch.device, steps: int) -> Contender:
    """Take steps as `nh2st finetune` does: windows of tissue, every spot in them pooled from one map."""
    module = _Counted(setup, steps).to(device)
    optimiser = torch.optim.AdamW(module.net.parameters(), lr=1e-4, fused=True)
    config = setup.config
    cutter = WindowCutter(setup.scale)
    windows = WindowBatches(setup.sections, cutter, setup.card, config.window, StepPlan(WINDOWS, setup.seed))

    def batches() -> Any:
        while True:
            yield from windows

    stream = batches()

    def take(windows: list[Window]) -> None:
        batch = to_device(windows, device)
        _step(optimiser, module.training_step(batch, 0)["loss"])

    def measure() -> Rate:
        module.counted, clock = 0, Clock()
        for _ in range(steps):
            take(next(stream))
        return Rate(module.counted / clock.seconds)

    _meet_shapes(windows, take)
    return measure


def _meet_shapes(windows: WindowBatches, take: Callable[[list[Window]], None]) -> None:
    """Take a step of each size of windows that an epoch has.

    Kernels are made for a size when it is met first. A run meets the same few in every epoch; in so few steps as are
    timed here most would be new.
    """
    met = set()
    for batch in windows:
        shape = batch[0].pixels.shape
        if shape not in met:
            met.add(shape)
            take(batch)


def naive(setup: TrainingSetup, device: torch.device, steps: int) -> Contender:
    """Take steps in which every spot brings its target and nine neighbour patches, each encoded."""
    net, section = setup.net.to(device).train(), setup.sections[0]
    module = NH2STModule(setup, steps).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    values = setup.scale.standardise(section.labels)
    rng = np.random.default_rng(setup.seed)

    def one(spots: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(cut_patches(section, spots, setup.card.patch)).to(device)  # (10 B, S, S, 3)
        maps = net.encode_learnt(normalise(stain_jitter(pixels, setup.config.stain_jitter))).flatten(1)
        each = maps.view(len(spots), 10, -1)
        nine = torch.cat([each[:, 1 : SELF + 1], each[:, :1], each[:, SELF + 2 :]], dim=1)
        known = torch.from_numpy(section.measured.known(spots, section.held_out)).to(device)
        present = torch.from_numpy(section.present[spots]).to(device)
        expression = torch.from_numpy(section.measured.labels(spots, values)).to(device)
        number = torch.from_numpy(spots).to(device)
        targets = Targets(nine, present, known, expression, number, torch.zeros_like(number))
        return module.loss(targets)[0]

    def measure() -> Rate:
        clock = Clock()
        for _ in range(steps):
            _step(optimiser, one(rng.choice(len(section.labels), NAIVE_BATCH)))
        return Rate(steps * NAIVE_BATCH / clock.seconds)

    return measure


def cut_patches(section: Section, spots: np.ndarray, side: int) -> np.ndarray:
    """Cut each spot's target, then its nine places: (10 B, side, side, 3), spot by spot."""
    places = np.concatenate([section.centres[spots][:, SELF : SELF + 1], section.centres[spots]], axis=1)
    height, width = section.pixels.shape[:2]
    limit = np.array([width - side, height - side])
    corners = np.clip(np.round(places.reshape(-1, 2) - side / 2).astype(int), 0, limit)
    return np.stack([section.pixels[y : y + side, x : x + side] for x, y in corners.tolist()])


def _step(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
    optimiser.step()
    loss.detach().cpu()
