"""Draw the pictures of docs/exploring.md: each section of the dock, in use on two synthetic sections.

Run in a real window (make docs-images, or xvfb-run). ``--out`` writes elsewhere; ``--theme`` and ``--font`` (a factor)
show the same states as other people have them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import own_settings  # noqa: F401  # before napari

# isort: split
import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from screenshots import IMAGES, SIZE, settle, wait

from napari_nh2st.demo.sheet import write_sample_sheet
from napari_nh2st.expression.transform import Transform
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.encoder_file import save_encoder
from napari_nh2st.model.folder import load_model
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.finetune import finetune
from napari_nh2st.viewer import launch

SECTIONS, TRAINED_ON = (901, 902), (903, 904)
GENES = ("DEMO-TUMORIN", "DEMO-IMMUNIN", "DEMO-STROMIN")


class Window:
    """napari with the dock and both sections, the first one predicted."""

    def __init__(self, folder: Path, theme: str, font: float) -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)
        for number in reversed(SECTIONS):
            self.viewer.open(str(folder / f"S{number}.tif"), plugin="napari-nh2st")
        self.dock = launch.open_dock(self.viewer)
        self.dock.use_model("demo")
        self.choose_slide(f"S{SECTIONS[0]}")
        self.predict()
        settle(2)

    def choose_slide(self, name: str) -> None:
        self.dock.slides.combo.setCurrentText(name)
        settle(0.5)

    def predict(self) -> None:
        self.dock.where.buttons["whole"].click()
        self.dock.job.button.click()
        settle(0.3)
        wait(lambda: not self.dock.controller.running)
        self.dock.state.request_gene(GENES[0])

    def only(self, title: str) -> Any:
        """Open one section and close the others."""
        for fold in self.dock.folds.values():
            if fold.title != title and fold.button.isChecked():
                fold.open(False)
        section = self.dock.folds[title].open()
        settle(0.5)
        return section

    def bring(self, widget: Any) -> None:
        """Scroll the dock so that a widget begins near its top."""
        settle(0.3)
        top = widget.mapTo(self.dock.scroll.widget(), QPoint(0, 0)).y()
        self.dock.scroll.verticalScrollBar().setValue(max(0, top - 30))
        settle(0.3)

    def take(self, path: Path) -> None:
        settle()
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        Image.fromarray(pixels[..., :3]).quantize(256, kmeans=2).save(path, optimize=True)  # a third of the size
        print(path)


def genes(window: Window) -> None:
    section, state = window.dock.genes, window.dock.state
    for gene in GENES:
        if gene not in state.pinned:
            section.presenter.choose(gene)
            section.presenter.toggle_pin(gene)
    section.presenter.choose(GENES[0])
    section.field.showPopup()


def measured(window: Window) -> None:
    window.dock.genes.field.hidePopup()
    section = window.only("Measured")
    section.presenter.open([str(window.folder / f"S{SECTIONS[0]}.h5ad")])
    wait(lambda: section.comparison is not None)
    window.bring(section)


def anchors(window: Window) -> None:
    section = window.dock.folds["Measured"].open()
    if section.comparison is None:
        measured(window)
    part = section.anchors
    part.which.setCurrentIndex(2)
    part.button.click()
    wait(lambda: section.summary.text().startswith(f"S{SECTIONS[0]}, corrected map"))
    part.propose.click()
    wait(lambda: not part.placed.isHidden())
    window.bring(part)


def landmarks(window: Window) -> None:
    section = window.dock.folds["Measured"].open()
    if section.measurement is None:
        measured(window)
    window.dock.heatmap.layer.visible = False
    section.lay.click()
    part, presenter = section.landmarks, section.presenter.landmarks
    section.measurement.transform = Transform.of([[0.97, -0.2, 300], [0.2, 0.97, -150]])  # as on a turned picture
    part.marks.click()
    right = section.measurement.laid.inverse  # these spots' own places are the right ones
    marks = right.place(np.asarray(presenter.slide_marks.layer.data)[:, ::-1] + 0.5)
    for number in range(3):  # as a mouse does: a little off, as a person's hand is
        presenter.slide_marks._began()
        places = np.asarray(presenter.slide_marks.layer.data)[:, ::-1] + 0.5
        places[number] = marks[number] + ((9, 4), (-6, 8), (3, -9))[number]
        presenter.slide_marks._dragged(places)
    wait(lambda: part.meter.text().startswith("Mean PCC"))
    window.bring(section)


def regions(window: Window) -> None:
    section = window.dock.folds["Measured"].open()
    if section.measurement is not None and not section.measurement.settled:
        section.remove.click()
    window.dock.heatmap.layer.visible = True
    part = window.dock.folds["Measured"].open().anchors
    if part.box.isChecked():
        part.box.click()
        part.remove.click()
    for layer in list(window.viewer.layers):
        if "measured" in layer.name or "corrected" in layer.name:
            window.viewer.layers.remove(layer)
    shown, section = window.dock.workspace.map, window.only("Regions")
    height, width = np.array(shown.slide["shape"]) * shown.slide["mpp"]
    section.draw.click()
    layer = window.viewer.layers[-1]
    layer.add_polygons(np.array([(0.25, 0.2), (0.3, 0.45), (0.6, 0.4), (0.55, 0.15)]) * (height, width))
    layer.add_polygons(np.array([(0.4, 0.55), (0.4, 0.8), (0.8, 0.8), (0.8, 0.55)]) * (height, width))
    wait(lambda: section.list.rowCount() == 2 and not section.table.isHidden())
    section.domains.button.click()
    wait(lambda: not section.domains.table.isHidden())
    window.bring(section.domains)


def context(window: Window) -> None:
    for layer in list(window.viewer.layers):
        if "domains" in layer.name or "regions" in layer.name.lower():
            window.viewer.layers.remove(layer)
    window.dock.state.request_gene(GENES[0])
    window.dock.heatmap.layer.visible = True
    section, shown = window.only("Context"), window.dock.workspace.map
    done = np.flatnonzero(shown.done)
    cell = done[np.argsort(shown.values(window.dock.workspace.state.gene, done))[int(0.9 * len(done))]]
    x, y = shown.tiles(np.array([cell])).centres[0]
    viewer = window.viewer
    viewer.scene.camera.zoom *= 2
    viewer.scene.camera.center = tuple(window.dock.workspace.map_slide_layer.data_to_world((y - 0.5, x - 0.5)))
    viewer.layers.selection.active = window.dock.heatmap.layer
    section.pick.click()
    settle()
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    QTest.mouseMove(canvas, middle)
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle)
    wait(lambda: not section.task.running and section.table.frame is not None)
    window.bring(section)


def trust(window: Window) -> None:
    window.viewer.fit_to_view()
    for layer in list(window.viewer.layers):
        if "inspected" in layer.name:
            window.viewer.layers.remove(layer)
    section = window.only("Trust")
    section.tissue.button.click()
    settle(0.3)
    wait(lambda: not section.tissue.task.running)
    section.spread.button.click()
    settle(0.3)
    wait(lambda: not section.spread.task.running)
    window.bring(section)


def several(window: Window) -> None:
    for layer in list(window.viewer.layers):
        if "spread" in layer.name or "unlike" in layer.name:
            window.viewer.layers.remove(layer)
    section = window.only("Several genes")
    for combo, gene in zip(section.composite.combos, GENES, strict=True):
        combo.setCurrentText(gene)
    section.composite.show_button.click()
    section.signature.genes.setPlainText("DEMO-IMMUNIN, DEMO-LYMPHALIN, CD3E")
    window.bring(section)


def slides(window: Window) -> None:
    window.choose_slide(f"S{SECTIONS[1]}")
    window.predict()
    section = window.only("Several slides")
    section.button.click()
    window.bring(section)


def models(window: Window) -> None:
    if len(window.viewer.layers) and window.viewer.canvas.grid.enabled:
        window.dock.folds["Several slides"].open().button.click()
    window.choose_slide(f"S{SECTIONS[0]}")
    window.dock.use_model("demo-paper")
    window.predict()
    section = window.only("Several models")
    section.side.button.click()
    wait(lambda: "limits" in section.side.sentence.text())
    window.dock.state.request_gene("DEMO-PERFUSIN")  # of which the second model knows nothing
    section.agreement.button.click()
    wait(lambda: section.agreement.presenter.compared is not None)
    window.bring(section)


def intervals(window: Window) -> None:
    """Show the intervals of a model that learns two further sections here."""
    if window.viewer.canvas.grid.enabled:
        window.dock.folds["Several models"].open().side.button.click()
    window.viewer.fit_to_view()
    sheet = write_sample_sheet(TRAINED_ON, window.folder / "train", size_mm=(2.8, 2.2))
    model = finetune(sheet, window.folder / "run", base="demo", config=TrainingConfig(name="tuned"), progress=False)
    window.dock.use_model(str(model))
    window.predict()
    shown = window.dock.workspace.map
    tiles, known = np.flatnonzero(shown.done), shown.card.intervals
    genes = enumerate(shown.card.genes)
    vain = {gene: (shown.half_width(gene, tiles) >= known.spread([row])).mean() for row, gene in genes}
    window.dock.state.request_gene(min(vain, key=lambda gene: abs(vain[gene] - 0.3)))
    section = window.only("Trust")
    section.intervals.button.click()
    section.intervals.mark.click()
    settle()
    window.bring(section)


def links(window: Window) -> None:
    """Show the links of a model with the head `merge`, which learns two further sections here."""
    base, head = load_model("demo"), "merge"
    own = {key: getattr(base.card.architecture, key) for key in ("encoder", "width", "dim", "heads")}
    config = TrainingConfig(
        name=head,
        architecture=Architecture(variant=head, **own),
        encoder_start=str(save_encoder(base.net.encoder, window.folder / "encoder.safetensors")),
        genes=base.card.genes,
        mpp=base.card.mpp,
        pretrain_steps=0,
        kernel_share=0.8,
        epochs=2,
        refit=False,
        intervals=False,
    )
    sheet = write_sample_sheet(TRAINED_ON, window.folder / "linked", size_mm=(2.0, 1.6))
    window.dock.use_model(str(finetune(sheet, window.folder / head, config=config, progress=False)))
    window.predict()
    window.viewer.fit_to_view()
    section = window.only("Context")
    section.links_button.click()
    wait(lambda: section.presenter.links.present)
    window.dock.heatmap.layer.opacity = 0.4  # thin lines on it are the matter
    window.bring(section)


STATES = {
    "genes": genes,
    "measured": measured,
    "anchors": anchors,
    "landmarks": landmarks,
    "regions": regions,
    "context": context,
    "trust": trust,
    "several": several,
    "slides": slides,
    "models": models,
    "intervals": intervals,
    "links": links,
}


def draw(out: Path, *, theme: str = "dark", font: float = 1.0, only: str | None = None) -> None:
    """Draw the pictures into a folder; each state follows from the one before it, as for a person."""
    from napari.settings import get_settings

    appearance = get_settings().appearance
    before = appearance.font_size
    with tempfile.TemporaryDirectory() as folder:
        write_sample_sheet(SECTIONS, folder, size_mm=(2.8, 2.2))
        appearance.font_size = round(before * font)
        try:
            window = Window(Path(folder), theme, font)
            for name, make in STATES.items():
                if only in (None, name):
                    make(window)
                    window.take(out / f"exploring-{name}.png")
            window.viewer.close()
        finally:
            appearance.font_size = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--font", type=float, default=1.0)
    parser.add_argument("--only", choices=tuple(STATES))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    draw(args.out, theme=args.theme, font=args.font, only=args.only)


if __name__ == "__main__":
    sys.exit(main())
