"""Regions and domains without a window: named, measured, compared, divided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.viewer.layers.roles import Kind, kind_of, leave_roles
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.regions import domains as domains_module
from napari_nh2st.viewer.regions.comparison import ComparisonPresenter
from napari_nh2st.viewer.regions.domains import DomainsPresenter
from napari_nh2st.viewer.regions.messages import NO_PLACE, NO_REGIONS, OF_BEFORE, SAME_REGION
from napari_nh2st.viewer.regions.presenter import RegionsPresenter
from viewer.fakes import FakeServices
from viewer.without_window import Desk, FakeWork

# micrometres (y, x) on a slide of 0.5 um/px: 960 x 1280 px are 480 x 640 um, of which the left 64 um are no tissue
LEFT_HALF = np.array([(0, 0), (0, 320), (480, 320), (480, 0)], dtype=float)
RIGHT_HALF = LEFT_HALF + np.array((0, 320))


class FakeComparison:
    def __init__(self) -> None:
        self.work, self.first, self.second = FakeWork(), "1", None
        self.names, self.said, self.table, self.comparing = [], "", None, False

    def offer(self, names, *, same) -> None:
        self.names = names

    def show_outcome(self, said, table, title="") -> None:
        self.said, self.table = said, table

    def show_comparing(self, on) -> None:
        self.comparing = on


class FakeDomains:
    def __init__(self) -> None:
        self.work, self.fineness, self.domain = FakeWork(), 2, 1
        self.button, self.said, self.shares, self.genes = ("", False), "", [], None

    def show_button(self, tip, *, on) -> None:
        self.button = tip, on

    def show_sentence(self, text) -> None:
        self.said = text

    def list_domains(self, shares) -> None:
        self.shares = shares

    def show_markers(self, genes, saved, title="") -> None:
        self.genes = genes


class FakeRegions:
    def __init__(self) -> None:
        self.folded, self.said, self.words, self.chosen = False, "", {}, ""
        self.listed, self.steps = [], 0
        self.genes = self.presenter = self.comparison = None

    @property
    def region(self) -> str:
        return self.chosen or next(iter(self.words), "")

    def show_sentence(self, text) -> None:
        self.said = text

    def show_regions(self, listed, regions, choose="") -> None:
        self.listed, self.words = listed, {region.name: region.predicted for region in listed}
        self.comparison.set_regions(regions)

    def show_undo(self, steps) -> None:
        self.steps = steps

    def show_genes(self, genes, saved) -> None:
        self.genes = genes

    def refresh_soon(self) -> None:
        if self.presenter is not None:
            self.presenter.refresh()

    def refresh_later(self) -> None:
        pass


class Regions(Desk):
    """The dock with its section *Regions*, over a slide of 17 x 23 tiles."""

    def __init__(self, *, predict: bool = True) -> None:
        services = FakeServices(chunk=1000)
        services.cards["her2st"] = services.cards["her2st"].model_copy(update={"pitch": 28})
        super().__init__(services=services)
        self.state.fine = True  # tiles enough to be divided
        self.view, self.pair, self.parts = FakeRegions(), FakeComparison(), FakeDomains()
        self.comparison = self.view.comparison = ComparisonPresenter(self.workspace, self.pair)
        self.domains = DomainsPresenter(self.workspace, self.parts)
        self.view.presenter = self.section = RegionsPresenter(self.workspace, self.view)
        self.domains.clear()
        if predict:
            self.predict()
        self.section.refresh()

    def shapes(self, *outlines: Any, **how: Any) -> Any:
        return self.viewer.add_shapes(list(outlines), shape_type="polygon", units=("um", "um"), **how)


@pytest.fixture
def regions() -> Regions:
    return Regions()


def test_nothing_predicted_and_nothing_drawn_each_get_a_sentence() -> None:
    regions = Regions(predict=False)
    assert regions.view.said == NO_MAP
    regions.section.draw()
    assert len(regions.viewer.layers) == 1
    assert regions.parts.button == (NO_MAP, False)
    regions.predict()
    assert regions.view.said == NO_REGIONS
    assert regions.pair.names == []
    assert regions.parts.button[1]


def test_names_of_a_layer_count_and_pieces_of_one_name_are_one_region(regions: Regions) -> None:
    regions.shapes(LEFT_HALF, RIGHT_HALF, features={"label": ["tumour", "tumour"]})
    assert regions.view.words == {"tumour": f"{int(regions.map.done.sum())} tiles"}


def test_a_new_shape_does_not_take_the_name_of_the_chosen_one(regions: Regions) -> None:
    regions.section.draw()
    layer = regions.viewer.layers[-1]
    layer.add_polygons(LEFT_HALF)
    layer.selected_data = {0}
    layer.add_polygons(RIGHT_HALF)
    assert list(regions.view.words) == ["1", "2"]
    layer.selected_data = {0}
    layer.remove_selected()
    assert list(regions.view.words) == ["2"]


def test_a_name_is_kept_with_the_layer(regions: Regions) -> None:
    layer = regions.shapes(LEFT_HALF, RIGHT_HALF)
    regions.section.rename("2", "tumour")
    assert list(layer.features["name"]) == ["1", "tumour"]
    assert regions.pair.names == ["1", "tumour"]


def test_what_lies_off_the_slide_or_on_no_tissue_is_said(regions: Regions) -> None:
    regions.shapes(LEFT_HALF + 5000, LEFT_HALF * (1, 0.05), LEFT_HALF)
    assert list(regions.view.words.values())[:2] == ["off the slide", "no tissue"]


def test_how_much_of_a_region_is_predicted(regions: Regions) -> None:
    cells = np.flatnonzero(regions.map.done)
    tiles = regions.map.tiles(cells).centres[:, 0]
    regions.map.add(cells[tiles > 400], np.full(((tiles > 400).sum(), 4), np.nan))  # as where the file is damaged
    regions.shapes(LEFT_HALF, RIGHT_HALF)
    some, all_ = (int(((tiles < end) & (tiles < 640)).sum()) for end in (400.1, 640))
    right = int((tiles > 640).sum())
    assert list(regions.view.words.values()) == [f"{some} of {all_} tiles", f"0 of {right} tiles"]


def test_the_genes_of_a_region(regions: Regions) -> None:
    regions.shapes(LEFT_HALF, RIGHT_HALF)
    left = regions.view.genes.loc["ERBB2", "mean"]
    regions.view.chosen = "2"
    regions.section.show_genes()
    assert regions.view.genes.loc["ERBB2", "mean"] > left  # ERBB2 grows with x
    assert regions.view.genes.loc["ERBB2", "elsewhere"] == pytest.approx(left)


def test_two_regions_are_compared(regions: Regions) -> None:
    regions.shapes(LEFT_HALF, RIGHT_HALF - (0, 40), RIGHT_HALF[:1] + np.array([(0, 0), (0, 9), (9, 9)]))
    pair = regions.pair
    pair.first, pair.second = "2", "1"
    regions.comparison.compare()
    assert pair.table["score"].abs().idxmax() in ("ERBB2", "CD3E")
    assert pair.table.loc["ERBB2", "difference"] > 0
    assert pair.table.loc["KRT8", "adjusted p"] > 0.05
    assert pair.said.startswith("Region 2 (")
    assert "in both are left out" in pair.said
    pair.second = "2"
    regions.comparison.compare()
    assert (pair.said, pair.table) == (SAME_REGION, None)
    pair.first, pair.second = "3", None
    regions.comparison.compare()
    assert "a comparison needs 10" in pair.work.said
    assert not pair.comparing


def test_domains_are_drawn_where_the_heatmap_lies(regions: Regions) -> None:
    shapes = regions.shapes(LEFT_HALF)
    regions.viewer.layers[0].translate = (30, 10)
    heatmap = regions.heatmap.layer
    heatmap.translate = np.add(heatmap.translate, (30, 10))
    regions.viewer.layers.selection.active = shapes
    regions.domains.find()
    layer = regions.domains.layer.layer
    assert layer.name == "C9 · domains (fine)"
    order = list(regions.viewer.layers)
    assert order.index(heatmap) < order.index(layer) < order.index(shapes)
    assert regions.viewer.layers.selection.active is shapes
    np.testing.assert_allclose(layer.data_to_world((3, 5)), heatmap.data_to_world((3, 5)))
    np.testing.assert_array_equal(layer.data.ravel() > 0, regions.map.done)
    assert layer.get_color(0) is None  # see-through
    assert not heatmap.visible
    assert "from the image and the predicted genes together" in regions.parts.said
    sizes = np.bincount(layer.data.ravel())[1:]
    assert (np.diff(sizes) <= 0).all()
    assert regions.parts.shares == pytest.approx(list(sizes / sizes.sum()))
    assert list(regions.parts.genes.columns) == ["difference", "score", "adjusted p"]
    regions.domains.show_gene("KRT8")
    assert (heatmap.visible, layer.visible) == (True, False)


def test_what_colours_domains_is_compiled_off_the_gui_thread(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = []
    monkeypatch.setattr(domains_module, "prepare_labels", prepared.append)
    regions.domains.find()
    assert prepared == [regions.domains.layer.layer.data.dtype]


def test_more_domains_go_into_the_same_layer(regions: Regions) -> None:
    regions.domains.find()
    few, layer = len(regions.parts.shares), regions.domains.layer.layer
    regions.parts.fineness = 4
    regions.domains.find()
    assert len(regions.parts.shares) > few
    assert regions.domains.layer.layer is layer
    regions.viewer.layers.remove(layer)
    regions.domains.find()
    assert regions.domains.layer.layer in regions.viewer.layers


def test_a_prediction_without_its_slide_is_divided_by_its_genes_alone(regions: Regions) -> None:
    regions.map.slide["fingerprint"] = "of another slide"
    regions.domains.find()
    assert "from the predicted genes alone (the slide is not open)" in regions.parts.said
    regions.shapes(LEFT_HALF)
    assert next(iter(regions.view.words.values())).endswith("tiles")  # how many show tissue is not known
    regions.viewer.layers.remove(regions.heatmap.layer)
    regions.section.refresh()
    assert regions.view.said == NO_PLACE


def test_domains_of_an_earlier_dock_are_listed_with_their_genes(regions: Regions) -> None:
    regions.domains.find()
    assert regions.parts.shares
    shares, genes = regions.parts.shares, regions.parts.genes
    leave_roles(regions.viewer)  # the dock is closed
    view = FakeDomains()
    reopened = DomainsPresenter(regions.workspace, view)
    reopened.begin()
    assert (view.said, view.shares) == (OF_BEFORE, shares)
    pd.testing.assert_frame_equal(view.genes, genes)
    reopened.find()
    assert view.said != OF_BEFORE
    assert view.shares
    assert [kind_of(layer) for layer in regions.viewer.layers].count(Kind.DOMAINS) == 1
