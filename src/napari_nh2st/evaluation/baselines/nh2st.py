"""NH2ST beside its own parts: the default, each of the two parts that it adds up, without neighbours, as published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch

from napari_nh2st.engine.device import choose_device
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict
from napari_nh2st.evaluation.baselines.frozen import frozen_encoder
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.model.heads.table import HEADS
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.config import TrainingConfig, with_head
from napari_nh2st.training.network.kernel import learnt_alone
from napari_nh2st.training.network.predict_section import predict_section
from napari_nh2st.training.network.setup import set_up_training
from napari_nh2st.training.network.starting_point import StartingPoint
from napari_nh2st.training.objectives.table import OBJECTIVES, checked
from napari_nh2st.training.sections.section import Section
from napari_nh2st.training.train_sections import train_sections

# As published: learning rate, spots in a batch (here, of one window).
_PUBLISHED = {"objectives": None, "learning_rate": 5e-4, "spots_per_step": 8, "windows_per_step": 1}


def _target(config: TrainingConfig) -> TrainingConfig:
    """Make the default model blind to the surroundings of a place; the neighbourhood's loss goes with them."""
    arch = config.architecture.model_copy(update={"neighbours": False})
    objectives = config.losses(config.architecture)
    objectives = {name: {**o, "near": 0.0} if "near" in o else o for name, o in objectives.items()}
    return config.model_copy(update={"architecture": arch, "objectives": objectives})


def _paper(config: TrainingConfig) -> TrainingConfig:
    """Take the published network and losses, a ResNet-18 of the default's width and pixel size, one epoch more."""
    ours = config.architecture
    arch = Architecture(
        variant="paper", encoder="resnet18", width=ours.width, stride=ours.stride, dim=ours.dim, hidden=ours.hidden,
        heads=ours.heads, dropout=ours.dropout,
    )  # fmt: skip
    more = {"architecture": arch, "encoder_start": None, "epochs": config.epochs + 1, **_PUBLISHED}
    return config.model_copy(update=more)


def _with_head(name: str) -> Callable[[TrainingConfig], TrainingConfig]:
    """Give the settings another head with its own options and objectives, all else as it is."""

    def change(config: TrainingConfig) -> TrainingConfig:
        return config.model_copy(update={"architecture": with_head(config.architecture, name), "objectives": None})

    return change


def _with_objective(name: str) -> Callable[[TrainingConfig], TrainingConfig]:
    """Train on an objective, with its own options, in place of those of the settings."""
    return lambda config: config.model_copy(update={"objectives": checked({name: None})})


def _is_pretrained(config: TrainingConfig) -> bool:
    """Tell whether settings start from an encoder that is pretrained: the one that the frozen baselines have."""
    return config.architecture.row.dense and bool(config.pretrain_steps)


def _trained(settings: Callable[[TrainingConfig], TrainingConfig]) -> Callable[[Fitting], Predict]:
    def fit(fitting: Fitting) -> Predict:
        return _predictor(fitting, *_train(fitting, settings(fitting.config)))

    return fit


def _train(fitting: Fitting, config: TrainingConfig) -> tuple[NH2ST, Card]:
    card = fitting.card.model_copy(update={"architecture": config.architecture})
    encoder = frozen_encoder(fitting) if _is_pretrained(config) else None
    return train_sections(fitting.sections, card, config, fitting.seed, cancelled=fitting.cancelled, encoder=encoder)


def _predictor(fitting: Fitting, net: NH2ST, card: Card) -> Predict:
    def predict(section: Section) -> Array:
        return predict_section(net, section, card, device=choose_device(fitting.config.device))

    return predict


# The default is trained once for a fitting: it gives the stack and its learnt part.
_STACKS: WeakKeyDictionary[Fitting, tuple[NH2ST, Card]] = WeakKeyDictionary()


def _stack(fitting: Fitting) -> tuple[NH2ST, Card]:
    if fitting not in _STACKS:
        _STACKS[fitting] = _train(fitting, fitting.config)
    return _STACKS[fitting]


def _context(fitting: Fitting) -> Predict:
    return _predictor(fitting, *_stack(fitting))


def _learnt(fitting: Fitting) -> Predict:
    net, card = _stack(fitting)
    return _predictor(fitting, learnt_alone(net, card), card)


def kernel_alone(fitting: Fitting) -> Predict:
    """Fit the kernel head alone: no gradient step is taken.

    Raises
    ------
    Nh2stError
        If the settings have none.
    """
    encoder = frozen_encoder(fitting) if fitting.config.pretrain_steps else None
    with torch.random.fork_rng(devices=[]):
        setup = set_up_training(
            fitting.sections, fitting.card, fitting.config, fitting.seed, start=StartingPoint(encoder=encoder)
        )
        if setup.kernel is None:
            raise Nh2stError("the settings leave the kernel head out: compare without the models that need it")
        net = replace(setup, kernel=replace(setup.kernel, share=1.0, learnt=0.0)).finish()
    return _predictor(fitting, net, setup.card)


def _variation(name: str, about: str, settings: Callable[[TrainingConfig], TrainingConfig]) -> Baseline:
    """Make a line that differs from the default in its settings alone."""
    return Baseline(name=name, about=about, seeded=True, fit=_trained(settings), uses_encoder=_is_pretrained)


KERNEL = Baseline(
    name="nh2st-kernel",
    about="The kernel head of nh2st-context alone, without the part that is learnt from expression by gradient.",
    seeded=True,
    fit=kernel_alone,
    uses_encoder=lambda config: bool(config.pretrain_steps),
)
TARGET = _variation(
    "nh2st-target",
    "nh2st-context without its neighbours: the same encoder, kernel head and target's loss see the target alone.",
    _target,
)
PAPER = Baseline(
    name="nh2st-paper",
    about="NH2ST as published (variant paper with its losses and weights), at our pixel size and width.",
    seeded=True,
    fit=_trained(_paper),
)
CONTEXT = Baseline(
    name="nh2st-context",
    about=(
        "NH2ST as nh2st finetune trains it by default: a stack of its learnt part and the kernel head, both on target "
        "and neighbours."
    ),
    seeded=True,
    fit=_context,
    uses_encoder=_is_pretrained,
    intervals=lambda fitting: _stack(fitting)[1].intervals,
)
LEARNT = Baseline(
    name="nh2st-learnt",
    about="The part of nh2st-context that is learnt from expression by gradient, alone, of the same training.",
    seeded=True,
    fit=_learnt,
    uses_encoder=_is_pretrained,
    fitted_with=CONTEXT.name,
)
OTHER_HEADS = tuple(
    _variation(
        f"nh2st-{head.name}",
        f"NH2ST with the head {head.name}, trained by default: {head.about}",
        _with_head(head.name),
    )
    for head in HEADS.values()
    if head.name not in ("context", "paper")
)
# The default's head with each objective that is no head's own.
OTHER_OBJECTIVES = tuple(
    _variation(
        f"nh2st-{row.name}", f"nh2st-context, trained with another objective. {row.about}", _with_objective(row.name)
    )
    for row in OBJECTIVES.values()
    if not any(row.name in head.objectives for head in HEADS.values())
)
