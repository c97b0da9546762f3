"""Which gene is shown, how far to trust it, and how it is coloured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QCheckBox, QPushButton, QSizePolicy, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.analysis.variability import some_places, variability
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.geometry import IntArray
from napari_nh2st.model.card import Card
from napari_nh2st.model.gene_names import common_names, load_names, names_file
from napari_nh2st.viewer.genes.gene_field import GeneField
from napari_nh2st.viewer.genes.gene_list import A_TO_Z, BEST_FIRST, VARYING_FIRST, GeneList, Meaning
from napari_nh2st.viewer.genes.messages import absent_words, name_words
from napari_nh2st.viewer.genes.pinned_row import PinnedRow
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, indented, row
from napari_nh2st.viewer.kit.pacing import timer
from napari_nh2st.viewer.kit.phrases import error_words, trust_words
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers.heatmap import COLORMAPS, SMOOTHED
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import PERCENTILES

_ORDERS = (
    ("A–Z", A_TO_Z, "by name"),
    ("best", BEST_FIRST, "best predicted on held-out tissue first; what was no better than chance comes after them"),
    ("spatial", VARYING_FIRST, "first what varies most in space on this slide: Moran's I of what is predicted"),
)
_ORDER_TOOLTIP = "The order of the list: by name (A–Z), by how well each gene was predicted on held-out tissue (best), "
_ORDER_TOOLTIP += "or by how much it varies in space on this slide (spatial: Moran's I, near 1 in large patches)"
_NO_TRUST = "This model was not evaluated on held-out tissue: there is nothing to order its genes by trust"
_NO_MAP = "Predict first: how genes vary over this slide is not known yet"
_LIMITS_TOOLTIP = "Which part of the values the colours span; the rest takes the end colours"
_LOCKED = "The limits are locked: take the lock off to choose them"
_STAYED_MS = 1500  # a gene that is walked over was not meant


class GeneSection(QWidget):
    """A field that suggests genes while one types, the pinned ones, and the colours."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._card: Card | None = None
        self._names = common_names()
        self._order = A_TO_Z
        self._measured: tuple[int, int] | None = None  # of which map, with how many places, the figures are
        self._asked: tuple[int, int] | None = None  # and of which they are being computed
        self._stop = Event()
        self._take_up()
        self._make_gene()
        self._make_order()
        self._make_colours()
        self.trust = Sentence()
        self.trust.setToolTip("How well this gene was predicted on tissue that the model had not seen")
        self.measuring = Sentence(dim=True)
        self.scale = Sentence()
        self.scale.setToolTip("What the two ends of the colour bar stand for")
        layout = column(self)
        layout.addLayout(row(self.combo, self.order, label="Gene", stretch=0))
        layout.addLayout(indented(self.trust))
        layout.addLayout(indented(self.measuring))
        layout.addLayout(row(self.pinned_row, label="Pinned", stretch=0))
        layout.addLayout(row(self.limits, self.lock, self.reset, label="Limits", stretch=0))
        layout.addLayout(row(self.colours, self.smooth, label="Colours", stretch=0))
        layout.addLayout(indented(self.scale))
        state = workspace.state
        state.events.model.connect(self._card_changed)
        state.map_chosen.connect(self._card_changed)
        state.map_chosen.connect(self._map_changed)
        state.events.gene.connect(self._gene_changed)
        state.events.pinned.connect(self._show_pinned)
        state.events.limits.connect(self._show_scale)
        state.gene_requested.connect(self.choose)
        state.style.when_restyled(self._show_style)
        workspace.state.events.jobs_ended.connect(self._map_changed)
        workspace.when_closing(self._close)
        self._card_changed()
        self._offer_orders()
        self._show_pinned()
        self._show_style()
        self._remember_choices()
        if names_file().is_file():
            workspace.background.call(
                load_names, then=self._names_read, failed=lambda error: workspace.notices.complain(error)
            )

    def _take_up(self) -> None:
        """Start with what was chosen the last time; follow napari's Preferences."""
        preferences, state = self.workspace.preferences, self.workspace.state

        def use(name: str, take: Callable[[Any], None]) -> None:
            take(getattr(preferences, name))
            preferences.events[name].connect(take)

        use("pinned", lambda genes: setattr(state, "pinned", genes))
        use("colormap", lambda name: setattr(state.style, "colormap", name))
        use("percentiles", lambda name: setattr(state.style, "percentiles", PERCENTILES[name]))
        use("lock", lambda on: setattr(state.style, "locked", on))
        use("smooth", lambda on: setattr(state.style, "smooth", on))

    def _remember_choices(self) -> None:
        preferences = self.workspace.preferences

        def remember(signal: Any, name: str, read: Callable[[], Any]) -> None:
            signal.connect(lambda: setattr(preferences, name, read()))

        remember(self.lock.clicked, "lock", self.lock.isChecked)
        remember(self.smooth.clicked, "smooth", self.smooth.isChecked)
        remember(self.colours.activated, "colormap", self.colours.currentData)
        remember(self.limits.activated, "percentiles", self.limits.currentText)

    def _make_gene(self) -> None:
        self.combo = GeneField()
        self.combo.setMinimumContentsLength(4)
        self.combo.recent = list(self.workspace.preferences.recent_genes)
        self.combo.currentIndexChanged.connect(self._walked)
        self.combo.entered.connect(self.choose)
        self.combo.meant.connect(self._mean)
        self.combo.given_up.connect(lambda: self._say_trust(self.gene))
        self.pinned_row = PinnedRow()
        self.pinned_row.setToolTip("Genes that you keep at hand")
        self.pinned_row.clicked.connect(self.choose)
        self.pinned_row.toggled.connect(self.toggle_pin)
        self._stayed = timer(self, _STAYED_MS, self._remember_gene)

    def _make_order(self) -> None:
        self.order = NarrowCombo(_ORDER_TOOLTIP)
        for text, order, tip in _ORDERS:
            self.order.addItem(text, order)
            self.order.setItemData(self.order.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.order.setMinimumContentsLength(3)
        self.order.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.order.currentIndexChanged.connect(self._reordered)

    def _make_colours(self) -> None:
        self.limits = NarrowCombo(_LIMITS_TOOLTIP)
        for name, ends in PERCENTILES.items():
            self.limits.addItem(name, ends)
        self.limits.setMinimumContentsLength(2)  # it takes the room that there is
        self.limits.currentIndexChanged.connect(self._percentiles_chosen)
        self.lock = QCheckBox("lock")
        self.lock.setToolTip("Keep the limits as they are when another gene or slide is shown, or more is predicted")
        self.lock.toggled.connect(self._locked)
        self.reset = QPushButton("reset")
        self.reset.clicked.connect(self.workspace.maps.forget_limits)
        self.colours = NarrowCombo(
            "Colours of the heatmap; all of them stand out on stained tissue and keep their order for colour-blind eyes"
        )
        self.colours.setMinimumContentsLength(3)
        for name in COLORMAPS:
            self.colours.addItem(getattr(AVAILABLE_COLORMAPS.get(name), "_display_name", name), name)
        self.colours.currentIndexChanged.connect(self._colours_chosen)
        self.smooth = QCheckBox("smooth")
        self.smooth.setToolTip(
            "Let the colours run from the middle of one tile to the next. For the eye alone: exported values stay "
            f"as they are. Maps of more than {SMOOTHED:,} tiles are drawn as they are"
        )
        self.smooth.toggled.connect(self._smoothed)
        self._offer_reset()

    def changeEvent(self, event: QEvent) -> None:
        """Give the list of suggestions the window's theme: it is a window of its own."""
        if event.type() == QEvent.Type.StyleChange:
            self.combo.popup.setStyleSheet(self.window().styleSheet())
        super().changeEvent(event)

    def focus(self) -> None:
        """Put the cursor into the field, its text selected."""
        self.combo.setFocus()
        self.combo.lineEdit().selectAll()

    # which gene

    @property
    def gene(self) -> str:
        """The chosen gene, empty where there is no model."""
        return self.combo.gene

    @property
    def pinned(self) -> list[str]:
        """The pinned genes, the first one first."""
        return list(self.workspace.state.pinned)

    def _card_changed(self) -> None:
        """List the genes of what is shown, or of the model."""
        card = self.workspace.state.shown_card
        if card is self._card:
            return
        self._stop_measuring()
        self._card, self._measured, self.combo.figures = card, None, None
        self.combo.genes = None if card is None else GeneList(card, self._names)
        self.combo.setEnabled(card is not None)
        self._offer_orders()
        self._list_genes(self.workspace.state.gene)
        self._say_trust(self.gene)
        self._show_pinned()

    def _gene_changed(self) -> None:
        """Stand at the gene that is shown."""
        if self.combo.gene != self.workspace.state.gene:
            self._list_genes(self.workspace.state.gene)
            self._say_trust(self.gene)
            self._show_pinned()

    def choose(self, text: str) -> None:
        """Show the gene that a typed text means, or say that the model does not predict it."""
        if self.combo.genes is not None:
            self._mean(self.combo.genes.meaning(text), text)

    def toggle_pin(self, gene: str) -> None:
        """Pin a gene, or unpin it."""
        state = self.workspace.state
        state.pinned = tuple(g for g in state.pinned if g != gene) if gene in state.pinned else (*state.pinned, gene)
        self.workspace.preferences.pinned = state.pinned

    def _mean(self, meaning: Meaning, said: str = "") -> None:
        self.combo.popup.hide()
        if meaning.gene is None:
            name = said.strip() or meaning.via or meaning.symbols[0]
            self.combo.setEditText(name)
            self.combo.show_known(False)
            self.trust.say(absent_words(self._card, meaning, name))
            return
        if not self.combo.choose(meaning.gene):
            self._walked()
        self._say_trust(meaning.gene, name_words(meaning))

    def _walked(self, index: int = 0) -> None:
        if index >= 0:
            self._say_trust(self.gene)
            self._show_pinned()
            self._stayed.start()
            self.workspace.state.choose_gene(self.gene)

    def _say_trust(self, gene: str, named: str = "") -> None:
        self.trust.say(named + trust_words(self._card, gene) if self._card else "")

    def _remember_gene(self) -> None:
        """Take note of a gene that was looked at."""
        if self.gene:
            self.workspace.preferences.use_gene(self.gene)
            self.combo.recent = list(self.workspace.preferences.recent_genes)

    def _show_pinned(self) -> None:
        predicted = self._card.genes if self._card else ()
        self.pinned_row.show_genes(self.workspace.state.pinned, self.gene, set(predicted).__contains__)

    def _names_read(self, names: Any) -> None:
        self._names = names
        if self._card is not None:
            self.combo.genes = GeneList(self._card, names)

    # in which order

    def _reordered(self, index: int) -> None:
        self._order = self.order.currentData()  # a model without figures does not make it forgotten
        self._list_genes(self.gene)
        self._measure()

    def _list_genes(self, chosen: str) -> None:
        """List the genes in the order that is chosen; the gene in sight stays."""
        known, order = self.combo.genes, self.order.currentData()
        genes = [] if known is None else known.ordered(order, self.combo.figures)
        self.combo.list_genes(genes, chosen)

    def _offer_orders(self) -> None:
        """Disable the orders for which there are no figures, and say why."""
        evaluated = self._card is not None and self._card.evaluation is not None and bool(self._card.evaluation.genes)
        shown = self.workspace.map
        reasons = {BEST_FIRST: "" if evaluated else _NO_TRUST, VARYING_FIRST: "" if shown and shown.count else _NO_MAP}
        for i, (_, order, tip) in enumerate(_ORDERS):
            reason = reasons.get(order, "")
            self.order.model().item(i).setEnabled(not reason)
            self.order.setItemData(i, reason or tip, Qt.ItemDataRole.ToolTipRole)
        with signals_blocked(self.order):
            self.order.setCurrentIndex(self.order.findData(A_TO_Z if reasons.get(self._order) else self._order))

    def _map_changed(self) -> None:
        before = self.order.currentData()
        self._offer_orders()
        if self.order.currentData() != before:
            self._list_genes(self.gene)
        self._measure()

    def _measure(self) -> None:
        """Have the spatial variability computed where the list stands in its order; until then the list stays."""
        shown = self.workspace.map
        wanted = self.order.currentData() == VARYING_FIRST and shown is not None and shown.card is self._card
        if wanted and (id(shown), shown.count) in (self._measured, self._asked):
            return
        self._stop_measuring()
        if wanted and not self.workspace.controller.running:
            self._asked = id(shown), shown.count
            self.measuring.say("Measuring how each gene varies over the slide…")
            then = partial(self._gather, shown, self._stop)
            self.workspace.background.call(_places_of, shown.done, shown.columns, then=then, failed=self._not_measured)

    def _stop_measuring(self) -> None:
        self._stop.set()
        self._stop, self._asked = Event(), None
        self.measuring.say("")

    def _gather(self, shown: PredictedMap, stop: Event, cells: IntArray) -> None:
        """Take the places out of the map here, where it is filled."""
        if stop.is_set():
            return
        part = Prediction(shown.tiles(cells), shown.hidden_of(cells), shown.decoder, shown.card)
        self.workspace.background.call(
            *(variability, part, len(cells), stop.is_set),
            then=partial(self._show_figures, stop),
            failed=lambda error: None if stop.is_set() else self._not_measured(error),
        )

    def _show_figures(self, stop: Event, figures: Any) -> None:
        if stop.is_set():
            return
        self._measured = self._asked
        self._stop_measuring()
        self.combo.figures = dict(zip(self._card.genes, figures.tolist(), strict=True))
        self._list_genes(self.gene)

    def _not_measured(self, error: Exception) -> None:
        self._stop_measuring()
        self.measuring.say(f"Not measured: {error_words(error)}")

    # in which colours

    def _show_scale(self) -> None:
        """Say what the colours stand for, in the unit of the values."""
        self._offer_reset()
        limits = self.workspace.state.limits
        if limits is None:
            self.scale.say("")
            return
        said = [f"{limits.low:.2f} to {limits.high:.2f} {limits.unit}"]
        if limits.by_hand:
            said[0] += ", set by hand"
        if limits.note.startswith("the same"):
            said.append(f"{limits.gene} is {limits.note}")
        if self.workspace.state.style.smooth and limits.too_large:
            said.append("Too many tiles to smooth: they are drawn as they are")
        self.scale.say("\n".join(said))

    def _offer_reset(self) -> None:
        limits = self.workspace.state.limits
        by_hand = limits is not None and limits.by_hand
        self.reset.setEnabled(by_hand)
        self.reset.setToolTip(
            "Let the limits follow the values of this gene again"
            if by_hand
            else "Nothing to reset: the limits were not set by hand for this gene, with napari's contrast slider"
        )

    def _show_style(self) -> None:
        """Stand at the style of the heatmap, whoever has changed it."""
        style = self.workspace.state.style
        with signals_blocked(self.limits), signals_blocked(self.colours):
            self.limits.setCurrentIndex(list(PERCENTILES.values()).index(style.percentiles))
            self.colours.setCurrentIndex(self.colours.findData(style.colormap))
        self.lock.setChecked(style.locked)
        self.smooth.setChecked(style.smooth)
        self.limits.setEnabled(not style.locked)
        self.limits.setToolTip(_LOCKED if style.locked else _LIMITS_TOOLTIP)
        self._show_scale()

    def _percentiles_chosen(self) -> None:
        self.workspace.maps.forget_limits()
        self.workspace.state.style.percentiles = self.limits.currentData()

    def _locked(self, on: bool) -> None:
        self.workspace.state.style.locked = on

    def _colours_chosen(self) -> None:
        self.workspace.state.style.colormap = self.colours.currentData()

    def _smoothed(self, on: bool) -> None:
        self.workspace.state.style.smooth = on

    def _close(self) -> None:
        self._stop.set()
        self._stayed.stop()


def _places_of(done: Any, columns: int) -> IntArray:
    """Return the flat cells of a map that stand for it."""
    cells = np.flatnonzero(done)
    return cells[some_places(np.stack(np.divmod(cells, columns), axis=1))]
