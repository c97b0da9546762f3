"""Signatures: what is read, what is matched, and that the score is scanpy's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData

from napari_nh2st.analysis.signatures import (
    CONTROLS,
    SEED,
    levels_for,
    match,
    mean_trust,
    parse_genes,
    read_gmt,
    score,
)
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Architecture, Card, Evaluation, GeneTrust
from napari_nh2st.model.decoder import Decoder


def _prediction(genes: int = 250, places: int = 3000, hidden: int = 24, seed: int = 0) -> Prediction:
    rng = np.random.default_rng(seed)
    panel = [f"GENE{i}" for i in range(genes)]
    card = Card(name="made", architecture=Architecture(dim=8, hidden=hidden), mpp=1.0, pitch=112, genes=panel)
    weight = rng.normal(scale=0.2, size=(genes, hidden)).astype(np.float32)
    decoder = Decoder(weight, rng.normal(loc=2.0, size=genes).astype(np.float32))
    vectors = (rng.normal(size=(places, hidden)) + rng.normal(size=hidden)).astype(np.float16)
    return Prediction(TileSet(rng.random((places, 2)), 1.0, 112, None), vectors, decoder, card)


def _scanpy(prediction: Prediction, genes: list[str], **how: int) -> np.ndarray:
    """The plain way: all places by all genes, in double precision as the reference."""
    decoder = prediction.decoder
    values = prediction.hidden.astype(np.float64) @ decoder.weight.T.astype(np.float64) + decoder.bias
    adata = AnnData(values, var=pd.DataFrame(index=prediction.genes))
    sc.tl.score_genes(adata, genes, **how)
    return adata.obs["score"].to_numpy()


@pytest.mark.parametrize(("controls", "levels", "seed"), [(50, 25, 0), (3, 25, 7), (20, 5, 1)])
def test_the_score_is_that_of_scanpy(controls: int, levels: int, seed: int) -> None:
    prediction = _prediction()
    genes = [f"GENE{i}" for i in (3, 40, 41, 99, 180, 249)]
    expected = _scanpy(prediction, genes, ctrl_size=controls, n_bins=levels, random_state=seed)
    got = score(prediction, genes, controls=controls, levels=levels, seed=seed)
    np.testing.assert_allclose(got, expected, atol=2e-5)
    assert expected.std() > 0.05


def test_a_wide_panel_scores_as_scanpy_by_its_defaults() -> None:
    prediction = _prediction(genes=1000, places=400, seed=3)
    genes = [f"GENE{i}" for i in range(0, 1000, 50)]
    np.testing.assert_allclose(score(prediction, genes), _scanpy(prediction, genes), atol=2e-5)
    assert (CONTROLS, levels_for(1000), SEED) == (50, 25, 0)


def test_places_without_a_prediction_have_no_score_and_no_say() -> None:
    prediction, genes = _prediction(), ["GENE3", "GENE40"]
    with_gaps = _prediction()
    with_gaps.hidden[::3] = np.nan
    kept = np.arange(3000) % 3 != 0
    alone = Prediction(prediction.places.select(kept), prediction.hidden[kept], prediction.decoder, prediction.card)
    got = score(with_gaps, genes)
    assert np.isnan(got[~kept]).all()
    np.testing.assert_allclose(got[kept], score(alone, genes), atol=1e-6)


def test_the_slides_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_nh2st.analysis import signatures

    prediction, genes = _prediction(), ["GENE3", "GENE40"]
    whole = score(prediction, genes)
    monkeypatch.setattr(signatures, "_CHUNK", 700)
    np.testing.assert_allclose(score(prediction, genes), whole, atol=1e-6)


def test_a_panel_that_is_all_signature_has_no_controls() -> None:
    prediction = _prediction(genes=12)
    with pytest.raises(Nh2stError, match="no other genes"):
        score(prediction, prediction.genes)
    assert np.isfinite(score(_prediction(genes=30), ["GENE1", "GENE2"])).all()  # 25 levels would leave one gene each


def test_nothing_predicted_and_cancelled() -> None:
    prediction = _prediction(places=10)
    with pytest.raises(Cancelled):
        score(prediction, ["GENE1"], cancelled=lambda: True)
    prediction.hidden[:] = np.nan
    with pytest.raises(Nh2stError, match="nothing is predicted"):
        score(prediction, ["GENE1"])


@pytest.mark.parametrize(
    "text",
    ["ERBB2 krt8\nCD3E", "ERBB2,krt8,CD3E,", " ERBB2;krt8\t CD3E; erbb2 ", 'c("ERBB2", "krt8", \'CD3E\')'],
)
def test_genes_are_read_with_any_separators(text: str) -> None:
    assert parse_genes(text) == ("ERBB2", "krt8", "CD3E")


def test_a_text_without_genes_says_what_to_do() -> None:
    with pytest.raises(Nh2stError, match="paste their names"):
        parse_genes(" ,; ")


def test_genes_are_matched_whatever_their_case() -> None:
    found = match(["erbb2", "NOPE", "Krt8", "ERBB2"], ["KRT8", "ERBB2", "C1orf50"])
    assert found.genes == ("ERBB2", "KRT8")
    assert found.missing == ("NOPE",)
    assert match(["C1ORF50"], ["C1orf50"]).genes == ("C1orf50",)


def test_mean_trust_counts_only_genes_with_a_figure() -> None:
    evaluation = Evaluation(
        kind="cross-patient", samples=["A"], pcc_mean=0.1, genes={"A": GeneTrust(pcc=0.4), "B": GeneTrust(pcc=0.1)}
    )
    card = _prediction().card.model_copy(update={"evaluation": evaluation})
    assert mean_trust(card, ["A", "B", "C"]) == (pytest.approx(0.25), 2)
    assert mean_trust(card, ["C"]) is None
    assert mean_trust(_prediction().card, ["A"]) is None


def test_gmt(tmp_path: Path) -> None:
    file = tmp_path / "sets.gmt"
    file.write_text("HALLMARK_A\thttp://x\tERBB2\tKRT8\t\n\nB\t\tCD3E,1.0\tCD3D,0.5\n", encoding="utf-8")
    first, second = read_gmt(file)
    assert (first.name, first.genes) == ("HALLMARK_A", ("ERBB2", "KRT8"))
    assert second.genes == ("CD3E", "CD3D")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"A\tx\tERBB2\nB\tonly a description\n", "line 2 of sets.gmt has no genes"),
        (b"\tx\tERBB2\n", "line 1 of sets.gmt has no name"),
        (b"A\tx\tERBB2\nA\tx\tKRT8\n", "line 2 of sets.gmt names the set A a second time"),
        (b"\n", "holds no gene set"),
        (b"\x89PNG\xff\xfe\x00", "cannot read the gene sets .*: it is a picture"),
    ],
)
def test_a_bad_gmt_line_is_named(tmp_path: Path, text: bytes, words: str) -> None:
    file = tmp_path / "sets.gmt"
    file.write_bytes(text)
    with pytest.raises(Nh2stError, match=words):
        read_gmt(file)


def test_a_gmt_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Nh2stError, match=r"cannot read the gene sets .*sets\.gmt: No such file"):
        read_gmt(tmp_path / "sets.gmt")
