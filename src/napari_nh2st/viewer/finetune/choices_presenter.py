"""The genes of a run, its base model, what is trained and held out, how long: chosen, looked up, explained. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.errors import Nh2stError
from napari_nh2st.expression.panels import PANELS
from napari_nh2st.model.heads.table import HEADS
from napari_nh2st.targets import TARGETS
from napari_nh2st.training.config import DEFAULT_TARGET, TrainingConfig, read_config, with_head
from napari_nh2st.training.run.run_process import RunProcess
from napari_nh2st.training.run.settings_file import FILE, settings_of
from napari_nh2st.viewer.finetune.cards import Cards
from napari_nh2st.viewer.finetune.choices_state import FROM_BASE, LOOKING_UP, Choices, ChoicesState, Offer
from napari_nh2st.viewer.finetune.gene_lookup import GeneLookup
from napari_nh2st.viewer.finetune.hold_out import HoldOut, HoldOutKind, choices_words, patients_of
from napari_nh2st.viewer.finetune.panel_choice import LISTED, PANEL_NAMES, PanelChoice
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.predict.model_names import folder_name

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

# Settings that the dock has controls for: a settings file does not decide them.
IN_DOCK = ("panel", "panel_kind", "genes", "labels", "train", "hold_out_sections", "hold_out_patients", "epochs")
_DEFAULTS = TrainingConfig()


class ChoicesPresenter:
    """Compares the choices with the sections and makes the settings of a run of them.

    Parameters
    ----------
    cards : Cards
    threads : Threads
        Genes are looked up there.
    facts : callable
        Returns what is known of the sections.
    """

    def __init__(self, cards: Cards, threads: Threads, facts: Callable[[], Sequence[SectionFacts]]) -> None:
        self._cards, self._threads, self._facts = cards, threads, facts
        self._learnt: frozenset[str] = frozenset()  # patients of the base model
        self._answered = -1  # the last question that was answered
        self._fold: tuple[bool, Path | None] = (False, None)
        self.choices, self.state = Choices(), ChoicesState()
        self.choices.events.base.connect(self._base_changed)
        for name in ("panel", "number", "gene_list", "hold_out"):
            self.choices.events[name].connect(self.look_up)
        for name in ("train", "labels", "head"):
            self.choices.events[name].connect(self._sum_up)
        for name in ("train", "head"):
            self.choices.events[name].connect(self._check_head)
        self._base_changed()

    @property
    def summary(self) -> str:
        """The choices in a line: "250 genes, most highly expressed; head; holds out C5"."""
        base = None if self.choices.base is None else folder_name(self.choices.base)
        return choices_words(self._with_head(_DEFAULTS.model_copy(update=self._chosen())), base)

    def config(self, run: Path) -> TrainingConfig:
        """Return the run's settings: those of its settings file, and what is chosen here.

        Raises
        ------
        Nh2stError
            If the file has a wrong setting.
        """
        config, chosen = settings_of(run), self._chosen()
        if config.name == _DEFAULTS.name:
            chosen["name"] = run.name
        return self._with_head(config.model_copy(update=chosen))

    def _with_head(self, config: TrainingConfig) -> TrainingConfig:
        """Return settings with the head that is chosen here, if one is."""
        if not self.choices.head:
            return config
        return config.model_copy(update={"architecture": with_head(config.architecture, self.choices.head)})

    def take(self, config: TrainingConfig, touched: Collection[str]) -> None:
        """Take over the settings that the dock has controls for, as far as they were touched in a form."""
        choices = self.choices
        if "genes" in touched:
            choices.gene_list = ", ".join(config.genes or ())
            choices.panel = LISTED if config.genes else config.panel_kind if choices.base is None else FROM_BASE
        elif {"panel", "panel_kind"} & set(touched) and choices.base is None:
            choices.panel = config.panel_kind
        if "panel" in touched:
            choices.number = config.panel
        if "labels" in touched:
            choices.labels = config.labels or self.state.targets[0].value
        if "architecture.variant" in touched:
            choices.head = ""  # the file has it
        if "train" in touched:
            choices.train = config.train
        if {"hold_out_sections", "hold_out_patients"} & set(touched):
            choices.hold_out = HoldOut.of(config)
        if "epochs" in touched:
            choices.epochs = 0 if config.epochs == _DEFAULTS.epochs else config.epochs

    def choose_hold_out(self, kind: HoldOutKind) -> None:
        """Hold out blocks, or the first section or patient."""
        names = HoldOut(kind).offered(self._facts())
        self.choices.hold_out = HoldOut(kind, tuple(names[:1]))

    def look_up(self) -> None:
        """Ask for the choices to be compared with the sections; `look_up_now` does it."""
        self._offer_hold_out()
        self.state.why_not = self._why_not(pending=True)
        self.state.question += 1

    def look_up_now(self) -> None:
        """Compare the choices with the sections in the background: they have settled."""
        question = self.state.question
        if question == self._answered:
            return
        everything = list(self._facts())
        look = GeneLookup(
            self._cards, self.choices.base, self.choices.panel, self.choices.number, self.choices.gene_list
        )

        def done(found: tuple[PanelChoice, frozenset[str]]) -> None:
            if question == self.state.question:  # no other choice was made meanwhile
                self._found(*found)

        def failed(error: Exception) -> None:
            done((PanelChoice(error_words(error), why_not=error_words(error)), frozenset()))

        self._threads.call(look, everything, self.choices.hold_out.training(everything), then=done, failed=failed)

    def collapse(self, on: bool, run: Path | None = None) -> None:
        """Fold the choices to one line, or open them; what a person opened stays open until the next change.

        Parameters
        ----------
        on : bool
        run : Path, optional
            The line says what this run was started with, if its folder tells.
        """
        if (on, run) != self._fold:
            self._fold = on, run
            self.state.folded = self._line() if on else ""

    def unfold(self) -> None:
        """Open the choices, to make others for the next run."""
        self.state.folded = ""

    def close(self) -> None:
        """Look nothing up any more."""
        self.state.question += 1
        self._answered = self.state.question

    def _chosen(self) -> dict[str, object]:
        choices = self.choices
        chosen: dict[str, object] = {"train": choices.train, "genes": self.state.panel_choice.genes or None}
        chosen["labels"] = None if choices.labels == self.state.targets[0].value else choices.labels
        if choices.panel in PANELS:
            chosen |= {"panel_kind": choices.panel, "panel": choices.number}
        return chosen | choices.hold_out.settings()

    def _found(self, choice: PanelChoice, learnt: frozenset[str]) -> None:
        self._answered, self._learnt = self.state.question, learnt
        self.state.panel_choice = choice
        self.state.guard = self.choices.hold_out.guard(self._facts(), learnt)
        self._sum_up()
        self.state.why_not = self._why_not(pending=False)

    def _why_not(self, *, pending: bool) -> str:
        reason = self.choices.hold_out.why_not(self._facts()) or self._why_not_this_head()
        return reason or (LOOKING_UP if pending else self.state.panel_choice.why_not)

    def _check_head(self) -> None:
        self.state.why_not = self._why_not(pending=self.state.question != self._answered)

    def _why_not_this_head(self) -> str:
        head = HEADS.get(self.choices.head)
        if head is None or self.choices.train == "head" or not head.looks_beyond:
            return ""
        return f"The head {head.name} looks at the whole slide: train the head alone"

    def _sum_up(self) -> None:
        if self.state.folded:
            self.state.folded = self._line()

    def _line(self) -> str:
        run = self._fold[1]
        return (run and _recorded(run)) or self.summary

    def _offer_hold_out(self) -> None:
        """Offer what the sections allow; what was chosen stays, and says so where it cannot be."""
        facts, choices = self._facts(), self.choices
        one_section = "There is only one section. Hold out a block of it" if len(facts) == 1 else ""
        one_patient = "Needs sections from at least two patients" if len(patients_of(facts)) == 1 else ""
        none = "" if facts else "Add sections first"
        self.state.hold_outs = (
            Offer(
                "blocks",
                "a block of each section",
                "A part of every section. Tests how well the model fills in these sections",
            ),
            Offer(
                "section",
                "one section",
                "A whole section is only scored. The run learns nothing from it",
                none or one_section,
            ),
            Offer(
                "patient",
                "one patient",
                "All sections of a patient are only scored. Shows how good the model is for new patients",
                none or one_patient,
            ),
        )
        self.state.names = tuple(choices.hold_out.offered(facts))
        if self.state.names and not choices.hold_out.names:  # a name that is not there (yet) stays
            choices.hold_out = HoldOut(choices.hold_out.kind, self.state.names[:1])
        self.state.guard = choices.hold_out.guard(facts, self._learnt)

    def _base_changed(self) -> None:
        """Offer the genes and the values that can be chosen: a base model brings its own."""
        self._offer_targets()
        self._offer_heads()
        rules = [Offer(name, PANEL_NAMES[name], panel.description) for name, panel in PANELS.items()]
        if self.choices.base is not None:
            rules = [Offer(FROM_BASE, "those of the base model", "The genes that it predicts already")]
        self.state.panels = (*rules, Offer(LISTED, "my own list", "Gene symbols that you type or paste"))
        if self.choices.panel in [offer.value for offer in self.state.panels]:
            self.look_up()
        else:
            self.choices.panel = self.state.panels[0].value

    def _offer_targets(self) -> None:
        """Offer what can be predicted, first what is when nobody chooses."""
        order = sorted(TARGETS.values(), key=lambda target: target.name != DEFAULT_TARGET)
        offers = [Offer(target.name, target.title, target.about) for target in order]
        if self.choices.base is not None:
            tip = "The values that it predicts already. Others are learnt afresh"
            offers.insert(0, Offer(FROM_BASE, "as the base model", tip))
        self.state.targets = tuple(offers)
        before = self.choices.labels
        if before == FROM_BASE or (self.choices.base is not None and before == DEFAULT_TARGET):
            self.choices.labels = offers[0].value

    def _offer_heads(self) -> None:
        """Offer the heads of the table; a base model keeps its own."""
        if self.choices.base is not None:
            tip = "A run keeps the head of the model that it starts from"
            self.state.heads = (Offer("", "as the base model", tip),)
            self.choices.head = ""
            return
        tip = f"The head {_DEFAULTS.architecture.variant}, unless the settings file has another"
        offers = [Offer(head.name, head.name, head.about) for head in HEADS.values()]
        self.state.heads = (Offer("", "as in the settings", tip), *offers)


def _recorded(run: Path) -> str:
    """Say what a run was started with; empty where its folder does not tell."""
    file = next((run / name for name in ("config.yaml", FILE) if (run / name).is_file()), None)
    if file is None:
        return ""
    words = [str(word) for word in RunProcess(run).record().get("argv", ())]
    base = folder_name(words[words.index("--model") + 1]) if "--model" in words[:-1] else None
    try:
        return choices_words(read_config(file), base)
    except Nh2stError:
        return ""
