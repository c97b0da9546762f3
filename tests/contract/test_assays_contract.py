"""One tissue as the files of several assays: the same places, counts and predictions through every reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.evaluation.protocol import evaluate
from napari_nh2st.expression import FORMATS, Sample, read_expression, read_sheet, write_sheet
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.find import sections_among
from napari_nh2st.expression.transform import Transform
from napari_nh2st.model.folder import Model
from napari_nh2st.slides import open_slide
from napari_nh2st.training.sections.align import align
from napari_nh2st.training.sections.examine import examine
from napari_nh2st.training.sections.section_check import check_section
from napari_nh2st.viewer.state.services import Services
from support import assays
from support.models import small_model
from viewer.measured.test_presenter import Measured

OPTIONS = PredictionOptions(device="cpu", cache=False)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Assay:
    """A format, how the tissue is written in it, and what its sheet says beside the paths."""

    write: Callable[[Path, assays.Tissue], Path]
    columns: tuple[tuple[str, Any], ...] = ()


def in_pixels_of(mpp: float) -> Transform:
    """Return the map to the slide of an assay's own image of such pixels."""
    return Transform.of(assays.ON_SLIDE @ np.diag([mpp / assays.OWN_MPP, mpp / assays.OWN_MPP, 1]))


ASSAYS = {
    "visium-hd": Assay(assays.visium_hd),
    "visium-hd-cells": Assay(assays.visium_hd_cells),
    "xenium": Assay(assays.xenium),
    "cell-table": Assay(assays.merscope, (("transform", Transform.of(assays.ON_SLIDE)),)),
    "bead-table": Assay(assays.slide_seq, (("transform", in_pixels_of(assays.PUCK_MPP)),)),
    "spatialdata": Assay(assays.spatialdata, (("mpp", assays.MPP),)),
    "hest": Assay(assays.hest, (("pool", assays.PLACE),)),
    "h5ad": Assay(assays.h5ad, (("pool", assays.PLACE), ("mpp", assays.MPP))),
}


@pytest.fixture(scope="module")
def made() -> assays.Tissue:
    return assays.tissue()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return small_model(tmp_path_factory.mktemp("model"), genes=assays.GENES, gene_means=[5.0] * 4, pitch=112)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, made: assays.Tissue) -> dict[str, Sample]:
    top = tmp_path_factory.mktemp("assays")
    slide = assays.slide(top / "S.tif")
    out = {}
    for name, assay in ASSAYS.items():
        (top / name).mkdir()
        files = detect([assay.write(top / name / "S", made)])
        assert files.format == name
        out[name] = Sample("S", "P", slide, files.expression, files.format, files.spots, **dict(assay.columns))
    return out


def test_every_format_that_pools_is_here() -> None:
    assert {name for name, row in FORMATS.items() if row.pools} <= set(ASSAYS)


@pytest.mark.parametrize("name", ASSAYS)
def test_places_and_counts_are_those_of_the_tissue(name: str, samples: dict[str, Sample], made: assays.Tissue) -> None:
    data = read_expression(samples[name])
    assert list(data.var_names) == assays.GENES
    side = assays.PLACE / assays.MPP
    column, row = np.floor(data.obsm["spatial"] / side).astype(int).T
    places = zip(row.tolist(), column.tolist(), strict=True)
    assert dict(zip(places, data.X.toarray().tolist(), strict=True)) == made.at_places()
    np.testing.assert_allclose(data.obsm["spatial"], np.stack([column, row], axis=1) * side + side / 2, atol=1e-6)
    assert data.obs["pooled"].tolist() == [(assays.PLACE / assays.BIN) ** 2] * data.n_obs


@pytest.mark.parametrize("name", ASSAYS)
def test_a_sheet_holds_it_and_the_gate_admits_it(name: str, samples: dict[str, Sample], tmp_path: Path) -> None:
    sample = samples[name]
    write_sheet([sample], tmp_path / "samples.csv")
    assert read_sheet(tmp_path / "samples.csv") == [sample]
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        findings = examine(sample, read_expression(sample), slide)
    assert {f.kind for f in findings.findings} == {"file"}
    assert any("pooled to 24 places of 112 µm" in doubt for doubt in findings.doubts)
    facts = check_section(sample)
    assert (facts.state, facts.spots) == ("look", 24)
    assert facts.pitch_um == pytest.approx(assays.PLACE)


def test_all_are_predicted_and_scored_alike(samples: dict[str, Sample], model: Model) -> None:
    reports = {name: evaluate([sample], model, options=OPTIONS) for name, sample in samples.items()}
    (first, *others) = [report["splits"][0] for report in reports.values()]
    assert first["n_spots"] == 24
    for other in others:
        for row in first["models"]:
            assert other["models"][row] == first["models"][row]


@pytest.mark.parametrize("name", ASSAYS)
def test_measured_compares_it(name: str, samples: dict[str, Sample], model: Model) -> None:
    sample = samples[name]
    with open_slide(sample.slide) as slide:
        measured = Measured(slide, Services(), str(model.path))
        measured.section.open([str(sample.expression)])
        if name in ("visium-hd", "visium-hd-cells", "xenium", "spatialdata"):  # what lies on the slide by its own files
            assert len(measured.section.comparison.scored.truth) == 24


def test_measured_and_the_dock_take_a_section_of_a_store_by_its_folder(
    made: assays.Tissue, model: Model, tmp_path: Path
) -> None:
    store = assays.spatialdata_cohort(tmp_path / "S", made, assays.tissue(seed=1))
    with open_slide(assays.slide(tmp_path / "second.tif"), mpp=assays.MPP) as slide:
        measured = Measured(slide, Services(), str(model.path))
        measured.section.open([str(store)])
        assert measured.section.comparison is None
        assert measured.view.work.said.endswith(
            "give the folder of one instead: S.zarr/labels/cells, S.zarr/labels/two"
        )
        measured.section.open([str(store / "labels" / "two")])
        assert len(measured.section.comparison.scored.truth) == 24
    samples, _ = sections_among([store])
    assert [s.slide.name for s in samples] == ["he", "second.tif"]
    facts = check_section(replace(samples[1], mpp=assays.MPP))
    assert (facts.state, facts.spots) == ("look", 24)


def test_a_wrong_pixel_size_is_refused(samples: dict[str, Sample]) -> None:
    sample = samples["visium-hd"]
    with open_slide(sample.slide, mpp=0.25) as slide:
        findings = examine(sample, read_expression(sample), slide)
    (text,) = findings.refusals
    assert "those of pooled bins lie 112 µm apart: the pixel size that fits is 0.5 (column mpp)" in text


@pytest.mark.parametrize("name", ["xenium", "cell-table"])
def test_cells_on_another_image_are_laid_by_align(name: str, samples: dict[str, Sample]) -> None:
    """Of Xenium the folder's own matrix is where it starts; of others what is given is from their own pixels."""
    sample = replace(samples[name], transform=None, placed=False)
    given = None if name == "xenium" else Transform.of(assays.ON_SLIDE)
    with open_slide(sample.slide) as slide:
        found = align(sample, slide, given)
    np.testing.assert_allclose(found.transform.square, assays.ON_SLIDE, atol=1e-6)
    assert found.after.refusals == ()
    assert bool(found.before.refusals) == (name == "cell-table")
