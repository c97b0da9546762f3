"""Fine-tune NH2ST on measured sections: from a sample sheet to a model folder.

A run may be killed at any moment: what it holds by then (the settings, the pretrained encoder, what the encoder sees of
the tissue, the last epoch) is in its folder, whole, and a resumed run ends as an undisturbed one does.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st import metrics
from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import Sample, read_expression, read_sheet
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card, Evaluation, GeneTrust, TrainingSample
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import load_encoder, save_encoder
from napari_nh2st.model.folder import Model, load_model, put_reference, save_model
from napari_nh2st.model.nh2st import NH2ST, ContextNH2ST
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.terminal import Bar
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.embedded import EmbeddedSection, load_embedded, save_embedded
from napari_nh2st.training.network.network_module import NH2STModule, NotFinite
from napari_nh2st.training.network.setup import TrainingSetup, embed_all, set_up_training
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.run.checkpoints import BEST, LAST, next_epoch
from napari_nh2st.training.run.finished_run import FinishedRun
from napari_nh2st.training.run.held_out_reporter import HeldOutReporter
from napari_nh2st.training.run.metrics_file import METRICS, MetricsFile
from napari_nh2st.training.run.record import START, RunSettings, record_environment
from napari_nh2st.training.run.reference import describe_training
from napari_nh2st.training.run.requests import PAUSE, STOP, RunRequests
from napari_nh2st.training.run.training_pass import TrainingPass
from napari_nh2st.training.sections.held_out_sections import HeldOutSections, hold_out_blocks, split_samples
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_section
from napari_nh2st.training.trainer import is_first_process, quiet

# What a run keeps to go on from.
CHECKPOINTS, ENCODER, EMBEDDED, READY = "checkpoints", "encoder.safetensors", "embedded.safetensors", "ready"


APART = "embedded-apart.safetensors"


NOTHING_YET = "stopped before the first epoch was finished: there is no model to keep"


_FULL = {errno.ENOSPC, errno.EDQUOT}


def finetune(
    sheet: str | Path | Sequence[Sample],
    out: str | Path,
    *,
    base: str | Path | None = None,
    config: TrainingConfig | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
    finish: Callable[[FinishedRun], object] = lambda ended: None,
) -> Path:
    """Train on measured sections and write a model folder.

    Parameters
    ----------
    sheet : path or list of Sample
    out : path
        The run's folder: ``model/``, ``metrics.jsonl``, ``config.yaml``, ``environment.json``, ``checkpoints/``. A file
        named ``stop`` that appears in it ends the run, and the best model so far is kept; one named ``pause`` holds it
        until it goes.
    base : name or path, optional
        A model to start from; its mpp, patch and pitch are kept, its panel too unless `config.genes` names one.
    config : TrainingConfig, optional
    seed : int
    resume : bool
        Go on from the last epoch that was finished, with the settings, base and seed that the run was started with. It
        ends as it would have ended undisturbed.
    progress : bool
        Show a bar on standard error.
    cancelled : callable
        Asked after every step; as with the file, the best model so far is kept.
    finish : callable
        Called with what came of the run, before the run says that it is done: `evaluation.after_training.summarise`
        scores held-out sections and simpler models.

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
    """
    run, first = Path(out).expanduser(), is_first_process()
    if first:
        _check_run_folder(run, resume)
    else:
        _wait_for(run / CHECKPOINTS / READY, cancelled)
    samples = read_sheet(sheet) if isinstance(sheet, (str, Path)) else list(sheet)
    settings = RunSettings(TrainingConfig() if config is None else config, None if base is None else str(base), seed)
    settings = RunSettings.recorded(run, samples) if resume or not first else settings
    L.seed_everything(settings.seed, verbose=False)
    train, only_scored = split_samples(samples, settings.config)
    data = [read_expression(s) for s in train]
    start = None if settings.base is None else load_model(settings.base)
    card = card_for(train, data, settings.config, start)
    held_out = HeldOutSections.read(only_scored, card)
    sections = [load_section(s, d, card) for s, d in zip(train, data, strict=True)]
    hold_out_blocks(sections, settings.config.inner_validation, settings.seed)
    with _disk(run):
        if first:
            _begin(run, settings, samples, resume)
        log = MetricsFile(run / METRICS if first else None)
        requests = RunRequests(run, cancelled, log)
        try:
            with quiet():
                shown = progress and first
                under_way = _Run(run, settings, train, sections, held_out, start, log, requests, shown, resume, finish)
                return under_way.go(card)
        except BaseException as error:
            with suppress(OSError):
                log.say(event="failed", reason=str(error) or type(error).__name__)
            raise


def _check_run_folder(run: Path, resume: bool) -> None:
    if resume and not (run / START).is_file():
        raise Nh2stError(f"{run} holds no run to resume: leave --resume away")
    if not resume and ((run / CHECKPOINTS / LAST).exists() or (run / "model").exists()):
        raise Nh2stError(f"{run} holds a run already: choose another --out, or go on with --resume")


def _begin(run: Path, settings: RunSettings, samples: Sequence[Sample], resume: bool) -> None:
    run.mkdir(parents=True, exist_ok=True)
    for name in (STOP, PAUSE):
        (run / name).unlink(missing_ok=True)
    if not resume:
        shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)  # of a run that was ended before its first epoch
        settings.record(run, samples)
    (run / CHECKPOINTS).mkdir(exist_ok=True)
    (run / CHECKPOINTS / READY).unlink(missing_ok=True)
    record_environment(run, settings.config)


def _wait_for(file: Path, cancelled: Callable[[], bool]) -> None:
    """Wait until the first process has prepared what this one trains on as well."""
    while not file.is_file():
        if cancelled():
            raise Cancelled("stopped while another process was preparing")
        time.sleep(0.5)


@contextmanager
def _disk(run: Path) -> Iterator[None]:
    """Turn a full disk into the line that a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise Nh2stError(
            f"the disk that holds {run} is full: free some space, then go on with --resume; what was kept is not lost"
        ) from error


@dataclass
class _Run:
    """A run under way.

    Attributes
    ----------
    folder : Path
    settings : RunSettings
    samples : list of Sample
        That are trained on.
    sections : list of Section
        With their held-out blocks marked.
    held_out : HeldOutSections
        Sections that are only scored.
    start : Model or None
    log : MetricsFile
    requests : RunRequests
    progress, resume : bool
    """

    folder: Path
    settings: RunSettings
    samples: list[Sample]
    sections: list[Section]
    held_out: HeldOutSections
    start: Model | None
    log: MetricsFile
    requests: RunRequests
    progress: bool
    resume: bool
    finish: Callable[[FinishedRun], object]

    @property
    def _kept(self) -> Path:
        return self.folder / CHECKPOINTS

    def go(self, card: Card) -> Path:
        """Train with blocks held out, keep the best, then train on everything."""
        config, model = self.settings.config, self.folder / "model"
        try:
            setup = self._setup(card, self._encoder(card))
        except Cancelled:
            raise Nh2stError(NOTHING_YET) from None
        embedded = None
        if is_first_process():
            (self._kept / READY).touch()
            if setup.embedded is not None and self.held_out.sections:
                plain = config.model_copy(update={"views": 0})
                kept = self._kept / APART
                embedded = self._look_at(setup.net, setup.card, self.held_out.sections, plain, kept)
        watch = HeldOutReporter(self.folder, setup, self.held_out, embedded)
        first = TrainingPass(
            setup, self._kept, self.log, self.requests, score=True, progress=self.progress, watch=[watch]
        )
        self._say_begun(first)
        broken: NotFinite | None = None
        try:
            module, keep, trainer = first.run()
        except NotFinite as error:
            broken, module = error, setup.module(1)
        if not (self._kept / BEST).is_file():
            raise Nh2stError(f"{broken}: start again with a lower learning_rate" if broken else NOTHING_YET)
        card = self._keep_best(setup, module, first)
        blocks = module.held_out()
        if is_first_process() and not self.held_out.sections:
            watch.write(watch.blocks(module), next_epoch(self._kept / BEST) - 1)
        if broken is not None:
            raise NotFinite(f"{broken}: the best epoch before that is kept; start again with a lower learning_rate")
        if config.refit and not self.requests.asked:
            early = keep.best_epoch if keep.last_epoch + 1 < config.epochs else None
            self.log.say(stage="training on the held-out blocks too")
            self._refit(setup, card, TrainingPass(
                setup, self._kept, self.log, self.requests, epochs_behind=config.epochs,
                steps_behind=trainer.global_step, last_epoch=early, progress=self.progress,
            ))  # fmt: skip
        if is_first_process():
            reference = describe_training(load_model(model), self.samples, device=config.device)
            if reference is not None:
                put_reference(reference, model)
            self.log.say(stage="scoring beside simpler models")
            self.finish(FinishedRun(self.folder, model, self.settings, setup.sections, blocks, self.held_out))
        self.log.say(event="cancelled" if self.requests.asked else "done", model=str(model))
        return model

    def _say_begun(self, first: TrainingPass) -> None:
        config, rounds = self.settings.config, 1 + self.settings.config.refit
        epoch = next_epoch(first.file)
        step = epoch * first.batches().steps
        self.log.write(
            step, epoch, event="resumed" if self.resume else "started", stage="training",
            total_epochs=config.epochs * rounds, total_steps=first.steps * rounds,
            spots=sum(len(s.labels) for s in self.sections), genes=len(first.setup.card.genes),
            train=first.setup.train, device=str(choose_device(config.device)),
        )  # fmt: skip

    def _encoder(self, card: Card) -> ResNet18 | None:
        """Pretrain the encoder where the settings say so, once for the run; None where it comes from elsewhere."""
        config, path = self.settings.config, self._kept / ENCODER
        wanted = config.pretrain_steps and config.encoder_start is None and card.architecture.variant == "context"
        if not wanted or self.start is not None:
            return None
        if not path.is_file():
            told = self._telling("pretraining the encoder", "steps")
            stop = self.requests.stop
            save_encoder(
                pretrain_on_sections(self.sections, card.architecture, config, self.settings.seed, stop, told), path
            )
        return load_encoder(path)

    def _setup(self, card: Card, encoder: ResNet18 | None) -> TrainingSetup:
        settings = self.settings
        return set_up_training(
            self.sections,
            card,
            settings.config,
            settings.seed,
            self.start,
            encoder,
            self.requests.stop,
            None,
            self._look,
        )

    def _look(self, net: ContextNH2ST, card: Card) -> list[EmbeddedSection]:
        return self._look_at(net, card, self.sections, self.settings.config, self._kept / EMBEDDED)

    def _look_at(
        self, net: NH2ST, card: Card, sections: list[Section], config: TrainingConfig, path: Path
    ) -> list[EmbeddedSection]:
        """Look at the tissue of sections, once for the run."""
        assert isinstance(net, ContextNH2ST)
        weights = hashlib.blake2b(digest_size=16)
        for tensor in net.encoder.state_dict().values():
            weights.update(tensor.cpu().numpy().tobytes())
        geometry = f"{card.mpp} {card.pitch} {card.architecture.landmarks > 0} {config.views} {config.stain_jitter}"
        slides = " ".join(f"{s.fingerprint}/{len(s.labels)}" for s in sections)
        belongs_to = f"{weights.hexdigest()} {geometry} {slides}"
        found = load_embedded(path, belongs_to)
        if found is None:
            told = self._telling("looking at the tissue", "views")
            found = embed_all(net, sections, card, config, self.settings.seed, self.requests.stop, told)
            save_embedded(found, path, belongs_to)
        return found

    def _telling(self, stage: str, unit: str) -> Callable[[int, int], None]:
        """Tell how far a preparation is: the terminal by a bar, everybody else by a line every second or so."""
        bar = Bar(stage, unit=f" {unit}") if self.progress else None
        told = float("-inf")

        def tell(done: int, total: int) -> None:
            nonlocal told
            if bar is not None:
                bar(done, total)
            if done >= total or time.monotonic() - told >= 1:
                told = time.monotonic()
                self.log.say(stage=stage, done=done, total=total)

        return tell

    def _keep_best(self, setup: TrainingSetup, module: NH2STModule, stage: TrainingPass) -> Card:
        """Load the best epoch, score its held-out blocks gene by gene, and write the model folder; return its card."""
        _load(module, self._kept / BEST)
        module.cpu().eval()
        module.on_validation_epoch_start()
        with torch.inference_mode():
            for batch in stage.held_out():
                module.validation_step(batch, batch[0])
        net = setup.finish()
        precision = choose_precision(setup.config.precision, choose_device(setup.config.device))
        card = setup.card.model_copy(
            update={
                "training": [
                    TrainingSample(
                        sample=s.name, patient=s.patient, spots=int((~s.held_out).sum()), fingerprint=s.fingerprint
                    )
                    for s in setup.sections
                ],
                "training_mpp": [round(s.mpp, 6) for s in setup.sections],
                "evaluation": _evaluation(setup, module.held_out()),
                "recipe": {"seed": setup.seed, **_flat(setup.config.model_dump(mode="json")), "precision": precision},
                "versions": {**versions(), "command": repeat_command()},
            }
        )
        self._save(net, card)
        return card

    def _refit(self, setup: TrainingSetup, card: Card, stage: TrainingPass) -> None:
        """Train once more on all spots, the held-out ones included, and let that model take the folder over.

        The card's figures stay those of the first training: no spot that a model has learnt from can say how good it
        is. Stopped halfway, the first model stays.
        """
        for section in setup.sections:
            section.held_out[:] = False
        L.seed_everything(setup.seed, verbose=False)
        again = self._setup(setup.card, self._encoder(setup.card))
        stage.setup = again
        module, _, _ = stage.run()
        if self.requests.asked:
            return
        _load(module, stage.file)
        facts = {
            "gene_means": again.card.gene_means,
            "gene_stds": again.card.gene_stds,
            "architecture": again.card.architecture,
        }
        trained = [
            t.model_copy(update={"spots": len(s.labels)}) for t, s in zip(card.training, setup.sections, strict=True)
        ]
        self._save(again.finish(), card.model_copy(update={**facts, "training": trained}))

    def _save(self, net: NH2ST, card: Card) -> None:
        if is_first_process():
            save_model(net, card, self.folder / "model", half=self.settings.config.half)


def _load(module: NH2STModule, path: Path) -> None:
    """Take the averaged weights of a checkpoint."""
    module.cpu().load_state_dict(torch.load(path, weights_only=True, map_location="cpu")["state_dict"])


def _flat(settings: dict[str, Any]) -> dict[str, str | int | float | bool | None]:
    """Keep the plain settings of a configuration; the architecture and the panel stand on the card already."""
    return {k: v for k, v in settings.items() if not isinstance(v, (dict, list)) and k != "description"}


def _evaluation(setup: TrainingSetup, held_out: list[tuple[npt.NDArray[Any], ...]]) -> Evaluation:
    """Per-gene PCC on the inner validation blocks, with an interval from resampled spots' blocks."""
    scores, draws, weights = [], [], []
    for section, (spots, truth, predicted) in zip(setup.sections, held_out, strict=True):
        blocks = metrics.spatial_blocks(section.centres[spots, SELF], side=2.0 * setup.card.pitch)
        scores.append(metrics.pcc(truth, predicted).per_gene)
        draws.append(metrics.bootstrap(truth, predicted, blocks, seed=setup.seed).pcc)
        weights.append(len(truth))
    per_gene = np.average(scores, axis=0, weights=weights)
    low, high = metrics.interval(np.average(draws, axis=0, weights=weights))
    genes = {
        gene: GeneTrust(pcc=round(float(p), 3), low=round(float(a), 3), high=round(float(b), 3))
        for gene, p, a, b in zip(setup.card.genes, per_gene, low, high, strict=True)
    }
    return Evaluation(
        kind="synthetic" if setup.card.synthetic else "same-patient",
        samples=[f"{s.name} (block)" for s in setup.sections],
        pcc_mean=round(float(per_gene.mean()), 4),
        genes=genes,
    )
