"""Agreement of the dense map with patch by patch, on a trained model, gene by gene."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st import metrics
from napari_nh2st.bench.contenders import BATCHES, read_patches
from napari_nh2st.bench.figures import Findings, Value
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import lattice_for, neighbourhood, slide_box
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import read_expression, spot_counts
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.folder import Model, load_card, load_model
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import normalise

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets
    from napari_nh2st.slides import Slide

TRUTH_MODEL = "demo"
"""The bundled model of the procedural tissue, whose truth is known everywhere."""

FloatArray = npt.NDArray[np.float32]


def patch_by_patch(
    slide: Slide, model: Model, places: TileSet, options: PredictionOptions, device: torch.device
) -> FloatArray:
    """Predict places from patches that are cut out, padded with zeros and encoded each by itself, neighbours too.

    Returns
    -------
    (n, G) float32
        In label units.
    """
    card, net = model.card, model.net.to(device).eval()
    tissue = slide.tissue() if options.tissue is None else options.tissue
    centres, present = neighbourhood(places, card, slide_box(slide), tissue)
    unique, number = np.unique(np.round(centres[present], 3), axis=0, return_inverse=True)
    # An encoder's cells are centred half a cell before its patch's own: cut there, as blocks are read.
    shift = card.architecture.stride // 2
    parts = []
    for start in range(0, len(unique), max(BATCHES)):
        if options.cancelled():
            raise Cancelled("stopped")
        pixels = read_patches(slide, unique[start : start + max(BATCHES)], card.patch, places.scale, shift)
        with torch.inference_mode():
            parts.append(net.encode(normalise(torch.from_numpy(pixels).to(device))).flatten(1).float())
    embeddings = torch.cat(parts)  # (m, d)
    nine = embeddings.new_zeros((*present.shape, embeddings.shape[1]))  # (n, 9, d)
    nine[torch.from_numpy(present)] = embeddings[torch.from_numpy(number.reshape(-1))]
    out = []
    with torch.inference_mode():
        for i in range(0, len(nine), 1024):
            there = torch.from_numpy(present[i : i + 1024]).to(device)
            out.append(net.decoder(net.hidden_vectors(Seen(nine[i : i + 1024], there))).float().cpu())
    return torch.cat(out).numpy()


def compare(dense: FloatArray, patchwise: FloatArray, truth: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the median correlation of both over genes, and the mean PCC that `dense` loses against the truth."""
    agreement = metrics.pcc(patchwise, dense)
    lost = metrics.pcc(truth, patchwise).per_gene - metrics.pcc(truth, dense).per_gene
    return agreement.median, float(lost.mean())


def on_demo(data_sets: DataSets) -> Findings:
    """Compare the dense map of a procedural slide, by the bundled demo model, which was not trained on it."""
    slide, model = data_sets.demo, load_model(TRUTH_MODEL)
    card = model.card
    places = lattice_for(slide, card, pitch=card.pitch)
    by_patch = patch_by_patch(slide, model, places, data_sets.prediction_options, data_sets.device)
    stride = card.architecture.stride
    fine = lattice_for(slide, card, pitch=stride)
    grid = {(int(r), int(c)): i for i, (r, c) in enumerate(fine.grid)} if fine.grid is not None else {}
    step = card.pitch // stride
    rows = [] if places.grid is None else [grid[int(r) * step, int(c) * step] for r, c in places.grid]
    prediction, _ = predict_places(slide, load_model(TRUTH_MODEL), fine, data_sets.prediction_options)
    whole = prediction.decoder(prediction.hidden[rows], range(len(card.genes)))
    agreement, lost = compare(whole, by_patch, data_sets.section.truth(places.centres))
    return Findings(
        {"dense_agreement": Value.one(agreement), "dense_pcc_loss": Value.one(lost)},
        notes={"dense_agreement": f"model {card.name}, {len(places)} places, {len(card.genes)} genes, truth known"},
    )


def on_sections(data_sets: DataSets, progress: Callable[[int, int], object]) -> Findings:
    """Compare at the measured spots of the sheet's sections, with the chosen model; the mean over sections."""
    if not data_sets.samples:
        return Findings(notes={"dense_agreement_measured": "left out: it needs measured sections (--samples)"})
    card = load_card(data_sets.options.model)
    if not card.architecture.row.dense:
        raise Nh2stError(f"the model {card.name} is of variant {card.architecture.variant}: it has no dense map")
    comparisons, names = [], []
    for i, sample in enumerate(data_sets.samples):
        data = read_expression(sample)
        slide = data_sets.open_sample(sample)
        places = TileSet.at(data.obsm["spatial"], scale=card.scale_on(slide.require_mpp()), pitch=card.pitch)
        by_patch = patch_by_patch(slide, data_sets.load_model(), places, data_sets.prediction_options, data_sets.device)
        dense = predict_places(slide, data_sets.load_model(), places, data_sets.prediction_options)[0].matrix()
        comparisons.append(compare(dense, by_patch, card.labels(spot_counts(data, card.genes))))
        names.append(sample.sample)
        progress(i + 1, len(data_sets.samples))
    agreement, lost = zip(*comparisons, strict=True)
    return Findings(
        {
            "dense_agreement_measured": Value(float(np.mean(agreement)), min(agreement), max(agreement)),
            "dense_pcc_loss_measured": Value(float(np.mean(lost)), min(lost), max(lost)),
        },
        notes={"dense_agreement_measured": f"model {card.name}, the spots of {', '.join(names)}; spread over sections"},
    )
