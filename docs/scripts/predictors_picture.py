"""Draw the picture of docs/predictors.md: the docs' example on our embeddings, fitted to a section of demo tissue.

Run in a real window (make docs-images, or xvfb-run). It is fitted on one synthetic section and shown on another.
"""

from __future__ import annotations

import argparse
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import own_settings  # noqa: F401  # before napari

# isort: split
import napari
import numpy as np
from exploring_pictures import GENES
from PIL import Image
from screenshots import IMAGES, SIZE, settle, wait

from napari_nh2st import load_model, open_slide
from napari_nh2st.demo.sheet import write_sample_sheet
from napari_nh2st.engine.open_session import open_session
from napari_nh2st.expression import labels, read_expression, read_sheet
from napari_nh2st.geometry import TileSet
from napari_nh2st.model import predictors
from napari_nh2st.viewer import launch

EXAMPLE = Path(__file__).parents[1] / "examples" / "predictors" / "ridge_on_embeddings.py"
FITTED, SHOWN = 901, 902


def fit(folder: Path) -> Path:
    """Fit the example to the first section, and return its file."""
    from sklearn.linear_model import Ridge

    (sample,) = (s for s in read_sheet(folder / "samples.csv") if s.sample == f"S{FITTED}")
    counts, encoder = read_expression(sample), load_model("her2st")
    genes = list(GENES)
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        card = encoder.card
        spots = TileSet.at(counts.obsm["spatial"], scale=card.scale_on(slide.require_mpp()), pitch=card.pitch)
        seen = open_session(slide, encoder).embed(spots)
    file = Path(shutil.copy(EXAMPLE, folder))
    np.savez(file.with_name("ridge.npz"), genes=np.array([""]), coef=[], intercept=[])  # the example reads it when run
    save = runpy.run_path(str(file))["save"]
    save(Ridge(alpha=100.0).fit(seen, labels(counts, genes)), genes, file.with_name("ridge.npz"))
    return file


def draw(out: Path, theme: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample_sheet((FITTED, SHOWN), folder, size_mm=(2.8, 2.2))
        predictors.predictors_file = lambda: folder / "predictors.txt"
        predictors.name_file(fit(folder))
        viewer = napari.Viewer()
        viewer.theme = theme
        viewer.window.resize(*SIZE)
        viewer.open(str(folder / f"S{SHOWN}.tif"), plugin="napari-nh2st")
        dock = launch.open_dock(viewer)
        wait(lambda: dock.models.combo.findData("ridge") >= 0)
        dock.use_model("ridge")
        dock.where.detail.setCurrentIndex(1)
        dock.where.buttons["whole"].click()
        dock.job.button.click()
        settle(0.3)
        wait(lambda: not dock.controller.running)
        dock.state.request_gene(GENES[0])
        dock.folds["Trust"].open()
        settle()
        pixels = viewer.screenshot(canvas_only=False, flash=False)
        viewer.close()
    Image.fromarray(pixels[..., :3]).quantize(256, kmeans=2).save(out / "predictors.png", optimize=True)
    print(out / "predictors.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    draw(args.out, args.theme)


if __name__ == "__main__":
    sys.exit(main())
