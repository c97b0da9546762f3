"""What can be copied, written and loaded, and what is said of it; without a window."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import PIL.Image
import pytest
from napari.layers import Image
from PIL import Image as Picture

from napari_nh2st import cli
from napari_nh2st.engine.store import open_prediction, save_prediction
from napari_nh2st.formats import format_of
from napari_nh2st.formats.display import Display, Subject, load_display, save_display
from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.export.choices import ExportChoice, FigureChoice, ReportChoice
from napari_nh2st.viewer.export.commands import _display_of
from napari_nh2st.viewer.export.on_screen import display_of_window
from napari_nh2st.viewer.export.presenter import NOT_READY, NOTHING, STOPPED, WRITING, ExportPresenter
from napari_nh2st.viewer.predict.messages import READY
from napari_nh2st.viewer.predict.region import visible_box
from napari_nh2st.viewer.reader import get_reader
from napari_nh2st.viewer.state.services import Services
from viewer.fakes import FakeServices, FakeSlide
from viewer.without_window import Desk, FakeWork


class FakeExportView:
    def __init__(self, work: FakeWork) -> None:
        self.work = work
        self.devices: list[str] = []
        self.device, self.export_off, self.copying_off, self.clipboard, self.said = "auto", "", "", "", ""
        self.opened: list[Path] = []

    def show_devices(self, names: Sequence[str]) -> None:
        self.devices = list(names)

    def show_device(self, name: str) -> None:
        self.device = name

    def turn_export(self, reason_off: str) -> None:
        self.export_off = reason_off

    def turn_copying(self, reason_off: str) -> None:
        self.copying_off = reason_off

    def put_on_clipboard(self, text: str) -> None:
        self.clipboard = text

    def say(self, text: str) -> None:
        self.said = text

    def open_file(self, path: Path) -> None:
        self.opened.append(path)


class Export(Desk):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.view = FakeExportView(FakeWork(self.workspace.subjects))
        self.export = ExportPresenter(self.workspace, self.view)

    def copied(self, what: str = "command") -> str:
        getattr(self.export, f"copy_{what}")()
        return self.view.clipboard

    @property
    def layer(self):
        return self.heatmap.layer

    @property
    def seen(self) -> tuple[float, ...]:
        box = visible_box(self.viewer, self.viewer.layers[0])
        return box.x0, box.y0, box.x1, box.y1


@pytest.fixture
def desk() -> Export:
    return Export()


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def test_what_is_copied_gives_what_is_on_screen(small_slide, tiny_model, tmp_path, monkeypatch) -> None:
    real = Export(slide=open_slide(small_slide), services=Services(), model=str(tiny_model))
    real.predict()
    real.state.choose_gene("GENE3")
    real.layer.contrast_limits = (-0.25, 0.75)
    real.viewer.scene.camera.zoom *= 1.3
    display, expected = display_of_window(real.workspace), real.map.values("GENE3")
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(compile(real.copied("python"), "copied", "exec"), made)
    cells = real.map.cells(made["prediction"].places)
    assert len(cells) == real.map.count
    np.testing.assert_allclose(made["values"], expected.ravel()[cells], atol=4e-3)
    np.testing.assert_array_equal(made["centres"], real.map.tiles(cells).centres)
    with PIL.Image.open(tmp_path / "GENE3.png") as picture:
        assert picture.size[0] > 500

    predict, figure = real.copied().splitlines()
    run(predict, monkeypatch)
    again = open_prediction("predictions/small.nh2st")
    np.testing.assert_allclose(again.gene("GENE3"), expected.ravel()[real.map.cells(again.places)], atol=4e-3)
    run(figure, monkeypatch)
    (pdf,) = Path().glob("*.pdf")
    assert pdf.name == "GENE3.pdf"
    assert "--limits=-0.25,0.75" in figure or "--limits -0.25,0.75" in figure
    assert f"--region {','.join(str(round(v)) for v in display.region)}" in figure

    real.export.save_table(ExportChoice(format="csv", file=tmp_path / "out.csv"))
    assert real.view.said == f"Saved {tmp_path / 'out.csv'}"
    record = json.loads(Path("out.csv.provenance.json").read_text())
    assert record["command"].startswith("nh2st predict ")
    assert record["versions"]["torch"]
    assert record["model_hash"] == real.map.provenance["model_hash"] == display.of.model_hash


def test_a_view_is_saved_and_loaded(desk: Export, tmp_path: Path) -> None:
    desk.predict()
    style, camera = desk.state.style, desk.viewer.scene.camera
    desk.state.choose_gene("KRT8")
    style.colormap, style.percentiles = "magma", (5.0, 95.0)
    desk.layer.contrast_limits = (0.25, 0.5)
    desk.layer.opacity = 0.4
    style.locked = True
    camera.zoom *= 3
    camera.center = (0, 200, 300)
    seen = desk.seen
    desk.export.save_view(str(tmp_path / "view.json"))
    assert desk.view.said == f"Saved {tmp_path / 'view.json'}"
    display = load_display(tmp_path / "view.json")
    assert (display.genes, display.colormap, display.percentiles) == (("KRT8",), "magma", (5.0, 95.0))
    assert (display.limits, display.locked, display.opacity) == ({"KRT8": (0.25, 0.5)}, True, 0.4)
    assert display.of == Subject(
        slide="/nowhere/C9.svs", fingerprint="f" * 8, mpp=0.5, model="her2st", model_hash="hash of her2st 0", pitch=112
    )

    style.locked = False
    desk.state.choose_gene("ERBB2")
    style.colormap, style.percentiles = "viridis", (1.0, 99.0)
    desk.layer.contrast_limits = (0.0, 9.0)
    desk.viewer.fit_to_view()
    desk.state.gene_requested.connect(desk.state.choose_gene)  # as the gene field does
    desk.export.load_view(str(tmp_path / "view.json"))
    assert desk.view.said == "Loaded view.json."
    assert (desk.state.gene, desk.heatmap.gene, style.locked) == ("KRT8", "KRT8", True)
    assert (desk.layer.colormap.name, tuple(desk.layer.contrast_limits)) == ("magma", (0.25, 0.5))
    assert (desk.layer.opacity, style.percentiles) == (0.4, (5.0, 95.0))
    np.testing.assert_allclose(desk.seen, seen, atol=1)
    desk.state.choose_gene("ERBB2")
    assert tuple(desk.layer.contrast_limits) == (0.25, 0.5)  # locked, as it was saved


def test_what_is_faded_or_hidden_is_saved_as_if_it_were_not(desk: Export, tmp_path: Path) -> None:
    desk.predict()
    desk.layer.opacity = 0.4
    desk.export.save_view(str(tmp_path / "plain.json"))
    fade = desk.workspace.fade
    for step, out_of_sight in ((lambda: fade.fade(0.5), False), (fade.toggle, True)):
        step()
        assert (desk.layer.opacity == 0) is out_of_sight
        assert "--opacity 0.4" in desk.copied("command")
        desk.export.save_view(str(tmp_path / "faded.json"))
        assert (tmp_path / "faded.json").read_text() == (tmp_path / "plain.json").read_text()
        drawn_by_menu = _display_of(desk.layer, ("ERBB2",))
        assert drawn_by_menu.opacity == pytest.approx(0.4)
    desk.export.load_view(str(tmp_path / "faded.json"))
    assert desk.layer.opacity == pytest.approx(0.2), "what is loaded is seen, as faded as before"
    fade.fade(1)
    assert desk.layer.opacity == pytest.approx(0.4)


def test_a_view_of_another_slide_opens_nothing_and_says_so(desk: Export, tmp_path: Path) -> None:
    desk.predict()
    desk.state.gene_requested.connect(desk.state.choose_gene)
    before = desk.seen
    other = Subject(slide="/data/B4.svs", fingerprint="other", model="her2st", pitch=112)
    view = Display(genes=("CD3E",), colormap="magma", region=(0.0, 0.0, 50.0, 50.0), of=other)
    desk.export.load_view(str(save_display(view, tmp_path / "view.json")))
    assert desk.view.said == (
        "Loaded view.json. It was made on B4.svs: the part of the slide that it shows was left out."
    )
    assert desk.heatmap.gene == "CD3E"
    assert desk.seen == before
    assert len(desk.viewer.layers) == 2


def test_a_view_that_cannot_be_shown_is_a_sentence(desk: Export, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    desk.export.load_view(str(tmp_path / "x.json"))
    assert desk.view.said.endswith("is not a saved view: give a file that “Save view…” wrote")
    view = save_display(Display(genes=("NOPE",), colormap="gnuplot"), tmp_path / "view.json")
    desk.export.load_view(str(view))
    assert "no colours named gnuplot" in desk.view.said
    assert "while nothing is predicted" in desk.view.said
    desk.predict()
    desk.export.load_view(str(view))
    assert "her2st does not predict NOPE." in desk.view.said
    assert desk.heatmap.gene == "ERBB2"


def test_a_figure_as_it_was_chosen_and_chosen_so_again(desk: Export, tmp_path: Path) -> None:
    desk.predict()
    form = desk.export.figure_form()
    assert (form.result().genes, form.result().file.name) == ([], "C9-ERBB2.pdf")
    assert "1 panel (ERBB2) of the part of the slide that the window shows" in form.preview
    choice = FigureChoice(genes=["ERBB2", "krt8"], width=100, dpi=100, format="PNG", file=tmp_path / "a.png")
    desk.export.save_figure(choice)
    assert desk.view.said.startswith(f"Saved {tmp_path / 'a.png'}, without tissue: the slide /nowhere/C9.svs was not")
    with Picture.open(tmp_path / "a.png") as picture:
        assert picture.width == pytest.approx(100 / 25.4 * 100, abs=1)
        assert "--gene ERBB2 --gene KRT8" in str(picture.text)
        assert "--width-mm 100 --dpi 100" in str(picture.text)
    again = desk.export.figure_form().result()
    assert again.file == tmp_path / "C9-ERBB2.png"
    assert again.model_copy(update={"file": choice.file}) == choice
    desk.state.choose_gene("CD3E")  # another gene is shown: the others are not meant any more
    assert desk.export.figure_form().result().genes == []


def test_some_genes_are_exported(desk: Export, tmp_path: Path) -> None:
    desk.services.export = Services().export
    desk.predict()
    form = desk.export.export_form()
    assert form.result().file.name == "C9.h5ad"
    desk.export.save_table(ExportChoice(genes=["cd3e"], file=tmp_path / "a.h5ad"))
    assert desk.view.said == f"Saved {tmp_path / 'a.h5ad'}"
    table = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert (list(table.var_names), table.n_obs) == (["CD3E"], desk.map.count)
    assert desk.export.export_form().result().genes == ["cd3e"]


def test_while_a_file_is_written_no_other_is_and_an_error_is_said(desk: Export, tmp_path: Path) -> None:
    desk.services.export = Services().export
    desk.predict()
    desk.view.work.hold = True
    (tmp_path / "file").touch()
    desk.export.save_table(ExportChoice(file=tmp_path / "file" / "a.h5ad"))
    assert (desk.view.said, desk.view.export_off) == (WRITING, WRITING)
    desk.view.work.release()
    assert desk.view.said.startswith("Could not save: ")
    assert desk.view.export_off == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_done_when_another_slide_is_open_names_its_slide(desk: Export, tmp_path: Path) -> None:
    desk.services.export = Services().export
    desk.predict()
    (tmp_path / "file").touch()
    for file, said in ((tmp_path / "a.h5ad", "C9: Saved "), (tmp_path / "file" / "a.h5ad", "C9: Could not save: ")):
        desk.view.work.hold = True
        desk.export.save_table(ExportChoice(file=file))
        first, other = desk.state.slide_layer, FakeSlide()
        other.fingerprint = "another"
        desk.open(other)
        desk.view.work.release()
        assert desk.view.said.startswith(said)
        desk.presenter.choose_slide(first)


def test_a_file_that_was_stopped_is_not_there(desk: Export, tmp_path: Path) -> None:
    desk.services.export = Services().export
    desk.predict()
    tables = [tmp_path / name for name in ("a.csv", "a.h5ad", "a.ome.zarr", "a.ome.tif")]
    for begin in (
        *(partial(desk.export.save_table, ExportChoice(file=file, format=format_of(file))) for file in tables),
        partial(desk.export.save_figure, FigureChoice(file=tmp_path / "a.png", format="PNG")),
        partial(desk.export.save_report, ReportChoice(file=tmp_path / "a.html")),
    ):
        desk.view.work.hold = True
        begin()
        assert (desk.view.said, desk.view.export_off) == (WRITING, WRITING)
        desk.view.work.cancel()
        assert (desk.view.said, desk.view.export_off) == (STOPPED, "")
    assert desk.view.opened == []
    assert not list(tmp_path.iterdir())


def test_drawn_regions_and_domains_go_into_the_formats_that_keep_them(desk: Export, tmp_path: Path) -> None:
    kept = []
    desk.services.export = lambda *given, regions=None, **more: kept.append(regions)
    desk.predict()
    corners = np.array([(0.0, 0.0), (400.0, 0.0), (400.0, 400.0)])
    desk.export.regions = lambda: {"tumour": [corners]}
    desk.export.domains = lambda: lambda: {"Domain 1": [[corners + 400]]}
    for name in ("spatialdata", "geojson", "h5ad"):
        desk.export.save_table(ExportChoice(format=name, file=tmp_path / "a"))
    assert [list(each or ()) for each in kept] == [["Domain 1", "tumour"], ["Domain 1", "tumour"], []]
    assert kept[0]["tumour"][0][0] is corners


def test_a_report_has_the_gene_in_the_window_the_pinned_ones_and_the_regions(desk: Export, tmp_path: Path) -> None:
    assert desk.export.report_form() is None
    desk.predict()
    desk.state.pinned = ("KRT8", "NOPE")
    desk.export.regions = lambda: {"tumour": [np.array([(0.0, 0.0), (400.0, 0.0), (400.0, 400.0)])]}
    desk.workspace.preferences.save_folder = str(tmp_path)
    form = desk.export.report_form()
    assert form.preview == "2 maps (ERBB2, KRT8), 1 region, trust and origin. It is saved as C9-report.html."
    form.draft.change("format", "PDF")
    assert form.result().file == tmp_path / "C9-report.pdf"
    desk.export.save_report(ReportChoice(file=tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert (desk.view.said, desk.view.opened) == (f"Saved {tmp_path / 'a.html'}", [tmp_path / "a.html"])
    assert page.count("data:image/png") == 3
    assert "tumour" in page
    assert "nh2st report predictions/C9.nh2st --genes ERBB2,KRT8 --out a.html" in page


def test_a_deleted_heatmap_is_a_sentence(desk: Export, tmp_path: Path) -> None:
    desk.predict()
    assert desk.export.is_shown
    desk.viewer.layers.remove(desk.layer)
    assert not desk.export.is_shown
    assert desk.export.figure_form() is None
    desk.view.said = ""
    desk.export.save_figure(FigureChoice(file=tmp_path / "a.pdf"))
    assert "No heatmap is shown" in desk.view.said
    desk.export.save_view(str(tmp_path / "a.json"))
    assert "No heatmap is shown" in desk.view.said
    assert desk.copied().count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_what_was_opened_from_a_file_is_repeated_from_it(desk: Export, tmp_path: Path, monkeypatch) -> None:
    desk.predict()
    path = save_prediction(desk.map.prediction(), tmp_path / "C9.nh2st")
    desk.viewer.layers.clear()
    desk.presenter.choose_slide(None)
    ((data, meta, _),) = get_reader(str(path))(str(path))
    opened = Image(data, **meta)
    opened._source = SimpleNamespace(path=str(path), reader_plugin=None, sample=None, widget=None, parent=None)
    desk.viewer.add_layer(opened)
    desk.presenter.take_up_heatmap(opened)
    assert desk.view.export_off == ""
    assert desk.copied().startswith(f"nh2st figure {path} --gene ERBB2 ")
    made: dict = {}
    monkeypatch.chdir(tmp_path)
    exec(desk.copied("python"), made)
    assert (tmp_path / "ERBB2.png").stat().st_size > 5000
    np.testing.assert_allclose(made["values"], opened.data[np.isfinite(opened.data)], rtol=1e-6)
    desk.export.save_view(str(tmp_path / "v.json"))
    shown = load_display(tmp_path / "v.json")
    desk.viewer.scene.camera.zoom *= 4
    desk.export.load_view(str(tmp_path / "v.json"))
    desk.export.save_view(str(tmp_path / "w.json"))
    np.testing.assert_allclose(load_display(tmp_path / "w.json").region, shown.region, atol=1)


def test_why_something_cannot_be_done_yet(desk: Export) -> None:
    assert (desk.view.export_off, desk.view.copying_off) == (NOTHING, "")
    assert desk.export.export_form() is None
    desk.presenter.choose_slide(None)
    assert desk.view.copying_off == NOT_READY


def test_a_map_that_stays_in_sight_when_the_detail_or_model_changes_is_named_with_the_way_back(desk: Export) -> None:
    desk.predict()
    assert desk.view.export_off == ""
    desk.state.fine = True
    words = "The map in sight is coarse. Press Predict for fine, or choose coarse to go on with it."
    assert (desk.heatmap, desk.job.text, desk.view.export_off) == (None, words, words)
    desk.presenter.choose_slide(desk.state.slide_layer)
    assert desk.job.text == words
    desk.state.fine = False
    assert (desk.job.text, desk.view.export_off) == ("All of the tissue is predicted. Choose a gene, or export.", "")
    desk.use_model("demo")
    words = "The map in sight is from her2st. Press Predict, or choose her2st to go on with it."
    assert (desk.job.text, desk.view.export_off) == (words, words)
    desk.viewer.layers.remove(desk.viewer.layers[-1])
    desk.presenter.choose_slide(desk.state.slide_layer)
    assert desk.job.text == READY


def test_the_python_says_what_it_leaves_out(desk: Export) -> None:
    desk.viewer.add_shapes([np.array([[40, 60], [40, 160], [110, 160], [110, 60]])], shape_type="polygon")
    desk.state.where = "shape"
    text = desk.copied("python")
    assert "# without the outline: all tiles of its bounding box" in text
    assert "region=Box.from_xywh(" in text
    compile(text, "copied", "exec")


def test_a_device_is_remembered_once_a_person_chooses_it_and_one_that_is_gone_is_left_alone() -> None:
    services = FakeServices()
    services.devices = lambda: ["cuda:0", "cpu"]
    desk = Export(services=services)
    assert (desk.view.devices, desk.view.device, desk.state.device) == (["cuda:0", "cpu"], "auto", "auto")
    desk.export.choose_device("cpu")
    kept = desk.workspace.preferences
    assert (desk.view.device, desk.state.device, kept.device) == ("cpu", "cpu", "cpu")
    kept.device = "cuda:7"  # in napari's Preferences
    assert (desk.view.device, desk.state.device) == ("cpu", "cpu")
    kept.device = "cuda:0"
    assert (desk.view.device, desk.state.device) == ("cuda:0", "cuda:0")


def test_files_are_saved_beside_the_slide_until_a_person_chooses_another_folder(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    (tmp_path / "results").mkdir()
    slide = FakeSlide()
    slide.path = tmp_path / "slides" / "C9.svs"
    slide.path.touch()
    services = FakeServices()
    services.export = lambda prediction, name, path, *_, **__: Path(path)
    desk = Export(slide=slide, services=services)
    desk.predict()
    kept = desk.workspace.preferences
    form = desk.export.export_form()
    assert form.result().file == tmp_path / "slides" / "C9.h5ad"
    desk.export.save_table(form.result())
    assert kept.save_folder == ""  # what was proposed is no choice
    desk.export.save_table(form.result().model_copy(update={"file": tmp_path / "results" / "C9.h5ad"}))
    assert desk.export.export_form().result().file.parent == tmp_path / "results"
    kept.save_folder = str(tmp_path / "gone")
    assert desk.export.export_form().result().file.parent == tmp_path / "slides"
