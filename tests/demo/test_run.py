import json

import anndata as ad
import numpy as np
import pytest
from PIL import Image

from napari_nh2st.demo.genes import GENES
from napari_nh2st.demo.run import run_demo
from napari_nh2st.demo.tissue import sample_slide
from napari_nh2st.errors import Cancelled, ModelError, Nh2stError
from napari_nh2st.model.card import Architecture, Card, TrainingSample
from napari_nh2st.model.folder import bundled_models, save_model
from napari_nh2st.model.nh2st import build

SIZE = (1.2, 1.1)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NH2ST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained models of the right shape: the way is tested here, not the figures."""
    folder = tmp_path_factory.mktemp("models")

    def make(name: str, variant: str, genes: list[str]):
        arch = Architecture(variant=variant, width=4, dim=16, hidden=16, heads=2)
        card = Card(
            name=name,
            synthetic=True,
            architecture=arch,
            mpp=1.0,
            pitch=144,
            genes=genes,
            gene_means=[2.0] * len(genes),
            training=[TrainingSample(sample="S77", patient="synthetic-77", spots=9)],
        )
        return save_model(build(arch, len(genes)), card, folder / name)

    names = [gene.name for gene in GENES]
    return {
        "pair": (make("c", "context", names[::-1]), make("p", "paper", names)),
        "other": make("o", "context", ["ERBB2"]),
    }


@pytest.fixture(scope="module")
def finished(models, tmp_path_factory):
    stages = []
    out = tmp_path_factory.mktemp("out") / "deeper"
    result = run_demo(out, 5, models=models["pair"], size_mm=SIZE, progress=lambda *at: stages.append(at))
    return out, result, stages


def test_demo_leaves_three_files_and_nothing_else(finished) -> None:
    out, result, _ = finished
    assert sorted(p.name for p in out.iterdir()) == ["heatmap.png", "prediction.h5ad", "report.json"]
    assert {result.heatmap.parent, result.prediction.parent, result.report_path.parent} == {out}
    with Image.open(result.heatmap) as picture:
        assert picture.width > 1500
        assert np.asarray(picture.convert("RGB")).std() > 20
    adata = ad.read_h5ad(result.prediction)
    assert adata.n_obs == result.report["n_tiles"]
    assert set(adata.var_names) == {gene.name for gene in GENES}


def test_report_holds_the_figures_of_this_run(finished) -> None:
    _, result, _ = finished
    report = json.loads(result.report_path.read_text())
    assert report == result.report
    assert {"pcc_mean", "context_genes", "own_genes", "n_tiles", "seconds", "provenance"} <= set(report)
    for group in ("context", "own"):
        listed = [g for g in report["genes"].values() if g["group"] == group]
        for variant in ("context", "paper"):
            mean = np.mean([g[variant] for g in listed])
            assert report[f"{group}_genes"][variant] == pytest.approx(mean, abs=1e-3)
    assert report["pcc_mean"] == pytest.approx(np.mean([g["context"] for g in report["genes"].values()]), abs=1e-3)
    assert report["provenance"]["models"]["context"]["model_hash"]
    assert report["seconds"] > 0
    assert not report["seed_in_training"]
    assert report["warnings"] == []


def test_progress_speaks_in_stages_that_end(finished) -> None:
    stages = finished[2]
    last = {stage: (done, total) for stage, done, total in stages}
    assert all(done == total for done, total in last.values())
    assert [s for s in last if s.startswith("predicting with")] == ["predicting with c", "predicting with p"]


def test_training_seed_is_said_to_be_one(models, tmp_path) -> None:
    report = run_demo(tmp_path, 77, models=models["pair"], size_mm=(0.9, 0.9)).report
    assert report["seed_in_training"]
    assert "were trained on the section of seed 77" in report["warnings"][0]


def test_cancel_leaves_no_file(models, tmp_path) -> None:
    calls = iter([False, False, True])
    with pytest.raises(Cancelled):
        run_demo(tmp_path / "o", 5, models=models["pair"], size_mm=SIZE, cancelled=lambda: next(calls, True))
    assert not (tmp_path / "o").exists()


def test_other_models_are_refused(models, tmp_path) -> None:
    with pytest.raises(Nh2stError, match="not a demo model"):
        run_demo(tmp_path, 5, models=(models["other"], models["pair"][1]), size_mm=SIZE)
    with pytest.raises(ModelError, match="no model"):
        run_demo(tmp_path, 5, models=("nowhere", "nowhere"), size_mm=SIZE)


def test_slide_is_drawn_once(finished) -> None:
    path = finished[1].slide
    before = path.stat().st_mtime_ns
    assert sample_slide(5, size_mm=SIZE) == path
    assert path.stat().st_mtime_ns == before


@pytest.mark.skipif("demo" not in bundled_models(), reason="the demo models are not built: make demo-models")
def test_bundled_models_keep_their_promise_on_a_small_section(tmp_path) -> None:
    report = run_demo(tmp_path, 4242, size_mm=(2.6, 2.4)).report
    assert report["pcc_mean"] > 0.55
    assert report["context_genes"]["context"] - report["context_genes"]["paper"] > 0.15
    assert report["own_genes"]["context"] - report["own_genes"]["paper"] > -0.05


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 5001, 5002])
def test_bundled_models_keep_their_promise(tmp_path, seed: int) -> None:
    report = run_demo(tmp_path, seed).report
    assert report["pcc_mean"] >= 0.6
    assert report["context_genes"]["context"] - report["context_genes"]["paper"] >= 0.15
    assert abs(report["own_genes"]["context"] - report["own_genes"]["paper"]) <= 0.05
