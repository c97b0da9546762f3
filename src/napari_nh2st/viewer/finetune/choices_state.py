"""The choices for a run, and what follows from them. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_nh2st.training.config import DEFAULT_TARGET, Train, TrainingConfig
from napari_nh2st.viewer.finetune.hold_out import HoldOut
from napari_nh2st.viewer.finetune.panel_choice import PanelChoice

FROM_BASE = "base"
LOOKING_UP = "The genes are still being looked up"
_DEFAULTS = TrainingConfig()


@dataclass(frozen=True)
class Offer:
    """An item of a list: its value, its label, its tooltip, and why it cannot be chosen (empty where it can)."""

    value: str
    label: str
    tip: str = ""
    reason_off: str = ""


@dataclass(eq=False)
class Choices:
    """The choices of a person. They tell their listeners when one of them changes.

    Attributes
    ----------
    base : str or None
        Name or folder of the base model; None starts from scratch.
    panel : str
        A key of `PANELS`, `FROM_BASE` or `LISTED`.
    number : int
        Of genes, where a rule of `PANELS` chooses them.
    gene_list : str
        As it was typed or pasted.
    labels : str
        What is predicted: a key of `TARGETS`, or `FROM_BASE`.
    head : str
        A key of `HEADS`; empty takes that of the settings, or of the base model.
    train : str
    hold_out : HoldOut
    seed : int
    epochs : int
        0 takes those of the settings.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    base: str | None = None
    panel: str = _DEFAULTS.panel_kind
    number: int = _DEFAULTS.panel
    gene_list: str = ""
    labels: str = DEFAULT_TARGET
    head: str = ""
    train: Train = _DEFAULTS.train
    hold_out: HoldOut = field(default_factory=HoldOut)
    seed: int = 0
    epochs: int = 0


@dataclass(eq=False)
class ChoicesState:
    """Consequences of the choices. It tells its listeners what changes.

    Attributes
    ----------
    panels, targets, heads : tuple of Offer
    hold_outs : tuple of Offer
    names : tuple of str
        Of the sections or patients of which one can be held out.
    question : int
        Counts what is to be looked up: another number asks for another look, once it has settled.
    panel_choice : PanelChoice
    guard : str
        What the figures of the run will mean.
    why_not : str
        Why no run can be made with these choices; empty where one can.
    folded : str
        The line to which the choices are folded; empty while they are open.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    panels: tuple[Offer, ...] = ()
    targets: tuple[Offer, ...] = ()
    heads: tuple[Offer, ...] = ()
    hold_outs: tuple[Offer, ...] = ()
    names: tuple[str, ...] = ()
    question: int = 0
    panel_choice: PanelChoice = field(default_factory=PanelChoice)
    guard: str = ""
    why_not: str = LOOKING_UP
    folded: str = ""
