"""One gate for sections: every surface that learns from a section, scores it or shows it says the same of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.compare import compare
from napari_nh2st.evaluation.protocol import evaluate
from napari_nh2st.expression import read_expression, read_sheet
from napari_nh2st.model.folder import Model
from napari_nh2st.slides import open_slide
from napari_nh2st.training.estimate.estimate_run import estimate
from napari_nh2st.training.finetune import finetune, tell_doubts
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.sections.examine import examine
from napari_nh2st.training.sections.findings import SectionFindings
from napari_nh2st.training.sections.held_out_sections import HeldOutSections
from napari_nh2st.training.sections.section import load_section
from napari_nh2st.viewer.finetune.sections_presenter import SectionsPresenter
from napari_nh2st.viewer.measured.messages import ASK_FRAME, measured_caveats
from napari_nh2st.viewer.state.services import Services
from support.models import small_model
from support.sections import sheet as made_sheet
from support.slides import tiff
from viewer.finetune.fakes import FakeThreads
from viewer.measured.test_presenter import Measured

GENES = ["A", "B", "C"]
SIDE, PITCH = 900, 50.0  # level-0 pixels, of 2 um: a Visium array
OPTIONS = PredictionOptions(device="cpu", cache=False)


def _far(places: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([places[:count] + 5000, places[count:]])


def _half(places: np.ndarray) -> np.ndarray:
    return places / 2


@dataclass(frozen=True)
class OddSection:
    """A section with something wrong: what was done, what is said, and whether it is refused."""

    says: str
    refused: bool
    move: Callable[[np.ndarray], np.ndarray] = lambda places: places
    spatial: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)


DIAMETER = {"scalefactors": {"spot_diameter_fullres": 27.5}}
HALF_SIZE = {"images": {"hires": np.zeros((45, 45, 3))}, "scalefactors": {"tissue_hires_scalef": 0.1}}
ODD = {
    "another picture": OddSection("lie off S.tif (900 x 900 px)", True, lambda p: _far(p, 40)),
    "a few off": OddSection("4 of {n} spots lie off the slide and are left out", False, lambda p: _far(p, 4)),
    "image of half the size": OddSection("an image of about 450 x 450 px; this slide has", True, _half, HALF_SIZE),
    "x and y exchanged": OddSection("with x and y exchanged, ", True, lambda p: p[:, ::-1]),
    "mirrored": OddSection("mirrored left to right, ", True, lambda p: np.array([SIDE, 0]) - p * np.array([1, -1])),
    "moved": OddSection("moved by x -", False, lambda p: p + np.array([62, 62])),
    "wrong pixel size": OddSection("the pixel size that fits is 2 ", True, spatial=DIAMETER, columns={"mpp": 1.0}),
    "doubtful pixel size": OddSection("the pixel size that fits is 2 ", False, spatial=DIAMETER, columns={"mpp": 1.7}),
    "wrong scale given": OddSection("scale is 1, their sizes say 2", False, spatial=HALF_SIZE, columns={"scale": 1}),
}
PLACES = [name for name in ODD if name not in ("a few off", "wrong pixel size", "doubtful pixel size")]


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An L of tissue, of which no turn is like another."""
    rng = np.random.default_rng(0)
    pixels = np.full((SIDE, SIDE, 3), 245, np.uint8)
    for rows, columns in ((slice(80, 600), slice(100, 500)), (slice(400, 600), slice(450, 840))):
        shape = pixels[rows, columns].shape
        pixels[rows, columns] = np.clip(np.array([170, 90, 150]) + rng.normal(0, 20, shape), 0, 255)
    return tiff(tmp_path_factory.mktemp("tissue") / "S.tif", pixels, resolution=(5e3, 5e3), resolutionunit=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return small_model(tmp_path_factory.mktemp("model"), genes=GENES, gene_means=[5.0] * 3, pitch=96)


def write(folder: Path, tissue: Path, odd: OddSection) -> Path:
    """Write counts and a sheet; the slide lies beside them."""
    (folder / "S.tif").symlink_to(tissue)
    rows, columns = np.mgrid[0:24, 0:48].reshape(2, -1)
    kept = (rows + columns) % 2 == 0
    places = np.stack([columns[kept] * PITCH / 2, rows[kept] * PITCH * 3**0.5 / 2], axis=1) + 10
    x, y = places.T
    upright, foot = (x > 110) & (x < 490) & (y > 90) & (y < 590), (x > 480) & (x < 830) & (y > 410) & (y < 590)
    places = places[upright | foot]
    data = ad.AnnData(np.random.default_rng(1).poisson(200, (len(places), 3)).astype(np.float32))
    data.obs_names, data.var_names = [f"s{i}" for i in range(len(places))], GENES
    data.obsm["spatial"] = odd.move(places)
    if odd.spatial:
        data.uns["spatial"] = {"lib": odd.spatial}
    data.write_h5ad(folder / "S.h5ad")
    cells = {"sample": "S", "patient": "P", "slide": "S.tif", "expression": "S.h5ad", "format": "h5ad", **odd.columns}
    sheet = folder / "samples.csv"
    sheet.write_text(",".join(cells) + "\n" + ",".join(map(str, cells.values())) + "\n")
    return sheet


def found_in(sheet: Path) -> SectionFindings:
    (sample,) = read_sheet(sheet)
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        return examine(sample, read_expression(sample), slide)


def the_finding(findings: SectionFindings, odd: OddSection) -> str:
    (text,) = findings.refusals if odd.refused else findings.doubts
    assert odd.says.format(n=len(findings.on_slide)) in text
    assert len(findings.findings) == 1
    return text


def refusals(sheet: Path, model: Model, folder: Path) -> list[str]:
    """Ask everything that computes, and collect how it refuses."""
    samples = read_sheet(sheet)
    (folder / "other").mkdir()
    others = read_sheet(made_sheet(folder / "other", ("S2", "P2", 1)))
    surfaces = (
        lambda: evaluate(sheet, model, options=OPTIONS),
        lambda: compare([*samples, *others], "S:S2"),
        lambda: compare([*samples, *others], "S2:S"),
        lambda: estimate(sheet),
        lambda: finetune(sheet, folder / "run"),
        lambda: HeldOutSections.read(samples, model.card),
    )
    out = []
    for ask in surfaces:
        with pytest.raises(SampleError) as refused:
            ask()
        out.append(str(refused.value))
    assert not (folder / "run").exists()
    return out


def row_of(sheet: Path) -> tuple[str, tuple[str, ...]]:
    """Return state and words of the row in the fine-tune dock."""
    threads = FakeThreads()
    presenter = SectionsPresenter(threads)
    presenter.type_sheet(str(sheet))
    presenter.read_sheet()
    threads.run_all()
    ((_, facts),) = presenter.state.overview.rows
    assert facts is not None
    return facts.state, facts.says


@pytest.mark.parametrize("name", [name for name, odd in ODD.items() if odd.refused])
def test_a_refused_section_is_refused_everywhere(name: str, tmp_path: Path, tissue: Path, model: Model) -> None:
    odd = ODD[name]
    sheet = write(tmp_path, tissue, odd)
    text = the_finding(found_in(sheet), odd)
    assert set(refusals(sheet, model, tmp_path)) == {f"sample S: {text}"}
    state, says = row_of(sheet)
    assert (state, says[0]) == ("stop", text)


@pytest.mark.parametrize("name", [name for name, odd in ODD.items() if not odd.refused])
def test_a_doubt_is_said_everywhere(name: str, tmp_path: Path, tissue: Path, model: Model) -> None:
    odd = ODD[name]
    sheet = write(tmp_path, tissue, odd)
    findings = found_in(sheet)
    text = the_finding(findings, odd)
    report = evaluate(sheet, model, options=OPTIONS)
    (split,) = report["splits"]
    assert f"S: {text}" in report["warnings"]
    assert split["doubts"] == [text]
    assert split["left_out"] == {**findings.left_out, "damaged": 0}
    assert split["n_spots"] == findings.on_slide.sum()
    (sample,) = read_sheet(sheet)
    section = load_section(sample, read_expression(sample), model.card)
    assert (section.doubts, section.left_out) == ((text,), findings.off_slide)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    tell_doubts([section], RunControl.of(folder, writes=True))
    assert [json.loads(line)["note"] for line in folder.metrics.read_text().splitlines()] == [f"S: {text}"]
    state, says = row_of(sheet)
    assert state == "look"
    assert text in says


@pytest.mark.parametrize("name", list(ODD))
def test_measured_says_the_same(name: str, tmp_path: Path, tissue: Path, model: Model) -> None:
    odd = ODD[name]
    sheet = write(tmp_path, tissue, odd)
    (sample,) = read_sheet(sheet)
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        findings = found_in(sheet)
        measured = Measured(slide, Services(), str(model.path))
        measured.section.open([str(tmp_path / "S.h5ad")])
        if name == "wrong scale given":  # the dock has no sheet: the person says it with Use
            assert measured.view.doubt.endswith(ASK_FRAME)
            measured.section.move(type(measured.section.measurement.frame)())
            measured.section.use()
        elif name in PLACES:
            assert measured.view.doubt == f"{findings.findings[0].sentence} {ASK_FRAME}"
            return
        text = the_finding(findings, odd)
        if odd.refused:
            assert measured.view.work.said == f"That did not work: sample S: {text}"
        else:
            assert f"{text[:1].upper()}{text[1:]}." in measured_caveats(measured.section.comparison)


@pytest.mark.parametrize("columns", [{}, {"scale": 1}])
def test_a_right_section_is_only_scored(columns: dict[str, Any], tmp_path: Path, tissue: Path, model: Model) -> None:
    sheet = write(tmp_path, tissue, OddSection("", False, spatial=DIAMETER, columns=columns))
    assert found_in(sheet).findings == ()
    report = evaluate(sheet, model, options=OPTIONS)
    assert not [warning for warning in report["warnings"] if warning.startswith("S: ")]
    assert report["splits"][0]["doubts"] == []
    assert row_of(sheet) == ("good", ())
