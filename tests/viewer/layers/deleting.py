"""Shows every kind of layer of ours in a window, deletes it and brings it back, as a person would, many times.

A process of its own (test_delete_and_bring_back.py starts it): a crash in the graphics driver ends the process.

    python deleting.py CYCLES CYCLES_OF_COSTLY_KINDS [KIND ...]
"""

from __future__ import annotations

import faulthandler
import gc
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import napari
import numpy as np
import scipy.sparse as sp
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import GENES, FakeServices, FakeSlide

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
PATIENCE = 60.0


class Reference:
    """The right half of the slide is unlike the training tissue."""

    def novelty(self, embeddings: np.ndarray) -> np.ndarray:
        return np.where(embeddings[:, 0] > 0.64, 2.0, 0.4).astype(np.float32)


class Services(FakeServices):
    def reference(self, model: Any) -> Reference:
        return Reference()


def tick(box: Any) -> None:
    """Click a box until its tick is there, anew where it was."""
    if box.isChecked():
        box.click()
    box.click()


class Window:
    """napari with the dock, a slide that is predicted, and all folds open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.window.resize(900, 450)
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        services = Services(chunk=1000)
        services.cards["her2st"] = services.cards["her2st"].model_copy(update={"pitch": 28})
        self.slide = FakeSlide()
        self.widget = PredictWidget(self.viewer, services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.show_slide()
        self.widget.where.buttons["whole"].click()
        self.widget.where.detail.setCurrentIndex(1)  # fine: tiles enough for domains
        self.widget.job.button.click()
        self.until(lambda: not self.widget.controller.running)
        self.folds = {title: fold.open() for title, fold in self.widget.folds.items()}
        self.workspace = self.widget.workspace
        self.workspace.state.pinned = tuple(GENES[2:3])

    def frames(self, n: int = 1) -> None:
        for _ in range(n):
            self.canvas.update()
            QApplication.processEvents()

    def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "nothing came"
            QApplication.processEvents()
            time.sleep(0.002)

    def layers(self, part: str) -> list[Any]:
        return [layer for layer in self.viewer.layers if re.search(part, layer.name)]

    def delete(self, layers: list[Any], *, hidden: bool) -> None:
        """Hide layers, all but the slide as a rule, then select and delete some as the bin below the list does."""
        if hidden:
            for layer in self.viewer.layers[1:]:
                layer.visible = False
            for layer in layers:
                layer.visible = False
            self.frames()
        self.viewer.layers.selection = set(layers)
        self.viewer.layers.remove_selected()
        self.frames(2)  # the second frame after is the one that crashed

    # what a person does to bring a kind of layer

    def show_slide(self) -> None:
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.viewer.add_layer(napari.layers.Layer.create(data, meta, "image"))
        self.viewer.layers.move(len(self.viewer.layers) - 1, 0)

    def show_heatmap(self) -> None:
        self.workspace.state.request_gene(GENES[0] if self.workspace.state.gene != GENES[0] else GENES[1])

    def pin(self) -> None:
        tick(self.folds["Several genes"].pinned.box)
        self.until(lambda: self.layers("predicted, pinned"))
        for layer in self.layers(f"{GENES[2]} · predicted"):
            layer.visible = True

    def show_effect(self) -> None:
        self.folds["Context"].show_button.click()
        self.until(lambda: not self.folds["Context"].effect_task.running)

    def inspect(self) -> None:
        cells = np.flatnonzero(self.workspace.map.done)
        self.cell = (getattr(self, "cell", 0) + 7) % len(cells)
        x, y = self.workspace.map.tiles(cells[[self.cell]]).centres[0]
        world = np.array(self.workspace.map_slide_layer.data_to_world((y - 0.5, x - 0.5)))
        camera, size = self.viewer.scene.camera, np.array([self.canvas.height(), self.canvas.width()])
        at = (world - np.asarray(camera.center)[-2:]) * camera.zoom + size / 2
        self.viewer.layers.selection.active = self.workspace.map_slide_layer
        if not self.folds["Context"].pick.isChecked():
            self.folds["Context"].pick.click()
        QTest.mouseMove(self.canvas, QPoint(round(at[1]), round(at[0])))
        QTest.mouseClick(self.canvas, LEFT, NONE, QPoint(round(at[1]), round(at[0])))
        self.until(lambda: self.layers("inspected"))
        self.until(lambda: not self.folds["Context"].task.running)

    def show_spread(self) -> None:
        part = self.folds["Trust"].spread
        part.button.click()
        self.until(lambda: not part.task.running)

    def check_tissue(self) -> None:
        part = self.folds["Trust"].tissue
        part.button.click()
        self.until(lambda: not part.task.running)

    def measure(self) -> None:
        section = self.folds["Measured"]
        if section.comparison is None:
            spots = np.stack(np.meshgrid(np.arange(200, 1200, 100.0), np.arange(100, 900, 100.0)), axis=-1)
            spots = spots.reshape(-1, 2)
            counts = np.random.default_rng(0).poisson(spots.sum(axis=1)[:, None] / [40, 50, 60, 70])
            data = ad.AnnData(sp.csr_matrix(counts.astype(np.float32)))
            data.var_names, data.obsm["spatial"] = GENES, spots
            data.write_h5ad(self.folder / "C9.h5ad")
            mime = QMimeData()
            mime.setUrls([QUrl.fromLocalFile(str(self.folder / "C9.h5ad"))])
            section.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, LEFT, NONE))
            self.until(lambda: section.comparison is not None)
        tick(section.show_spots)

    def difference(self) -> None:
        tick(self.folds["Measured"].show_difference)

    def lay_spots(self) -> None:
        """Put landmarks on the canvas: of the spots and on the slide, in layers of their own."""
        section = self.folds["Measured"]
        if section.measurement is None:
            self.measure()
        if section.measurement.settled:
            section.lay.click()
        if not section.presenter.landmarks.on:
            section.landmarks.marks.click()
        self.until(lambda: self.layers("landmarks of the spots") and self.layers("landmarks on the slide"))

    def combine(self) -> None:
        part = self.folds["Several genes"].composite
        for combo, gene in zip(part.combos, GENES[:3], strict=True):
            combo.setCurrentText(gene)
        part.show_button.click()

    def score(self) -> None:
        part = self.folds["Several genes"].signature
        part.genes.setPlainText(" ".join(GENES[:2]))
        part.button.click()
        self.until(lambda: not part.task.running)

    def draw_regions(self) -> None:
        self.folds["Regions"].draw.click()
        layer = self.layers("regions")[-1]
        layer.add_polygons(np.array([(0, 0), (0, 320), (480, 320), (480, 0)], dtype=float))
        layer.mode = "pan_zoom"

    def find_domains(self) -> None:
        part = self.folds["Regions"].domains
        part.button.click()
        self.until(lambda: not part.task.running)

    def edit_tissue(self) -> None:
        self.widget.tissue.button.click()
        self.until(lambda: self.layers("tissue mask"))


# a kind of layer: what brings it, and a pattern in its name that tells it from the others
KINDS: dict[str, tuple[Callable[[Window], None], str]] = {
    "heatmap": (Window.show_heatmap, r"· predicted \(fine\)"),
    "pinned": (Window.pin, f"{GENES[2]} · predicted, pinned"),
    "context effect": (Window.show_effect, "context effect"),
    "inspected tile": (Window.inspect, "inspected"),
    "spread": (Window.show_spread, "spread"),
    "tissue unlike the training": (Window.check_tissue, "unlike the training"),
    "measured spots": (Window.measure, "· measured"),
    "difference": (Window.difference, "difference"),
    "landmarks of the spots": (Window.lay_spots, "landmarks of the spots"),
    "landmarks on the slide": (Window.lay_spots, "landmarks on the slide"),
    "composite": (Window.combine, r" \+ "),
    "signature": (Window.score, "signature"),
    "regions": (Window.draw_regions, "regions"),
    "tissue mask": (Window.edit_tissue, "tissue mask"),
    "domains": (Window.find_domains, "domains"),
    "slide": (Window.show_slide, "^C9$"),
}
COSTLY = ("measured spots", "composite", "signature", "regions", "tissue mask", "domains", "slide")  # to bring back


def cycle(window: Window, kind: str, *, hidden: bool) -> None:
    bring, part = KINDS[kind]
    bring(window)
    window.frames()
    layers = window.layers(part)
    assert any(layer.visible for layer in layers), f"{kind} did not come: {[la.name for la in window.viewer.layers]}"
    window.delete(layers, hidden=hidden)
    assert not window.layers(part)


def main(often: int, seldom: int, kinds: list[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        window = Window(Path(folder))
        gc.freeze()  # napari collects garbage at each removal: this makes it look at what is new alone
        for kind in kinds or KINDS:
            begin, cycles = time.process_time(), seldom if kind in COSTLY else often
            for n in range(cycles):
                cycle(window, kind, hidden=n % 2 == 1)
            yield f"{kind}: {cycles} times in {time.process_time() - begin:.1f} s"
        window.viewer.close()
    yield "survived"


if __name__ == "__main__":
    faulthandler.enable()
    for line in main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]):
        print(line, flush=True)
