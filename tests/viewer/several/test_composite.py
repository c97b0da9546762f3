"""Three genes in one image, without a window."""

from __future__ import annotations

import pytest

from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.several.composite import CompositePresenter
from napari_nh2st.viewer.several.messages import NO_PINNED
from viewer.several.views import FakeComposite
from viewer.without_window import Desk


class Composed(Desk):
    """The dock with the part that draws three genes in one image."""

    def __init__(self) -> None:
        super().__init__()
        self.view = FakeComposite()
        self.part = CompositePresenter(self.workspace, self.view)
        self.part.update()

    def show(self, *genes: str) -> None:
        self.view.genes = genes
        self.part.show()

    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]

    def legend(self) -> list[str]:
        overlays = self.viewer.canvas.overlays.items()
        return [each.text for key, each in overlays if key.startswith("nh2st_legend") and each.visible]


@pytest.fixture
def composed() -> Composed:
    return Composed()


def test_before_a_prediction_it_says_what_is_missing(composed: Composed) -> None:
    assert (composed.view.show_off, composed.view.use_pinned_off) == (NO_MAP, NO_PINNED)
    composed.part.show()
    assert composed.view.sentence == NO_MAP
    assert composed.view.genes[0] == "ERBB2"  # the most trusted
    assert composed.view.listed == sorted(composed.state.card.genes, key=str.casefold)


def test_three_genes_in_one_image(composed: Composed) -> None:
    composed.predict()
    composed.state.pinned = ("NOPE", "KRT8", "CD3E")
    composed.part.use_pinned()
    assert composed.view.genes == ("KRT8", "CD3E", "")
    composed.show("KRT8", "CD3E", " erbb2 ")
    assert composed.view.genes == ("KRT8", "CD3E", "ERBB2")
    assert composed.in_sight() == ["C9", "C9 · KRT8 + CD3E + ERBB2 · predicted"]
    assert [line.split()[0] for line in composed.legend()[1:]] == ["KRT8", "CD3E", "ERBB2"]
    limits = composed.part.current.gene_limits[0]
    assert composed.view.scales[0] == f"{limits.low:.2f} to {limits.high:.2f}"
    composed.state.choose_gene("CD3E")  # asked for: its heatmap comes out
    assert composed.in_sight() == ["C9", "C9 · CD3E · predicted"]
    assert composed.legend() == []
    composed.viewer.layers["C9 · KRT8 + CD3E + ERBB2 · predicted"].visible = True
    assert len(composed.legend()) == 4
    composed.viewer.layers.remove("C9 · KRT8 + CD3E + ERBB2 · predicted")
    assert composed.legend() == []
    composed.part.update()
    assert (composed.part.current, composed.view.scales) == (None, ["", "", ""])


def test_another_choice_takes_the_place_of_the_first(composed: Composed) -> None:
    composed.predict()
    composed.show("KRT8", "", "")
    composed.show("", "CD3E", "ERBB2")
    assert composed.names() == ["C9", "C9 · ERBB2 · predicted", "C9 · CD3E + ERBB2 · predicted"]
    assert composed.view.scales[0] == ""


def test_genes_go_by_any_of_their_names(composed: Composed) -> None:
    composed.predict()
    composed.show("HER2", "", "krt8")
    assert composed.view.genes == ("ERBB2", "", "KRT8")


def test_wrong_genes_are_one_sentence(composed: Composed) -> None:
    composed.predict()
    for typed, said in (
        (("ERB2", "", ""), "did you mean ERBB2?"), (("NOPE", "", ""), "does not predict NOPE"),
        (("", "", ""), "at least one"), (("KRT8", "krt8", ""), "different genes"),
    ):  # fmt: skip
        composed.show(*typed)
        assert said in composed.view.sentence
    assert len(composed.viewer.layers) == 2
