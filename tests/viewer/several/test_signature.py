"""The score of a set of genes, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData

from napari_nh2st.analysis.signatures import levels_for, match
from napari_nh2st.model.card import Evaluation, GeneTrust
from napari_nh2st.viewer.layers.signature import set_words
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.several.messages import NO_GENES, NONE_OF_THESE
from napari_nh2st.viewer.several.signature import SignaturePresenter
from viewer.fakes import card
from viewer.several.views import FakeSignature
from viewer.without_window import Desk


class Scored(Desk):
    """The dock with the part that scores a set of genes."""

    def __init__(self) -> None:
        super().__init__()
        self.view = FakeSignature()
        self.part = SignaturePresenter(self.workspace, self.view)
        self.view.edited = self.part.update
        self.part.update()


@pytest.fixture
def scored() -> Scored:
    return Scored()


def test_it_says_what_is_missing(scored: Scored) -> None:
    assert scored.view.reason_off == NO_MAP
    scored.part.score()
    assert scored.view.work.said == NO_MAP
    scored.predict()
    assert scored.view.reason_off == NO_GENES
    scored.view.write_genes("NOPE")
    assert scored.view.reason_off == NONE_OF_THESE
    scored.view.write_genes("NOPE ERBB2")
    assert scored.view.reason_off == ""


def test_a_pasted_signature_is_scored_as_scanpy_does(scored: Scored) -> None:
    scored.predict()
    scored.view.set_name = "luminal"
    scored.view.write_genes("erbb2, NOPE")
    assert scored.view.match == (
        "The model has 1 of 2 genes. Missing: NOPE. Mean held-out PCC 0.41. 1 is perfect, 0 is none."
    )
    scored.part.score()
    layer = scored.viewer.layers["C9 · signature luminal · predicted"]
    prediction = scored.map.prediction()
    adata = AnnData(prediction.matrix(), var=pd.DataFrame(index=prediction.genes))
    sc.tl.score_genes(adata, ["ERBB2"], n_bins=levels_for(4))
    np.testing.assert_allclose(layer.data.reshape(-1)[scored.map.done], adata.obs["score"], atol=1e-4)
    assert np.isnan(layer.data.reshape(-1)[~scored.map.done]).all()
    assert [each.name for each in scored.viewer.layers if each.visible] == ["C9", "C9 · signature luminal · predicted"]
    overlays = scored.viewer.canvas.overlays.items()
    legend = [each.text for key, each in overlays if key.startswith("nh2st_legend") and each.visible]
    assert legend == [
        "signature luminal, predicted",
        f"1 of its 2 genes, {scored.map.count} tiles",
        "score, scanpy score_genes",
    ]
    assert layer.colorbar.visible


def test_gmt_sets_are_chosen_by_name(scored: Scored, tmp_path: Path) -> None:
    file = tmp_path / "sets.gmt"
    file.write_text("A\tx\tERBB2\tKRT8\nB\tx\tCD3E\n")
    scored.part.load_file(str(file))
    assert (scored.view.set_name, scored.view.set_text) == ("A", "ERBB2 KRT8")
    assert scored.view.match.startswith("The model has 2 of 2 genes")
    scored.part.take_set("B")
    assert scored.view.set_text == "CD3E"
    file.write_text("A\tx\n")
    scored.part.load_file(str(file))
    assert "line 1 of sets.gmt has no genes" in scored.view.work.said
    assert scored.view.listed == ["A", "B"]  # those of before are still there


def test_deleting_everything_while_it_scores(scored: Scored) -> None:
    scored.predict()
    scored.view.write_genes("ERBB2")
    done = scored.map.count
    scored.view.work.hold = True
    scored.part.score()
    assert scored.view.work.running
    scored.viewer.layers.clear()
    scored.view.work.release()
    assert not scored.view.work.running
    assert scored.view.work.said.startswith(f"Scored {done} tiles")
    assert scored.names() == ["C9 · signature pasted list · predicted"]


def test_words_of_a_set() -> None:
    trust = {"A": GeneTrust(pcc=0.4), "B": GeneTrust(pcc=0.1)}
    evaluated = card(evaluation=Evaluation(kind="cross-patient", samples=["x"], pcc_mean=0.2, genes=trust))
    genes = [f"GENE{i}" for i in range(20)]
    assert set_words(match(["A", "B", "C"], ["A", "B", "C"]), evaluated) == (
        "The model has 3 of 3 genes. Mean held-out PCC 0.25 (2 of them evaluated). 1 is perfect, 0 is none."
    )
    said = set_words(match(["A", *genes], ["A"]), card(evaluation=None))
    assert said.startswith("The model has 1 of 21 genes. Missing: GENE0, GENE1")
    assert said.endswith("GENE11 and 8 more.")
