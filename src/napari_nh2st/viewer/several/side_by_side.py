"""Open slides side by side in napari's grid: linked cameras, the same gene, the same colours. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.formats.limits import limits_of
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.fade import share_opacity
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.in_step import told_once
from napari_nh2st.viewer.layers.map_layer import Later, at_once
from napari_nh2st.viewer.state.style import Style

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_LINKED = ("colormap", "gamma", "opacity")
_SPACING = 4  # pixels between the slides


class SideBySide:
    """Lays slides out, each with its heatmap, until `leave` puts everything back.

    A cell of napari's grid holds as many consecutive layers as its stride says, and takes no room where all of them are
    hidden. Slides with a heatmap therefore come first, in pairs; one slide without may come last; all else is hidden.

    Parameters
    ----------
    viewer : ViewerModel
    pairs : sequence of (Layer, HeatmapLayer or None)
        Open slides, each with its heatmap where it has one.
    later : callable
        Calls a function a moment later: napari draws for long whenever a layer or a text comes or goes, and the window
        should answer in between.
    laid_out : callable
        Called when all slides lie in their places.

    Attributes
    ----------
    entering : bool
        The slides are still being laid out.
    left_out : list of Layer
        Slides that did not fit in: without a heatmap, where others have one.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        pairs: Sequence[tuple[Layer, HeatmapLayer | None]],
        later: Later = at_once,
        laid_out: Callable[[], None] = lambda: None,
    ) -> None:
        self._viewer, self._later, self._laid_out = viewer, later, laid_out
        having = [(slide, heatmap) for slide, heatmap in pairs if heatmap is not None and heatmap.present]
        bare = [slide for slide, heatmap in pairs if heatmap is None or not heatmap.present]
        self.left_out = bare[1:] if having else []
        self.heatmaps = [heatmap for _, heatmap in having]
        self._slides = [slide for slide, _ in having] + [slide for slide in bare if slide not in self.left_out]
        self._shown: list[Layer] = []
        for slide in self._slides:
            self._shown += [slide, *(heatmap.layer for own, heatmap in having if own == slide and heatmap.layer)]
        self._stride = 2 if having else 1
        self._remember()
        self.entering = True
        self._steps = self._enter()
        later(self._go_on)

    @property
    def complete(self) -> bool:
        """True if all that is compared is still there, and in the grid."""
        in_grid = self.entering or bool(self._viewer.canvas.grid.enabled)
        return in_grid and all(layer in self._viewer.layers for layer in self._shown)

    def show(self) -> None:
        """Show what is compared and nothing else: a choice in the dock may have hidden some of it."""
        for _ in self._show():
            pass

    def _show(self) -> Iterator[None]:
        """Show and hide one layer after the other."""
        for layer in list(self._viewer.layers):
            if layer.visible != (layer in self._shown):
                layer.visible = layer in self._shown
                yield

    def match(self, gene: str, style: Style) -> bool:
        """Show the same gene between the same limits on all slides, and return whether any limits have changed."""
        for heatmap in self.heatmaps:
            if gene != heatmap.gene and gene in heatmap.map.card.genes and heatmap.present:
                heatmap.show(gene)
        there = [heatmap for heatmap in self.heatmaps if heatmap.present]
        if not there:
            return False
        kept = style.last if style.locked else style.by_hand.get((there[0].map.card.unit, gene))
        values = np.concatenate([heatmap.values[np.isfinite(heatmap.values)] for heatmap in there])
        fitted = limits_of(values, style.percentiles)
        ends = kept or (fitted.low, fitted.high)
        changed = any(ends != (heatmap.limits.low, heatmap.limits.high) for heatmap in there)
        for heatmap in there:
            heatmap.set_limits(*ends, fitted.note)
        return changed

    def watch_limits(self, connections: Connections, changed: Callable[..., None]) -> None:
        """Call `changed` whenever the limits of a heatmap change, until the connections are closed."""
        for heatmap in self.heatmaps:
            if heatmap.layer is not None:
                connections.add(heatmap.layer.events.contrast_limits, changed)

    def leave(self) -> None:
        """Put order, visibility, camera and grid back; each heatmap has limits of its own again."""
        self.entering = False
        self._steps.close()
        with told_once(self._viewer):
            self._put_back(self._viewer)

    def _put_back(self, viewer: ViewerModel) -> None:
        still = [layer for layer in self._order if layer in viewer.layers]
        linked = [layer for layer in self._shown if layer in still]
        if linked:
            viewer.layers.unlink_layers(linked)
        _set_grid(viewer, on=False, **self._grid)
        self._arrange(still)
        for layer in still:
            layer.visible = self._visible[layer]
        for slide, named in zip(self._slides, self._named, strict=True):
            slide.name_overlay.visible = named
        for heatmap in self.heatmaps:
            heatmap.restyle()
        viewer.scene.camera.center, viewer.scene.camera.zoom = self._camera

    def _go_on(self) -> None:
        """Take the next step, unless the slides are put back by now."""
        if not self.entering:
            return
        if next(self._steps, self) is self:
            self.entering = False
            self._laid_out()
        else:
            self._later(self._go_on)

    def _remember(self) -> None:
        """Take note of all that is put back in the end."""
        viewer, grid = self._viewer, self._viewer.canvas.grid
        self._order = list(viewer.layers)
        self._visible = {layer: layer.visible for layer in self._order}
        self._grid = {name: getattr(grid, name) for name in ("stride", "shape", "spacing")}
        self._camera = tuple(viewer.scene.camera.center), float(viewer.scene.camera.zoom)
        self._named = [slide.name_overlay.visible for slide in self._slides]

    def _enter(self) -> Generator[None]:
        """Lay the slides out step by step."""
        viewer = self._viewer
        self._arrange(self._shown)
        yield from self._show()
        layers = [heatmap.layer for heatmap in self.heatmaps if heatmap.layer is not None]
        if len(layers) > 1:
            share_opacity(layers)
            for layer in layers[1:]:
                layer.colormap, layer.gamma = layers[0].colormap, layers[0].gamma
            viewer.layers.link_layers(layers, _LINKED)
        _set_grid(viewer, on=True, stride=self._stride, shape=(-1, -1), spacing=_SPACING)
        viewer.fit_to_view(layers=self._slides)
        for slide in self._slides:
            yield
            slide.name_overlay.visible = True

    def _arrange(self, first: Sequence[Layer]) -> None:
        """Move layers to the beginning of the list, in this order."""
        layers = self._viewer.layers
        selected = set(layers.selection)
        for place, layer in enumerate(first):
            layers.move(layers.index(layer), place)
        layers.selection = selected & set(layers)


def _set_grid(viewer: ViewerModel, *, on: bool, **look: Any) -> None:
    """Switch napari's grid, with its look; napari would build its scene anew for each part of that."""
    grid = viewer.canvas.grid
    with ExitStack() as stack:
        for name, value in look.items():
            stack.enter_context(grid.events[name].blocker())
            setattr(grid, name, value)
        grid.enabled = on
