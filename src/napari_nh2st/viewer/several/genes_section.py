"""Several genes at once: pinned ones as layers, three in one image, and the score of a set."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QStringListModel, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QCompleter,
    QFileDialog,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)

from napari_nh2st.analysis import signatures
from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, row, rule
from napari_nh2st.viewer.kit.phrases import count, error_words
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers.composite import COLOURS, Composite, limits_words
from napari_nh2st.viewer.layers.pinned import PinnedLayers
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.layers.signature import add_signature, set_words
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace

NO_PINNED = "Pin genes first, with [+] below the gene."
PASTED = "pasted list"
_HIDING = (Kind.COMPOSITE, Kind.SIGNATURE)


class SeveralSection(QWidget):
    """What is folded under "Several genes"."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        layout = column(self, spacing=8)
        self.pinned = PinnedPart(workspace)
        self.composite = CompositePart(workspace)
        self.signature = SignaturePart(workspace)
        for part in (self.pinned, rule(), self.composite, rule(), self.signature):
            layout.addWidget(part)


class PinnedPart(QWidget):
    """A box to tick: a layer a pinned gene."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._layers = PinnedLayers(workspace.viewer)
        self.box = QCheckBox("Pinned genes as layers")
        self.box.toggled.connect(self._show)
        self.sentence = Sentence(dim=True)
        layout = column(self, spacing=2)
        layout.addWidget(self.box)
        layout.addWidget(self.sentence)
        for changed in (workspace.state.events.pinned, workspace.state.map_chosen, workspace.state.events.slide):
            changed.connect(self._show)
        workspace.state.events.drawings.connect(self._layers.draw)
        workspace.state.events.jobs_ended.connect(partial(self._layers.draw, final=True))
        self._show()

    def _show(self, *_: Any) -> None:
        workspace = self._workspace
        able = bool(workspace.state.pinned) and workspace.map is not None
        self.box.setEnabled(able or self.box.isChecked())
        tip = "Give each pinned gene a heatmap of its own that stays with it while the main one follows the gene field"
        self.box.setToolTip(tip if able else NO_MAP if workspace.state.pinned else NO_PINNED)
        if not self.box.isChecked():
            self._layers.remove()
            self.sentence.say("" if workspace.state.pinned else NO_PINNED)
            return
        if workspace.map is None:
            return
        self._layers.show(workspace.map, workspace.state.pinned, workspace.state.style)
        shown = [gene for gene in workspace.state.pinned if gene in workspace.map.card.genes]
        absent = [gene for gene in workspace.state.pinned if gene not in shown]
        said = "Hidden at first: click the eye of a layer to show it, and that of the main heatmap to hide that one."
        if absent:
            said += f" {workspace.map.card.name} does not predict {', '.join(absent)}."
        self.sentence.say(said if workspace.state.pinned else NO_PINNED)


class CompositePart(QWidget):
    """Three genes, each in its colour."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._of: dict[Any, Composite] = {}  # by slide
        self._hid: Any = None
        self._genes = QStringListModel(self)
        self.combos: list[NarrowCombo] = []
        layout = column(self, spacing=4)
        self._scales: list[Sentence] = []
        for name, colour in COLOURS:
            layout.addLayout(self._line(name, colour))
        self.use_pinned = QPushButton("Use pinned")
        self.use_pinned.clicked.connect(self._take_pinned)
        self.show_button = QPushButton("Show together")
        self.show_button.clicked.connect(self._show)
        self.sentence = Sentence()
        layout.addLayout(row(self.use_pinned, self.show_button))
        layout.addWidget(self.sentence)
        for changed in (
            workspace.state.map_chosen,
            workspace.state.events.pinned,
            workspace.state.events.model,
            workspace.state.events.slide,
        ):
            changed.connect(self._refresh)
        workspace.state.events.drawings.connect(self._update)
        workspace.state.events.jobs_ended.connect(partial(self._update, final=True))
        workspace.state.gene_chosen.connect(self._gene_asked_for)
        self._refresh()

    def _line(self, name: str, colour: str) -> Any:
        swatch = QLabel()
        swatch.setFixedSize(14, 14)
        swatch.setStyleSheet(f"QLabel {{ background: {colour}; border-radius: 2px; }}")
        combo = NarrowCombo(f"The gene that is drawn in {name}; empty for none. Type any part of its name")
        combo.setEditable(True)
        combo.setInsertPolicy(NarrowCombo.InsertPolicy.NoInsert)
        combo.setMaxVisibleItems(15)
        combo.setModel(self._genes)
        combo.view().setUniformItemSizes(True)
        completer = QCompleter(self._genes, combo)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        combo.setCompleter(completer)
        combo.lineEdit().setPlaceholderText(f"gene in {name}")
        combo.lineEdit().returnPressed.connect(self._show)
        scale = QLabel()
        scale.setToolTip("The values at which this colour is faintest and fullest: the gene's 1st and 99th percentile")
        self.combos.append(combo)
        self._scales.append(scale)
        return row(swatch, combo, scale, stretch=1)

    @property
    def current(self) -> Composite | None:
        """The composite of the map that is shown, None where there is none."""
        shown = self._workspace.map
        found = None if shown is None else self._of.get(shown.slide.get("fingerprint"))
        return found if found is not None and found.map is shown and found.present else None

    def _refresh(self) -> None:
        workspace = self._workspace
        card = workspace.map.card if workspace.map is not None else workspace.state.card
        names = ["", *sorted(card.genes, key=str.casefold)] if card is not None else [""]
        if names != self._genes.stringList():
            kept = [combo.currentText() for combo in self.combos]
            self._genes.setStringList(names)
            best = [] if card is None else card.by_trust()
            for i, combo in enumerate(self.combos):
                text = kept[i] if kept[i] in names and any(kept) else best[i] if i < len(best) else ""
                _choose(combo, max(0, combo.findText(text)))
        self.show_button.setEnabled(workspace.map is not None)
        tip = "Draw these genes in one layer: the more of a gene, the more of its colour"
        self.show_button.setToolTip(tip if workspace.map is not None else NO_MAP)
        usable = [gene for gene in workspace.state.pinned if gene in names]
        self.use_pinned.setEnabled(bool(usable))
        self.use_pinned.setToolTip("Put the first three pinned genes into the fields" if usable else NO_PINNED)
        self._forget_moved()
        self._say_scales()

    def _forget_moved(self) -> None:
        """Take away what was made at another pixel size of the chosen slide."""
        slide = self._workspace.slide
        for fingerprint, made in list(self._of.items()):
            if slide is not None and fingerprint == slide.fingerprint and made.map.slide["mpp"] != slide.mpp:
                self._of.pop(fingerprint).remove()

    def _take_pinned(self) -> None:
        names = self._genes.stringList()
        usable = [gene for gene in self._workspace.state.pinned if gene in names]
        for i, combo in enumerate(self.combos):
            _choose(combo, names.index(usable[i]) if i < len(usable) else 0)

    def _chosen(self) -> list[tuple[str, str]]:
        """Return (gene, colour) of the fields that name one."""
        names = {name.casefold(): name for name in self._genes.stringList()}
        chosen = []
        for combo, (_, colour) in zip(self.combos, COLOURS, strict=True):
            typed = combo.currentText().strip()
            if typed and typed.casefold() not in names:
                raise Nh2stError(f"{self._workspace.require_map().card.name} does not predict {typed}")
            if typed:
                combo.setCurrentText(names[typed.casefold()])
                chosen.append((names[typed.casefold()], colour))
        if not chosen:
            raise Nh2stError("choose at least one gene")
        if len({gene for gene, _ in chosen}) < len(chosen):
            raise Nh2stError("choose different genes")
        return chosen

    def _show(self) -> None:
        workspace = self._workspace
        try:
            shown = workspace.require_map()
            genes, colours = zip(*self._chosen(), strict=True)
        except Nh2stError as error:
            self.sentence.say(error_words(error))
            return
        self.sentence.say("")
        before = self._of.pop(shown.slide.get("fingerprint"), None)
        if before is not None:
            before.remove()
        made = Composite(workspace.viewer, shown, genes, colours)
        self._of[shown.slide.get("fingerprint")] = made
        workspace.maps.instead.show(made.layer)
        self._say_scales()

    def _update(self, *, final: bool = False) -> None:
        for made in self._of.values():
            if made.update(final=final):
                self._say_scales()

    def _gene_asked_for(self, gene: str) -> None:
        """Bring the heatmap of a gene out where an image of several genes, or a score, hides it."""
        heatmap = self._workspace.heatmap
        if heatmap is None or not heatmap.present or heatmap.layer.visible:
            return
        over = [layer for layer in self._workspace.viewer.layers if layer.visible and kind_of(layer) in _HIDING]
        if over:
            heatmap.bring_out()
            self._workspace.maps.instead.forget()
            for layer in over:
                layer.visible = False

    def _say_scales(self) -> None:
        made = self.current
        limits = dict(zip(made.genes, made.gene_limits, strict=True)) if made is not None else {}
        for combo, scale in zip(self.combos, self._scales, strict=True):
            known = limits.get(combo.currentText())
            scale.setText("" if known is None else limits_words(known))
            scale.setVisible(known is not None)


class SignaturePart(QWidget):
    """A set of genes and its score."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._sets: dict[str, signatures.GeneSet] = {}
        self.name = NarrowCombo("The signature's name, as its layer will bear it; the sets of a file are listed here")
        self.name.setEditable(True)
        self.name.setInsertPolicy(NarrowCombo.InsertPolicy.NoInsert)
        self.name.lineEdit().setPlaceholderText("signature")
        self.name.activated.connect(self._take_set)
        self.load = QPushButton("Load .gmt…")
        self.load.setToolTip("Read gene sets from a .gmt file, as MSigDB and Enrichr offer them")
        self.load.clicked.connect(self._ask)
        self.genes = QPlainTextEdit()
        self.genes.setPlaceholderText("Paste genes, with blanks, commas or line ends between them")
        self.genes.setToolTip("The genes of the signature: names with blanks, commas or line ends between them")
        self.genes.setTabChangesFocus(True)
        self.genes.setFixedHeight(4 * self.fontMetrics().height())
        self.genes.setStyleSheet("QPlainTextEdit { border: 1px solid rgba(128, 128, 128, 120); border-radius: 2px; }")
        self.genes.textChanged.connect(self._refresh)
        self.match = Sentence(dim=True)
        self.button = QPushButton("Score")
        self.button.clicked.connect(self._score)
        self.task = Task(workspace)
        layout = column(self, spacing=4)
        layout.addLayout(row(self.name, label="Set", stretch=0))
        layout.addWidget(self.genes)
        layout.addWidget(self.match)
        layout.addLayout(row(self.load, self.button, stretch=1))
        layout.addWidget(self.task)
        for changed in (workspace.state.map_chosen, workspace.state.events.model, workspace.state.events.jobs_ended):
            changed.connect(self._refresh)
        self._refresh()

    def load_file(self, path: str) -> None:
        """Take the sets of a .gmt file; the first one is chosen."""
        try:
            sets = signatures.read_gmt(path)
        except Nh2stError as error:
            self.task.sentence.say(error_words(error))
            return
        self._sets = {each.name: each for each in sets}
        self.name.clear()
        self.name.addItems(list(self._sets))
        _choose(self.name, 0)
        self.task.sentence.say(f"{count(len(sets), 'set')} in the file; choose one by its name.")
        self._take_set()

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Gene sets", "", "gene sets (*.gmt);;all files (*)")
        if path:
            self.load_file(path)

    def _take_set(self, index: int = 0) -> None:
        self.genes.setPlainText(" ".join(self._sets[self.name.currentText()].genes))

    def _matched(self) -> signatures.Match | None:
        """Return which of the genes the model has, None where there is no model or no gene."""
        card = self._workspace.map.card if self._workspace.map is not None else self._workspace.state.card
        text = self.genes.toPlainText()
        if card is None or not text.strip():
            return None
        try:
            return signatures.match(signatures.parse_genes(text), card.genes)
        except Nh2stError:
            return None

    def _refresh(self) -> None:
        workspace, found = self._workspace, self._matched()
        card = workspace.map.card if workspace.map is not None else workspace.state.card
        self.match.say("" if found is None else set_words(found, card))
        able = found is not None and bool(found.genes) and workspace.map is not None
        why = (
            NO_MAP
            if workspace.map is None
            else "Paste the genes of a signature above"
            if found is None
            else "The model has none of these genes"
        )
        self.button.setEnabled(able)
        tip = (
            "How much these genes stand out at each tile: their mean prediction less that of control genes which are "
            "expressed alike (scanpy's score_genes)"
        )
        self.button.setToolTip(tip if able else why)

    def _score(self) -> None:
        workspace, found = self._workspace, self._matched()
        try:
            shown = workspace.require_map()
        except Nh2stError as error:
            self.task.sentence.say(error_words(error))
            return
        if found is None:
            return
        name = self.name.currentText().strip() or PASTED

        def work(tell: Any, cancelled: Any) -> Any:
            prediction = shown.prediction()
            scores = signatures.score(prediction, found.genes, tell=tell, cancelled=cancelled)
            return shown.cells(prediction.places), scores

        self.task.start("Scoring", work, partial(self._draw, shown, name, found))

    def _draw(self, shown: Any, name: str, found: signatures.Match, scored: Any) -> None:
        workspace, (cells, scores) = self._workspace, scored
        total = len(found.genes) + len(found.missing)
        genes = f"{len(found.genes)} of its {count(total, 'gene')}, {count(len(cells), 'tile')}"
        how = {"name": name, "genes": genes, "colormap": workspace.state.style.colormap}
        made = add_signature(workspace.viewer, shown, cells, scores, **how)
        workspace.maps.instead.show(made.layer)
        self.task.sentence.say(f"Scored {count(len(cells), 'tile')}; press Score again when more are predicted.")


def _choose(combo: NarrowCombo, index: int) -> None:
    combo.setCurrentIndex(index)
    combo.lineEdit().setCursorPosition(0)  # of a long name, the beginning is seen
