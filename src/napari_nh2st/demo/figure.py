"""The demonstration's figure: tissue, truth, and the predictions of both models. Draws without a display."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.demo.tissue import Section
from napari_nh2st.formats.figure import paint_map, paint_scale_bar
from napari_nh2st.formats.picture import small
from napari_nh2st.geometry import TileSet
from napari_nh2st.metrics import pcc
from napari_nh2st.slides import open_slide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIT = "ln(1 + counts per 10,000)"
_NOT_PREDICTED = "#ececec"
_SIDE = 1000  # pixels of the tissue's picture


@dataclass(frozen=True, eq=False)
class Maps:
    """Truth and predictions at the same tiles.

    Attributes
    ----------
    places : TileSet
        n tiles on the lattice.
    genes : list of str
    truth : (n, G) float64
    context, paper : (n, G) float32
        Predictions of the two variants, ln(1 + counts per 10,000).
    """

    places: TileSet
    genes: list[str]
    truth: npt.NDArray[np.float64]
    context: npt.NDArray[np.float32]
    paper: npt.NDArray[np.float32]

    @property
    def by_variant(self) -> dict[str, npt.NDArray[np.float32]]:
        """Both predictions by variant, `context` first."""
        return {"context": self.context, "paper": self.paper}

    def image(self, values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Lay (n,) values out on the lattice's bounding rectangle, NaN elsewhere."""
        grid = self.places.grid
        if grid is None:
            raise ValueError("a map needs places on the lattice")
        first, last = grid.min(axis=0), grid.max(axis=0)
        out = np.full(tuple(last - first + 1), np.nan)
        row, column = (grid - first).T
        out[row, column] = values
        return out

    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of that rectangle in level-0 pixels, y down."""
        half = self.places.pitch * self.places.scale / 2
        (x0, y0), (x1, y1) = self.places.centres.min(axis=0) - half, self.places.centres.max(axis=0) + half
        return float(x0), float(x1), float(y1), float(y0)


def draw_figure(maps: Maps, slide: Path, section: Section, path: Path, genes: tuple[str, str]) -> None:
    """Draw six panels as a PNG.

    Parameters
    ----------
    maps : Maps
    slide : path
        The section's TIFF, shown as a reduced picture.
    section : Section
    path : path
        The PNG.
    genes : (own gene, context gene)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.2, 8.6), dpi=160, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    own, context = genes
    _tissue(axes[0, 0], slide, section)
    _gene_row(figure, maps, own, [
        (axes[0, 1], f"Truth: {own}\n(set by the tile's own tissue)", "truth"),
        (axes[0, 2], f"Predicted: {own}\nmodel 'context', PCC {{:.2f}}", "context"),
    ])  # fmt: skip
    _gene_row(figure, maps, context, [
        (axes[1, 0], f"Truth: {context}\n(set by the eight tiles around it)", "truth"),
        (axes[1, 1], f"Predicted: {context}\nmodel 'context' sees the surroundings, PCC {{:.2f}}", "context"),
        (axes[1, 2], f"Predicted: {context}\nmodel 'paper' sees the tile alone, PCC {{:.2f}}", "paper"),
    ])  # fmt: skip
    for axis in axes.flat:
        axis.set(xlim=(0, section.shape[1]), ylim=(section.shape[0], 0), xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_color("#bbbbbb")
    figure.draw_without_rendering()  # the scale bar goes by the place that the layout gives its panel
    paint_scale_bar(axes[0, 0], section.mpp, 9)
    figure.suptitle(
        f"PROCEDURAL TISSUE, INVENTED GENES (seed {section.seed}): shows how the software works, "
        "says nothing of real tissue",
        fontsize=12.5,
        color="#8a1c1c",
        fontweight="bold",
    )
    figure.savefig(path, metadata={"Description": "napari-nh2st procedural tissue, invented genes"})


def _tissue(axis: Axes, slide: Path, section: Section) -> None:
    height, width = section.shape
    with open_slide(slide) as opened:
        picture, _ = small(opened, _SIDE)
    axis.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
    axis.set_title("Procedural H&E-like tissue\n(drawn by a program)", fontsize=10.5)


def _gene_row(figure: Figure, maps: Maps, gene: str, panels: list[tuple[Axes, str, str]]) -> None:
    """Draw truth and predictions of one gene with the same colours and one colour bar."""
    column = maps.genes.index(gene)
    truth = maps.truth[:, column]
    values: dict[str, npt.NDArray[Any]] = {
        "truth": truth,
        **{name: v[:, column] for name, v in maps.by_variant.items()},
    }
    low, high = np.percentile(truth, [1, 99])
    for axis, title, name in panels:
        image = maps.image(values[name])
        paint_map(axis, image, maps.extent(), "magma", (float(low), float(high)))
        axis.set_facecolor(_NOT_PREDICTED)
        r = pcc(truth[:, None], values[name][:, None]).mean
        axis.set_title(title.format(r), fontsize=10.5)
    bar = figure.colorbar(
        panels[0][0].images[0], ax=[axis for axis, _, _ in panels], shrink=0.85, pad=0.01, extend="both"
    )
    bar.set_label(f"{gene}, {UNIT}", fontsize=9.5)
