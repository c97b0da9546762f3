"""How far predictions in bf16 lie from those in fp32: the bundled models on the demo tissue and on a measured section.

    python docs/scripts/bf16_against_fp32.py --samples her2st/samples.csv --section C5

Values are in ln(1 + counts per 10,000), PCC is per gene across the places, against what is known or measured there.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.demo.run import MODELS
from napari_nh2st.demo.tissue import make_section, write_slide
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.evaluation.protocol import measured_genes
from napari_nh2st.expression import labels, read_expression, read_sheet
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.folder import load_model
from napari_nh2st.slides import Slide, open_slide

SEED = 4242  # no section that the demo models were trained on
OPTIONS = PredictionOptions(cache=False)

FloatArray = npt.NDArray[np.float32]


def predicted(slide: Slide, model: str, spots: npt.NDArray[np.float64], genes: list[str]) -> tuple[FloatArray, ...]:
    """Predict at spots (n, 2), level-0 pixels, in fp32 and in bf16."""
    found = []
    for precision in ("fp32", "bf16"):
        loaded = load_model(model)
        places = TileSet.at(spots, scale=loaded.card.scale_on(slide.require_mpp()), pitch=loaded.card.pitch)
        found.append(predict_places(slide, loaded, places, replace(OPTIONS, precision=precision))[0].matrix(genes))
    return tuple(found)


def tell(name: str, full: FloatArray, half: FloatArray, truth: npt.NDArray[np.floating]) -> None:
    """Print how far two predictions (n, G) of one section lie from each other."""
    apart, same = np.abs(half - full), metrics.pcc(full, half)
    before, after = (metrics.pcc(truth, of).per_gene.mean() for of in (full, half))
    print(
        f"{name}: {len(full)} places, {full.shape[1]} genes: difference {apart.max():.4f} at most, "
        f"{apart.mean():.5f} on average (values vary by {full.std(axis=0).mean():.3f}); correlation per gene "
        f"{same.per_gene.min():.5f} at least, {same.median:.6f} in the median; mean PCC {before:.4f} in fp32, "
        f"{after:.4f} in bf16"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--section", default="C5")
    chosen = parser.parse_args()
    section = make_section(SEED)
    with tempfile.TemporaryDirectory() as folder:
        path = write_slide(section, Path(folder) / "demo.tif")
        spots = section.spots()
        with open_slide(path) as slide:
            for model in MODELS:
                genes = load_model(model).card.genes
                tell(model, *predicted(slide, model, spots, genes), section.truth(spots))
    if chosen.samples is None:
        return
    sample = next(s for s in read_sheet(chosen.samples) if s.sample == chosen.section)
    data, genes = measured_genes(sample.sample, read_expression(sample), load_model("her2st").card)
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        tell(
            f"her2st on {sample.sample}", *predicted(slide, "her2st", data.obsm["spatial"], genes), labels(data, genes)
        )


if __name__ == "__main__":
    main()
