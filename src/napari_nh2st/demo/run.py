"""The demonstration from end to end: draw a slide, predict it with both bundled models, compare with the truth."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_nh2st.atomic import finished_file
from napari_nh2st.demo.figure import Maps, draw_figure
from napari_nh2st.demo.genes import CONTEXT_GENES, GENES, OWN_GENES
from napari_nh2st.demo.tissue import GENERATOR_VERSION, SIZE_MM, Section, make_section, sample_slide
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.formats import export
from napari_nh2st.metrics import pcc
from napari_nh2st.model.folder import Model, load_model
from napari_nh2st.slides import open_slide

MODELS = ("demo", "demo-paper")
"""The bundled models, variant `context` first, then `paper`."""

SHOWN = (OWN_GENES[0].name, CONTEXT_GENES[0].name)
"""The own gene and the context gene in the figure: fixed beforehand, not the best of the run."""

Progress = Callable[[str, int, int], Any]


@dataclass(frozen=True, eq=False)
class DemoResult:
    """The results of a demonstration.

    Attributes
    ----------
    report : dict
        The content of report.json.
    slide, heatmap, prediction, report_path : Path
        The procedural slide (in the cache) and the three files.
    """

    report: dict[str, Any]
    slide: Path
    heatmap: Path
    prediction: Path
    report_path: Path


def run_demo(
    out: str | Path,
    seed: int = 0,
    *,
    models: tuple[str | Path, str | Path] = MODELS,
    size_mm: tuple[float, float] = SIZE_MM,
    device: str = "auto",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> DemoResult:
    """Run the demonstration and write `heatmap.png`, `prediction.h5ad` and `report.json`.

    Parameters
    ----------
    out : path
        Folder for the three files, made if needed. Each file appears when it is complete.
    seed : int
        Of the procedural section; its slide stays in the user's cache.
    models : (context, paper)
        Bundled names or model folders.
    size_mm : (width, height)
        Size of the section in mm.
    device : str
        As in `engine.options.PredictionOptions`.
    progress : callable, optional
        Called with (stage in plain words, done, total).
    cancelled : callable
        Asked between stages and batches.

    Returns
    -------
    DemoResult
        Its report's `warnings` are sentences that a person must see, such as that a seed trained the models.

    Raises
    ------
    Cancelled
        If `cancelled()` becomes true; no file is left half-written.
    ModelError
        If the models are missing.
    """
    started = time.perf_counter()
    tell = progress or (lambda *_: None)
    out = Path(out)
    context, paper = (load_model(name) for name in models)
    tell("drawing the tissue", 0, 1)
    _stop_if(cancelled)
    path = sample_slide(seed, size_mm=size_mm)
    section = make_section(seed, size_mm=size_mm)
    tell("drawing the tissue", 1, 1)
    predictions = [_predict(path, model, device, tell, cancelled) for model in (context, paper)]
    maps = _score(section, predictions)
    report = _report(seed, (context, paper), predictions, maps)
    _stop_if(cancelled)
    tell("writing the files", 0, 3)
    with finished_file(out / "heatmap.png") as draft:
        draw_figure(maps, path, section, draft, SHOWN)
    tell("writing the files", 1, 3)
    exported = export(predictions[0], "h5ad", out / "prediction.h5ad")
    report["seconds"] = round(time.perf_counter() - started, 2)
    with finished_file(out / "report.json") as draft:
        draft.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    tell("writing the files", 3, 3)
    return DemoResult(report, path, out / "heatmap.png", exported, out / "report.json")


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("the demo was stopped")


def _predict(path: Path, model: Model, device: str, tell: Progress, cancelled: Callable[[], bool]) -> Prediction:
    """Predict the tissue tiles of the slide; both models have the same lattice."""
    slide = open_slide(path)
    try:
        places = lattice_for(slide, model.card)
        stage = f"predicting with {model.card.name}"
        options = PredictionOptions(device=device, cancelled=cancelled)
        return predict_places(slide, model, places, options, lambda at: tell(stage, at.done, at.total))[0]
    finally:
        slide.close()


def _score(section: Section, predictions: list[Prediction]) -> Maps:
    """Lay truth and both predictions side by side at the tiles that both models predicted.

    Raises
    ------
    Nh2stError
        If a model does not predict the demo's genes, or the two do not share a lattice.
    """
    context, paper = predictions
    if not np.array_equal(context.places.centres, paper.places.centres):
        raise Nh2stError("the two demo models have different mpp or patches: train them with one recipe")
    names = [gene.name for gene in GENES]
    try:
        values = [p.matrix(names) for p in predictions]
    except KeyError as error:
        raise Nh2stError(f"not a demo model: {error.args[0]}") from error
    keep = context.done & paper.done
    if keep.sum() < 3:
        raise Nh2stError("fewer than three tiles of tissue were predicted: there is nothing to compare")
    places = context.places.select(keep)
    truth = section.truth(places.centres)
    return Maps(places, names, truth, values[0][keep], values[1][keep])


def _report(seed: int, models: tuple[Model, Model], predictions: list[Prediction], maps: Maps) -> dict[str, Any]:
    """Collect the figures; PCC is per gene across tiles, against the truth without noise."""
    per_gene = {name: pcc(maps.truth, values).per_gene for name, values in maps.by_variant.items()}
    own = np.array([gene.group == "own" for gene in GENES])
    warnings = _warnings(seed, models)
    return {
        "pcc_mean": _rounded(per_gene["context"].mean()),
        "context_genes": {name: _rounded(r[~own].mean()) for name, r in per_gene.items()},
        "own_genes": {name: _rounded(r[own].mean()) for name, r in per_gene.items()},
        "n_tiles": len(maps.places),
        "seconds": None,
        "genes": {
            gene.name: {"group": gene.group} | {name: _rounded(r[i]) for name, r in per_gene.items()}
            for i, gene in enumerate(GENES)
        },
        "seed": seed,
        "seed_in_training": _trained_on(seed, models),
        "warnings": warnings,
        "about": "Procedural tissue with invented genes. PCC per gene across tiles, against the known truth.",
        "provenance": {
            "generator_version": GENERATOR_VERSION,
            "slide": predictions[0].slide,
            "mpp": predictions[0].slide.get("mpp"),
            "mpp_source": predictions[0].slide.get("mpp_source"),
            "places": f"lattice of {maps.places.pitch} model pixels",
            "models": {
                name: prediction.provenance for name, prediction in zip(maps.by_variant, predictions, strict=True)
            },
        },
    }


def _rounded(value: npt.ArrayLike) -> float:
    return round(float(cast(float, value)), 4)


def _trained_on(seed: int, models: tuple[Model, Model]) -> bool:
    """Return True if this seed's section is named on a model's card."""
    return any(entry.patient == f"synthetic-{seed}" for model in models for entry in model.card.training)


def _warnings(seed: int, models: tuple[Model, Model]) -> list[str]:
    if not _trained_on(seed, models):
        return []
    trained = sorted({entry.patient.removeprefix("synthetic-") for m in models for entry in m.card.training})
    return [
        f"The demo models were trained on the section of seed {seed} (training seeds: {', '.join(trained)}): these "
        "figures say nothing about how well they do on new tissue. Choose another seed."
    ]
