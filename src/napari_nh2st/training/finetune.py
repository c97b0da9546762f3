"""Fine-tune NH2ST on measured sections: from a sample sheet to a model folder.

A run may be killed at any moment: what it has by then (the settings, the pretrained encoder, the embedded tissue, the
last epoch) is in its folder, whole, and a resumed run ends as an undisturbed one does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.descriptor_file import Key, put_descriptors
from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.section_descriptor import SectionDescriptor
from napari_nh2st.engine.seen_sections import SeenSections
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import Sample, read_expression, samples_of
from napari_nh2st.model.card import Card
from napari_nh2st.model.folder import Model, load_model, put_reference, save_card, save_model
from napari_nh2st.reading import read_json
from napari_nh2st.terminal import say
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.network.network_module import HeldOutBlock, NH2STModule, NotFinite
from napari_nh2st.training.network.setup import TrainingSetup
from napari_nh2st.training.run.begin import (
    alone_in,
    begin_run,
    check_folder,
    explain_full_disk,
    has_ended,
    wait_until_ready,
)
from napari_nh2st.training.run.checkpoints import next_epoch, remove_damaged
from napari_nh2st.training.run.control import RunControl, StoppedEarly
from napari_nh2st.training.run.cross_fit import HeldOutSpots, cross_fit, median_depth, predict_held_out
from napari_nh2st.training.run.finished_run import FinishedRun
from napari_nh2st.training.run.held_out_reporter import HeldOutReporter
from napari_nh2st.training.run.learnt_share import STAGE as SHARE_STAGE
from napari_nh2st.training.run.learnt_share import choose_share, chooses_share, with_share
from napari_nh2st.training.run.preparation import Preparation
from napari_nh2st.training.run.record import RunSettings, keep_to_measurements
from napari_nh2st.training.run.reference import describe_training
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.trained_card import refitted_card, trained_card
from napari_nh2st.training.run.training_pass import TrainedPass, TrainingPass
from napari_nh2st.training.sections.blocks import hold_out, lay_blocks, release
from napari_nh2st.training.sections.examine import examine_sections
from napari_nh2st.training.sections.held_apart import NamedSection, refuse_seen, refuse_shared, seen_among
from napari_nh2st.training.sections.held_out_sections import HeldOutSections, split_samples
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_sections
from napari_nh2st.training.trainer import is_first_process, quiet

if TYPE_CHECKING:
    import pandas as pd


def finetune(
    sheet: str | Path | pd.DataFrame | Sequence[Sample],
    out: str | Path,
    *,
    base: str | Path | None = None,
    config: TrainingConfig | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
    finish: Callable[[FinishedRun], object] = lambda finished: None,
    since: float | None = None,
) -> Path:
    """Train on measured sections and write a model folder.

    Parameters
    ----------
    sheet : path, DataFrame or list of Sample
    out : path
        The run's folder, see `RunFolder`. A file named ``stop`` that appears in it ends the run, and the best model so
        far is kept; one named ``pause`` holds it until it goes.
    base : name or path, optional
        A model to start from; its mpp, patch and pitch are kept, its panel too unless `config.genes` names one.
    config : TrainingConfig, optional
    seed : int
    resume : bool
        Go on from the last epoch that was finished, with the settings, base and seed that the run was started with. It
        ends as it would have ended undisturbed. Where the run has ended, nothing is done.
    progress : bool
        Show a bar on standard error.
    cancelled : callable
        Asked after every step; as with the file, the best model so far is kept.
    finish : callable
        Called with what came of the run, before the run says that it is done: `evaluation.after_training.summarise`
        scores held-out sections and simpler models.
    since : float, optional
        When the run began, in seconds since 1970, where that was before this call: requests in the folder that are
        older were meant for another run.

    Returns
    -------
    Path
        The model folder, ``out/model``.

    Raises
    ------
    SampleError, MppNeeded, ModelError
        Before anything is computed, one line that says what to do.
    NotFinite
        If the loss became infinite or no number. The model of the best epoch before that is in the folder.
    Nh2stError
        If the folder holds a run already, the run was stopped before there was anything to keep, or the disk is full.

    Examples
    --------
    >>> finetune("train.csv", "RUN")  # doctest: +SKIP
    PosixPath('RUN/model')
    """
    since, folder, first = since or time.time(), RunFolder(Path(out).expanduser()), is_first_process()
    if first:
        check_folder(folder, resume)
    else:
        wait_until_ready(folder.ready, cancelled)
    samples = samples_of(sheet)
    settings = RunSettings(TrainingConfig() if config is None else config, None if base is None else str(base), seed)
    settings = RunSettings.recorded(folder, samples) if resume or not first else settings
    if resume and has_ended(folder):
        say(f"note: {folder.path} has ended: there is nothing to resume, and its model stays as it is")
        return folder.model
    L.seed_everything(settings.seed, verbose=False)

    with explain_full_disk(folder), ExitStack() as alone:
        there = folder.path.is_dir()  # a window has made it, and follows the run: it is told from the first second
        if there and first:
            alone.enter_context(alone_in(folder, first))
            folder.forget_requests(since)
        control = RunControl.of(folder, cancelled, writes=first and there, show_bar=progress and first)
        with control.report_failure():
            read = _read_sections(samples, settings, control)
        if not there:
            alone.enter_context(alone_in(folder, first))
        if first:
            begin_run(folder, settings, samples, resume)
            settings = settings.settled()
        control = RunControl.of(folder, cancelled, writes=first, show_bar=progress and first)
        with control.report_failure(), quiet():
            if first and resume:
                tell(remove_damaged(folder), control)
            if first:
                slides = {section.name: section.fingerprint for section in read.sections}
                keep_to_measurements(folder, slides, read.counts)
            tell_doubts([*read.sections, *read.held_out.sections], control)
            tell(read.notes, control)
            preparation = Preparation(folder, settings, read.sections, read.base, control)
            finished = _train(preparation, read.card, read.held_out, seen_among(read.sections, read.before), resume)
            if first:
                _describe(finished, read.samples, read.before)
                control.log.say(stage="scoring beside simpler models")
                finish(finished)
            event = "cancelled" if control.requests.stop_asked else "done"
            control.log.say(event=event, model=str(finished.model))
    return finished.model


@dataclass(frozen=True, eq=False)
class _ReadSections:
    """The sections that a run learns from and is scored on, as they were read.

    Attributes
    ----------
    samples : list of Sample
        Trained on.
    counts : list of AnnData
        Of those samples, (n, genes) each.
    card : Card
        G genes, pixel size, pitch.
    sections : list of Section
        Pixels (H, W, 3), nine places (n, 9, 2), labels (n, G) each.
    held_out : HeldOutSections
    base : Model or None
    before : SeenSections
        What the base model has learnt from.
    notes : list of str
        What to know of the blocks that are held out.
    """

    samples: list[Sample]
    counts: list[Any]
    card: Card
    sections: list[Section]
    held_out: HeldOutSections
    base: Model | None
    before: SeenSections
    notes: list[str]


def _read_sections(samples: Sequence[Sample], settings: RunSettings, control: RunControl) -> _ReadSections:
    """Read and examine everything before the first thing is computed."""
    train, only_scored = split_samples(samples, settings.config)
    counts: list[Any] = []
    told = control.reading("reading the sections")
    for sample in train:
        told(len(counts), len(train))
        counts.append(read_expression(sample))
    findings = examine_sections(train, counts, control.reading("finding the tissue"))
    base = None if settings.base is None else load_model(settings.base)
    admitted = [f.admit(s.sample, data) for s, data, f in zip(train, counts, findings, strict=True)]
    spots = [np.asarray(data.obsm["spatial"], dtype=np.float64) for data in admitted]
    part, whole = settings.config.inner_validation, bool(only_scored)
    blocks = lay_blocks(spots, part, settings.seed, scored=not whole)
    seen = [data[~block.scored] if block.scored.any() else data for data, block in zip(admitted, blocks, strict=True)]
    card = card_for(train, counts, settings.config, base, seen=seen)
    held_out = HeldOutSections.read(only_scored, card, control.reading("reading the held-out sections"))
    sections = load_sections(train, counts, card, findings, control.reading("reading the slides"))
    before = SeenSections() if base is None else SeenSections.of_model(base)
    _check_apart(sections, held_out, before, settings)
    hold_out(sections, blocks)
    notes = [] if whole else _too_small(sections)
    return _ReadSections(train, counts, card, sections, held_out, base, before, notes)


def _too_small(sections: Sequence[Section]) -> list[str]:
    """Say which sections have too few spots for a block that is scored."""
    small = [section.name for section in sections if not section.scored.any()]
    if not small:
        return []
    none = ": the run reports no figure" if len(small) == len(sections) else ""
    return [f"{', '.join(small)}: too few spots for a second block, so none is scored there{none}"]


def tell_doubts(sections: Sequence[Section], control: RunControl) -> None:
    """Report doubts about the sections in the terminal and in the metrics."""
    tell([f"{section.name}: {doubt}" for section in sections for doubt in section.doubts], control)


def tell(notes: Sequence[str], control: RunControl) -> None:
    """Say sentences in the terminal and in the metrics."""
    for note in notes:
        control.log.say(note=note)
        if control.show_bar:
            say(f"warning: {note}")


def _check_apart(
    sections: Sequence[Section], held_out: HeldOutSections, before: SeenSections, settings: RunSettings
) -> None:
    """Refuse to hold out what is trained on, or what the model to start from has learnt from."""
    scored = [NamedSection.of(section) for section in held_out.sections]
    refuse_shared([NamedSection.of(section) for section in sections], scored)
    refuse_seen(scored, before, str(settings.base))


def _train(
    preparation: Preparation, card: Card, held_out: HeldOutSections, learnt_before: list[str], resume: bool
) -> FinishedRun:
    """Train with blocks held out, keep the best epoch, then train on everything."""
    folder, settings, control = preparation.folder, preparation.settings, preparation.control
    setup, reporter = _prepare(preparation, card, held_out)

    first = TrainingPass(setup, folder, control, score=True, watch=[reporter])
    _report_start(first, resume)
    broken: NotFinite | None = None
    trained: TrainedPass | None = None
    try:
        trained = first.run()
    except NotFinite as error:
        broken = error
    if not folder.best.is_file():
        raise Nh2stError(f"{broken}: start again with a lower learning_rate") if broken else StoppedEarly

    module, device = _best_epoch(first), settings.config.device
    blocks = predict_held_out(module, first.data.to_score(), device)  # (k, G) measured and predicted, each
    instead = blocks or predict_held_out(module, first.data.inner(), device)
    learnt = [~section.held_out for section in setup.sections]
    if is_first_process():
        reporter.write_blocks(blocks, next_epoch(folder.best) - 1)
    card = trained_card(setup, blocks, learnt_before)
    _save(setup, card, folder)
    if trained is None:
        raise NotFinite(f"{broken}: the best epoch before that is kept; start again with a lower learning_rate")

    early = trained.best_epoch if trained.last_epoch + 1 < settings.config.epochs else None
    spots = _held_out_spots(preparation, setup, instead, early, learnt_before)
    if spots is not None and is_first_process():
        save_card(spots.calibrate(card), folder.model)
    if settings.config.refit and not control.requests.stop_asked:
        _refit(preparation, card, trained.steps, early, spots)
    return FinishedRun(folder.path, folder.model, settings, setup.sections, blocks, learnt, held_out, learnt_before)


def _prepare(preparation: Preparation, card: Card, held_out: HeldOutSections) -> tuple[TrainingSetup, HeldOutReporter]:
    """Set up the first training, and what reports on held-out tissue meanwhile."""
    try:
        card = with_chosen_share(preparation, card)
        setup, embedded = preparation.set_up(card), None
        if is_first_process():
            embedded = preparation.embed_held_out(setup, held_out.sections)
    except Cancelled:
        raise StoppedEarly from None
    return setup, HeldOutReporter(preparation.folder, setup, held_out, embedded)


def with_chosen_share(preparation: Preparation, card: Card) -> Card:
    """Put the learnt head's share on the card, chosen once a run; the card as it is where none is chosen.

    Raises
    ------
    Cancelled
    """
    settings, control, file = preparation.settings, preparation.control, preparation.folder.learnt_share
    if not chooses_share(card, settings.config):
        return card
    if not file.is_file():

        def set_up() -> TrainingSetup:
            L.seed_everything(settings.seed, verbose=False)
            return preparation.set_up(card)

        told = control.stage(SHARE_STAGE, "trainings")
        share = choose_share(preparation.sections, set_up, cancelled=control.requests.should_stop, told=told).share
        with finished_file(file) as draft:
            draft.write_text(json.dumps({"learnt_share": round(share, 3)}))
        L.seed_everything(settings.seed, verbose=False)
    return with_share(card, float(read_json(file, "the learnt head's share")["learnt_share"]))


def _report_start(first: TrainingPass, resume: bool) -> None:
    setup, config = first.setup, first.setup.config
    rounds, epoch = 1 + config.refit, next_epoch(first.checkpoint)
    first.control.log.write(
        epoch * first.data.batches().steps,
        epoch,
        event="resumed" if resume else "started",
        stage="training",
        total_epochs=config.epochs * rounds,
        total_steps=first.steps * rounds,
        spots=sum(len(s.labels) for s in setup.sections),
        genes=len(setup.card.genes),
        train=setup.train,
        device=str(choose_device(config.device)),
    )


def _best_epoch(first: TrainingPass) -> NH2STModule:
    """Load the best epoch's weights into the network."""
    module = NH2STModule(first.setup, 1)
    _load(module, first.folder.best)
    return module


def _held_out_spots(
    preparation: Preparation,
    setup: TrainingSetup,
    blocks: Mapping[int, HeldOutBlock],
    last_epoch: int | None,
    learnt_before: Sequence[str],
) -> HeldOutSpots | None:
    """Predict spots with models that have not learnt from them, for the intervals; None if the run is asked to stop.

    Where more than the head is trained, or by several processes, further trainings take too long: the held-out blocks
    have to do, `blocks`, or the inner ones where there are no others.
    """
    config = preparation.settings.config
    if not config.intervals or preparation.control.requests.stop_asked:
        return None
    if setup.embedded is None or config.devices * config.nodes > 1:
        new = [b for i, b in blocks.items() if setup.sections[i].name not in learnt_before]
        return HeldOutSpots("blocks", new, median_depth(setup.sections, learnt_before))
    try:
        return cross_fit(preparation, setup.card, last_epoch=last_epoch, learnt_before=learnt_before)
    except (Cancelled, NotFinite):
        return None


def _refit(
    preparation: Preparation, card: Card, steps_before: int, last_epoch: int | None, spots: HeldOutSpots | None
) -> None:
    """Train once more on all spots, the held-out ones included, and let that model take the folder over.

    It keeps the panel; its encoder is pretrained anew, on all tissue. The card's figures stay those of the trainings
    before: no spot that a model has learnt from can say how good it is. Stopped halfway, the first model stays.
    """
    folder, control, config = preparation.folder, preparation.control, preparation.settings.config
    again = any(section.scored.any() for section in preparation.sections)
    release(preparation.sections)
    L.seed_everything(preparation.settings.seed, verbose=False)
    try:
        setup = preparation.set_up(card, again=again)
    except Cancelled:
        return
    control.log.say(stage="training on the held-out blocks too")
    second = TrainingPass(setup, folder, control, before=(config.epochs, steps_before), last_epoch=last_epoch)
    module = second.run().module
    if not control.requests.stop_asked:
        _load(module, second.checkpoint)
        card = refitted_card(card, setup)
        _save(setup, card if spots is None else spots.calibrate(card), folder)


def _load(module: NH2STModule, file: Path) -> None:
    """Take the averaged weights of a checkpoint."""
    module.cpu().load_state_dict(torch.load(file, weights_only=True, map_location="cpu")["state_dict"])


def _save(setup: TrainingSetup, card: Card, folder: RunFolder) -> None:
    """Finish the network, and write the model folder."""
    net = setup.finish()
    if is_first_process():
        save_model(net, card, folder.model, half=setup.config.half)


def _describe(finished: FinishedRun, samples: Sequence[Sample], before: SeenSections) -> None:
    """Save the descriptors of the training sections and the reference of their tissue beside the model."""
    own: dict[Key, SectionDescriptor] = {(s.name, s.fingerprint): s.descriptor for s in finished.sections}
    put_descriptors({**before.descriptors, **own}, finished.model)
    device = finished.settings.config.device
    reference = describe_training(load_model(finished.model), samples, device=device)
    if reference is not None:
        put_reference(reference, finished.model)
