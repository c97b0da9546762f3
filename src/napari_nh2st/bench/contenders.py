"""The contenders: the engine at spots, on the lattice and dense; the bare encoder; patch by patch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.bench.figures import Findings
from napari_nh2st.bench.rates import Clock, Contender, Rate, failure, in_turns, median_rate, ratio
from napari_nh2st.bench.released import Released
from napari_nh2st.engine import embeddings
from napari_nh2st.engine.device import computing, has_fast_bf16
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.folder import Model
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import build, normalise

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets
    from napari_nh2st.slides import Slide

BATCHES = (16, 64)
RELEASED_SPOTS, RELEASED_SPOTS_QUICK = 24, 4
READY_TILES, READY_TILES_QUICK = 512, 64


@dataclass(frozen=True)
class Comparison:
    """A ratio of two contenders: `over` / `under`, in places or in area a second, in the run's precision or in one."""

    over: str
    under: str
    unit: str = "places"
    precision: Literal["", "fp32", "bf16"] = ""

    def sides(self, data_sets: DataSets) -> tuple[str, str]:
        """Name both contenders; those of another precision than the run's have it in their name."""
        other = f", {self.precision}" if self.precision not in ("", data_sets.precision) else ""
        return self.over + other, self.under + other


COMPARISONS = {
    "over_released_procedure": Comparison("spots", "released"),
    "over_released_same_encoder": Comparison("spots, ResNet-18 of width 64", "released"),
    "dense_over_released": Comparison("dense map", "released"),
    "dense_cost": Comparison("contiguous grid", "dense map", "area"),
    "dense_cost_patchwise": Comparison("patch by patch", "dense map", "area"),
    "over_bare_encoder": Comparison("contiguous grid", "bare encoder"),
    "over_bare_encoder_fp32": Comparison("contiguous grid", "bare encoder", precision="fp32"),
    "over_bare_encoder_bf16": Comparison("contiguous grid", "bare encoder", precision="bf16"),
}
"""Time per area of the dense map over another's is the other's area per second over the dense map's."""

BOTH: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
NO_BF16 = "not here: this device has no fast bfloat16"


def compare(data_sets: DataSets, keys: set[str], progress: Callable[[int, int], object]) -> Findings:
    """Measure the contenders that these figures need, in turns, and their ratios."""
    wanted = {key: comparison for key, comparison in COMPARISONS.items() if key in keys}
    out = Findings()
    if "over_bare_encoder_bf16" in wanted and not has_fast_bf16(data_sets.device) and data_sets.precision != "bf16":
        del wanted["over_bare_encoder_bf16"]
        out.notes["over_bare_encoder_bf16"] = NO_BF16
    failed: dict[str, str] = {}
    contenders = _contenders(data_sets, {side for c in wanted.values() for side in c.sides(data_sets)}, failed)
    rates = in_turns(contenders, data_sets.options.repeat, data_sets.options.cancelled, progress, failed)
    out.absolute = {name: median_rate(each) for name, each in rates.items()}
    for key, comparison in wanted.items():
        over, under = comparison.sides(data_sets)
        if over in rates and under in rates:
            out.values[key] = ratio(rates[over], rates[under], comparison.unit)
        else:
            out.notes[key] = failed.get(over) or failed[under]
    return out


def _contenders(data_sets: DataSets, needed: set[str], failed: dict[str, str]) -> dict[str, Contender]:
    """Make the contenders with these names; one that cannot be made has failed."""
    makers: dict[str, Callable[[DataSets], Contender]] = {
        "spots, ResNet-18 of width 64": spots_same_encoder,
        "spots": spots,
        "released": released,
        "dense map": dense_map,
        "contiguous grid": contiguous_grid,
        "bare encoder": bare_encoder,
        "patch by patch": patch_by_patch,
    }
    for precision in BOTH:
        makers |= {
            f"{name}, {precision}": partial(_in_precision, make, precision)
            for name, make in (("contiguous grid", contiguous_grid), ("bare encoder", bare_encoder))
        }
    out = {}
    for name, make in makers.items():
        if name in needed:
            try:
                out[name] = make(data_sets)
            except Cancelled:
                raise
            except Exception as error:
                failed[name] = failure(error)
    return out


def _in_precision(
    make: Callable[[DataSets], Contender], precision: Literal["fp32", "bf16"], data_sets: DataSets
) -> Contender:
    return make(data_sets.at(precision))


def engine_at(
    slide: Slide, model: Model, places: TileSet, options: PredictionOptions, cell_um: float = 0.0
) -> Contender:
    """Run the engine at these places: reading, encoding and head, nothing kept.

    Parameters
    ----------
    cell_um : float
        Contender of the square that each place stands for; 0 for spots.
    """
    if not len(places):
        raise Nh2stError(f"{slide.path}: there is no tissue to measure on")

    def measure() -> Rate:
        clock = Clock()
        _, encoded = predict_places(slide, model, places, options)
        seconds = clock.seconds
        if encoded != len(places):
            raise Nh2stError(f"only {encoded} of {len(places)} places were encoded: this would not be a measurement")
        return Rate(len(places) / seconds, len(places) * (cell_um / 1000) ** 2 / seconds)

    return measure


def spots(data_sets: DataSets) -> Contender:
    """Run the engine at the spots, as the model is."""
    model = data_sets.load_model()
    places = TileSet.at(data_sets.spots, scale=_scale(model, data_sets.slide), pitch=model.card.pitch)
    return engine_at(data_sets.slide, model, places, data_sets.prediction_options)


def spots_same_encoder(data_sets: DataSets) -> Contender:
    """Run the engine at the spots with the released encoder's size: 224 px a patch, a stride of 32, untrained."""
    model = with_released_encoder(data_sets.load_model())
    places = TileSet.at(data_sets.spots, scale=_scale(model, data_sets.slide), pitch=model.card.pitch)
    return engine_at(data_sets.slide, model, places, data_sets.prediction_options)


def with_released_encoder(model: Model, width: int = 64) -> Model:
    """Put an untrained ResNet-18 of stride 32 into a model, on patches of the same tissue."""
    card = model.card
    arch = card.architecture.model_copy(
        update={"variant": "context", "encoder": "resnet18", "width": width, "stride": 32}
    )
    mpp = card.mpp * card.patch / arch.patch
    pitch = max(1, round(card.pitch * card.mpp / mpp / arch.stride)) * arch.stride
    card = card.model_copy(update={"architecture": arch, "mpp": mpp, "pitch": pitch})
    return Model(card, build(arch, len(card.genes)).eval(), f"untrained-{width}", Path("untrained"))


def released(data_sets: DataSets) -> Contender:
    """Run the released procedure at some of the spots."""
    card = data_sets.load_model().card
    count = RELEASED_SPOTS_QUICK if data_sets.options.quick else RELEASED_SPOTS
    return Released(data_sets.slide, data_sets.spots, card.patch * card.mpp, data_sets.device, count=count).measure


def dense_map(data_sets: DataSets) -> Contender:
    """Run the engine at every cell of the encoder."""
    return _lattice(data_sets, lambda model: model.card.architecture.stride)


def contiguous_grid(data_sets: DataSets) -> Contender:
    """Run the engine on the whole slide: patches touch, and do not overlap."""
    return _lattice(data_sets, lambda model: model.card.patch)


def _lattice(data_sets: DataSets, pitch_of: Callable[[Model], int]) -> Contender:
    model = data_sets.load_model()
    pitch = pitch_of(model)
    places = lattice_for(data_sets.slide, model.card, pitch=pitch)
    return engine_at(data_sets.slide, model, places, data_sets.prediction_options, pitch * model.card.mpp)


def bare_encoder(data_sets: DataSets) -> Contender:
    """Run the encoder alone on ready tensors, in the batch that is faster: channels-last, eval mode, nothing else."""
    net = data_sets.load_model().net
    patch = net.arch.patch
    encoder = net.encoder.to(data_sets.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    count = READY_TILES_QUICK if data_sets.options.quick else READY_TILES
    ready = torch.randn(max(BATCHES), 3, patch, patch, device=data_sets.device)
    ready = ready.contiguous(memory_format=torch.channels_last)

    def once(batch: int) -> float:
        clock = Clock()
        with torch.inference_mode(), _precision(data_sets):
            for _ in range(count // batch):
                out = encoder(ready[:batch])
            out.float().sum().item()  # waits for a GPU
        return count // batch * batch / clock.seconds

    return lambda: Rate(max(once(batch) for batch in BATCHES))


def patch_by_patch(data_sets: DataSets) -> Contender:
    """Encode the contiguous grid in batches of patches, with a head call, as extractors do. Pixels lie ready."""
    model = data_sets.load_model()
    card, slide = model.card, data_sets.slide
    places = lattice_for(slide, card)
    count = READY_TILES_QUICK if data_sets.options.quick else READY_TILES
    places = places.select(np.arange(min(count, len(places))))
    pixels = torch.from_numpy(read_patches(slide, places.centres, card.patch, places.scale))
    net = model.net.to(data_sets.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def measure() -> Rate:
        clock = Clock()
        with torch.inference_mode(), _precision(data_sets):
            for i in range(0, len(pixels), max(BATCHES)):
                part = pixels[i : i + max(BATCHES)].to(data_sets.device)
                target = net.encode(normalise(part)).flatten(1)
                there = torch.ones(len(target), 9, dtype=torch.bool, device=data_sets.device)
                net.hidden_vectors(Seen(target[:, None].expand(-1, 9, -1), there)).cpu()
        seconds = clock.seconds
        return Rate(len(pixels) / seconds, len(pixels) * (card.patch * card.mpp / 1000) ** 2 / seconds)

    return measure


def read_patches(
    slide: Slide, centres: npt.NDArray[np.float64], side: int, scale: float, shift: int = 0
) -> npt.NDArray[np.uint8]:
    """Read patches round places: (n, 2) level-0 pixels -> (n, side, side, 3), to the nearest model pixel."""
    corners = np.round(centres[:, ::-1] / scale - side / 2).astype(np.int64) + shift
    return embeddings.read_patches(slide, corners, side, scale)


def _precision(data_sets: DataSets) -> AbstractContextManager[None]:
    """Compute as the engine does: in plain float32 on a GPU, too, which would otherwise round its products."""
    return computing(data_sets.device, data_sets.precision)


def _scale(model: Model, slide: Slide) -> float:
    return model.card.scale_on(slide.require_mpp())
