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
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from napari_nh2st import metrics
from napari_nh2st.engine.device import choose_device, choose_precision
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import Sample, read_expression, read_sheet
from napari_nh2st.expression.panels import choose_genes
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card, Evaluation, GeneTrust, TrainingSample
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import load_encoder, save_encoder
from napari_nh2st.model.folder import Model, load_model, put_reference, save_model
from napari_nh2st.model.nh2st import NH2ST, ContextNH2ST
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.slides import open_slide
from napari_nh2st.terminal import Bar
from napari_nh2st.training.callbacks import METRICS, PAUSE, STOP, MetricsFile, Wishes
from napari_nh2st.training.checkpoints import BEST, LAST, next_epoch
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data import Section, hold_out_blocks, load_section
from napari_nh2st.training.embedded import Embedded, load_embedded, save_embedded
from napari_nh2st.training.held_out_sections import Apart, Watch, split_samples
from napari_nh2st.training.module import Fitter, NotFinite
from napari_nh2st.training.quiet_lightning import quiet
from napari_nh2st.training.record import START, Settings, record_environment
from napari_nh2st.training.reference import describe_training
from napari_nh2st.training.setup import Plan, look_at_all, make_plan, pretrained
from napari_nh2st.training.training_pass import Stage, is_first

# What a run keeps to go on from.
CHECKPOINTS, ENCODER, EMBEDDED, READY = "checkpoints", "encoder.safetensors", "embedded.safetensors", "ready"
APART = "embedded-apart.safetensors"
NOTHING_YET = "stopped before the first epoch was finished: there is no model to keep"
_FULL = {errno.ENOSPC, errno.EDQUOT}

# Arrays whose spacing is known, micrometres; a measured spacing close to one of them is taken for it.
ARRAY_PITCHES = (100.0, 200.0)


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
    finish: Callable[[Ended], object] = lambda ended: None,
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
    run, first = Path(out).expanduser(), is_first()
    if first:
        _check_run_folder(run, resume)
    else:
        _wait_for(run / CHECKPOINTS / READY, cancelled)
    samples = read_sheet(sheet) if isinstance(sheet, (str, Path)) else list(sheet)
    settings = Settings(TrainingConfig() if config is None else config, None if base is None else str(base), seed)
    settings = Settings.recorded(run, samples) if resume or not first else settings
    L.seed_everything(settings.seed, verbose=False)
    train, held_out = split_samples(samples, settings.config)
    data = [read_expression(s) for s in train]
    start = None if settings.base is None else load_model(settings.base)
    card = card_for(train, data, settings.config, start)
    apart = Apart.read(held_out, card)
    sections = [load_section(s, d, card) for s, d in zip(train, data, strict=True)]
    hold_out_blocks(sections, settings.config.inner_validation, settings.seed)
    with _disk(run):
        if first:
            _begin(run, settings, samples, resume)
        log = MetricsFile(run / METRICS if first else None)
        wishes = Wishes(run, cancelled, log)
        try:
            with quiet():
                shown = progress and first
                under_way = _Run(run, settings, train, sections, apart, start, log, wishes, shown, resume, finish)
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


def _begin(run: Path, settings: Settings, samples: Sequence[Sample], resume: bool) -> None:
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


@dataclass(frozen=True, eq=False)
class Ended:
    """What came of a run.

    Attributes
    ----------
    run, model : Path
        Its folder, and the model's in it.
    settings : Settings
    sections : list of Section
        That were trained on.
    blocks : list of tuple
        Of each of them the held-out spots (k,), measured (k, G) and as the best epoch predicts them (k, G).
    apart : Apart
        Sections that were not trained on.
    """

    run: Path
    model: Path
    settings: Settings
    sections: list[Section]
    blocks: list[tuple[npt.NDArray[Any], ...]]
    apart: Apart


@dataclass
class _Run:
    """A run under way.

    Attributes
    ----------
    folder : Path
    settings : Settings
    samples : list of Sample
        That are trained on.
    sections : list of Section
        With their held-out blocks marked.
    apart : Apart
        Sections that are only scored.
    start : Model or None
    log : MetricsFile
    wishes : Wishes
    progress, resume : bool
    """

    folder: Path
    settings: Settings
    samples: list[Sample]
    sections: list[Section]
    apart: Apart
    start: Model | None
    log: MetricsFile
    wishes: Wishes
    progress: bool
    resume: bool
    finish: Callable[[Ended], object]

    @property
    def _kept(self) -> Path:
        return self.folder / CHECKPOINTS

    def go(self, card: Card) -> Path:
        """Train with blocks held out, keep the best, then train on everything."""
        config, model = self.settings.config, self.folder / "model"
        try:
            plan = self._plan(card, self._encoder(card))
        except Cancelled:
            raise Nh2stError(NOTHING_YET) from None
        if is_first():
            (self._kept / READY).touch()
            if plan.embedded is not None and self.apart.sections:
                plain = config.model_copy(update={"views": 0})
                kept = self._kept / APART
                self.apart.embedded = self._look_at(plan.net, plan.card, self.apart.sections, plain, kept)
        watch = Watch(self.folder, plan, self.apart)
        first = Stage(plan, self._kept, self.log, self.wishes, score=True, progress=self.progress, watch=[watch])
        self._say_begun(first)
        broken: NotFinite | None = None
        try:
            module, keep, trainer = first.run()
        except NotFinite as error:
            broken, module = error, plan.fitter(1)
        if not (self._kept / BEST).is_file():
            raise Nh2stError(f"{broken}: start again with a lower learning_rate" if broken else NOTHING_YET)
        card = self._keep_best(plan, module, first)
        blocks = module.held_out()
        if is_first() and not self.apart.sections:
            watch.write(watch.blocks(module), next_epoch(self._kept / BEST) - 1)
        if broken is not None:
            raise NotFinite(f"{broken}: the best epoch before that is kept; start again with a lower learning_rate")
        if config.refit and not self.wishes.asked:
            early = keep.best_epoch if keep.last_epoch + 1 < config.epochs else None
            self.log.say(stage="training on the held-out blocks too")
            self._refit(plan, card, Stage(
                plan, self._kept, self.log, self.wishes, epochs_behind=config.epochs,
                steps_behind=trainer.global_step, last_epoch=early, progress=self.progress,
            ))  # fmt: skip
        if is_first():
            reference = describe_training(load_model(model), self.samples, device=config.device)
            if reference is not None:
                put_reference(reference, model)
            self.log.say(stage="scoring beside simpler models")
            self.finish(Ended(self.folder, model, self.settings, plan.sections, blocks, self.apart))
        self.log.say(event="cancelled" if self.wishes.asked else "done", model=str(model))
        return model

    def _say_begun(self, first: Stage) -> None:
        config, rounds = self.settings.config, 1 + self.settings.config.refit
        epoch = next_epoch(first.file)
        step = epoch * first.batches().steps
        self.log.write(
            step, epoch, event="resumed" if self.resume else "started", stage="training",
            total_epochs=config.epochs * rounds, total_steps=first.steps * rounds,
            spots=sum(len(s.labels) for s in self.sections), genes=len(first.plan.card.genes),
            train=first.plan.train, device=str(choose_device(config.device)),
        )  # fmt: skip

    def _encoder(self, card: Card) -> ResNet18 | None:
        """Pretrain the encoder where the settings say so, once for the run; None where it comes from elsewhere."""
        config, path = self.settings.config, self._kept / ENCODER
        wanted = config.pretrain_steps and config.encoder_start is None and card.architecture.variant == "context"
        if not wanted or self.start is not None:
            return None
        if not path.is_file():
            told = self._telling("pretraining the encoder", "steps")
            stop = self.wishes.stop
            save_encoder(pretrained(self.sections, card.architecture, config, self.settings.seed, stop, told), path)
        return load_encoder(path)

    def _plan(self, card: Card, encoder: ResNet18 | None) -> Plan:
        settings = self.settings
        return make_plan(
            self.sections, card, settings.config, settings.seed, self.start, encoder, self.wishes.stop, None, self._look
        )

    def _look(self, net: ContextNH2ST, card: Card) -> list[Embedded]:
        return self._look_at(net, card, self.sections, self.settings.config, self._kept / EMBEDDED)

    def _look_at(
        self, net: NH2ST, card: Card, sections: list[Section], config: TrainingConfig, path: Path
    ) -> list[Embedded]:
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
            found = look_at_all(net, sections, card, config, self.settings.seed, self.wishes.stop, told)
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

    def _keep_best(self, plan: Plan, module: Fitter, stage: Stage) -> Card:
        """Load the best epoch, score its held-out blocks gene by gene, and write the model folder; return its card."""
        _load(module, self._kept / BEST)
        module.cpu().eval()
        module.on_validation_epoch_start()
        with torch.inference_mode():
            for batch in stage.held_out():
                module.validation_step(batch, batch[0])
        net = plan.finish()
        precision = choose_precision(plan.config.precision, choose_device(plan.config.device))
        card = plan.card.model_copy(
            update={
                "training": [
                    TrainingSample(
                        sample=s.name, patient=s.patient, spots=int((~s.held_out).sum()), fingerprint=s.fingerprint
                    )
                    for s in plan.sections
                ],
                "training_mpp": [round(s.mpp, 6) for s in plan.sections],
                "evaluation": _evaluation(plan, module.held_out()),
                "recipe": {"seed": plan.seed, **_flat(plan.config.model_dump(mode="json")), "precision": precision},
                "versions": {**versions(), "command": repeat_command()},
            }
        )
        self._save(net, card)
        return card

    def _refit(self, plan: Plan, card: Card, stage: Stage) -> None:
        """Train once more on all spots, the held-out ones included, and let that model take the folder over.

        The card's figures stay those of the first training: no spot that a model has learnt from can say how good it
        is. Stopped halfway, the first model stays.
        """
        for section in plan.sections:
            section.held_out[:] = False
        L.seed_everything(plan.seed, verbose=False)
        again = self._plan(plan.card, self._encoder(plan.card))
        stage.plan = again
        module, _, _ = stage.run()
        if self.wishes.asked:
            return
        _load(module, stage.file)
        facts = {
            "gene_means": again.card.gene_means,
            "gene_stds": again.card.gene_stds,
            "architecture": again.card.architecture,
        }
        trained = [
            t.model_copy(update={"spots": len(s.labels)}) for t, s in zip(card.training, plan.sections, strict=True)
        ]
        self._save(again.finish(), card.model_copy(update={**facts, "training": trained}))

    def _save(self, net: NH2ST, card: Card) -> None:
        if is_first():
            save_model(net, card, self.folder / "model", half=self.settings.config.half)


def _load(module: Fitter, path: Path) -> None:
    """Take the averaged weights of a checkpoint."""
    module.cpu().load_state_dict(torch.load(path, weights_only=True, map_location="cpu")["state_dict"])


def card_for(
    samples: Sequence[Sample], data: Sequence[Any], config: TrainingConfig, start: Model | None = None
) -> Card:
    """Settle panel, geometry and architecture from training sections, or take them over from a base model.

    Parameters
    ----------
    samples : sequence of Sample
    data : sequence of AnnData
        From `read_expression`, in the same order.
    """
    if start is not None:
        genes = config.genes or start.card.genes
        architecture, mpp, pitch = start.card.architecture, start.card.mpp, start.card.pitch
    else:
        genes = config.genes or choose_genes(data, config.panel_kind, config.panel)
        architecture = config.architecture
        mpp, pitch = _geometry(samples, data, config)
    return Card(
        name=config.name,
        description=config.description,
        licence=config.licence,
        tissue=config.tissue,
        citation=config.citation,
        synthetic=config.synthetic,
        architecture=architecture,
        mpp=mpp,
        pitch=pitch,
        genes=genes,
        gene_means=[0.0] * len(genes),
        base=None if start is None else f"{start.card.name} {start.hash}",
    )


def _geometry(samples: Sequence[Sample], data: Sequence[Any], config: TrainingConfig) -> tuple[float, int]:
    """Choose mpp and pitch so that the neighbour places fall on the array and on the encoder's cells.

    Arrays of 200 um take nine cells a pitch, denser ones six: a patch then spans about the pitch.
    """
    stride = config.architecture.stride
    if config.mpp is not None and config.pitch is not None:
        return config.mpp, config.pitch
    spacings = []
    for sample, section in zip(samples, data, strict=True):
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            spots = section.obsm["spatial"]
            spacings.append(np.median(cKDTree(spots).query(spots, 5)[0][:, 1:]) * slide.require_mpp())
    spacing = float(np.median(spacings))
    known = min(ARRAY_PITCHES, key=lambda p: abs(p - spacing))
    spacing = known if abs(known - spacing) < 0.08 * known else spacing
    if config.mpp is not None:
        return config.mpp, max(stride, round(spacing / config.mpp / stride) * stride)
    pitch = config.pitch or stride * (9 if spacing > 150 else 6)
    return spacing / pitch, pitch


def train_sections(
    sections: Sequence[Section],
    card: Card,
    config: TrainingConfig,
    seed: int,
    cancelled: Callable[[], bool],
    encoder: ResNet18 | None = None,
) -> tuple[NH2ST, Card]:
    """Train on all spots of sections in memory: what `finetune` ends with, without folder, figures or held-out block.

    Parameters
    ----------
    sections : sequence of Section
        With raw labels of the card's panel.
    card : Card
        From `card_for`.
    config : TrainingConfig
    seed : int
    cancelled : callable
        Asked after every step.
    encoder : ResNet18, optional
        Pretrained already, by `pretrained` with the same sections, settings and seed.

    Returns
    -------
    net : NH2ST
        Finished: it answers in label units.
    card : Card
        With the statistics of the labels.

    Raises
    ------
    Cancelled
        If it was; there is nothing to keep.
    """
    L.seed_everything(seed, verbose=False)
    plan = make_plan(sections, card, config, seed, encoder=encoder, cancelled=cancelled)
    with quiet(), TemporaryDirectory() as folder:
        log = MetricsFile(None)
        wishes = Wishes(Path(folder), cancelled, log)
        Stage(plan, Path(folder), log, wishes, checkpoints=False).run()
    if wishes.asked:
        raise Cancelled
    return plan.finish(), plan.card


def _flat(settings: dict[str, Any]) -> dict[str, str | int | float | bool | None]:
    """Keep the plain settings of a configuration; the architecture and the panel stand on the card already."""
    return {k: v for k, v in settings.items() if not isinstance(v, (dict, list)) and k != "description"}


def _evaluation(plan: Plan, held_out: list[tuple[npt.NDArray[Any], ...]]) -> Evaluation:
    """Per-gene PCC on the inner validation blocks, with an interval from resampled spots' blocks."""
    scores, draws, weights = [], [], []
    for section, (spots, truth, predicted) in zip(plan.sections, held_out, strict=True):
        blocks = metrics.spatial_blocks(section.centres[spots, SELF], side=2.0 * plan.card.pitch)
        scores.append(metrics.pcc(truth, predicted).per_gene)
        draws.append(metrics.bootstrap(truth, predicted, blocks, seed=plan.seed).pcc)
        weights.append(len(truth))
    per_gene = np.average(scores, axis=0, weights=weights)
    low, high = metrics.interval(np.average(draws, axis=0, weights=weights))
    genes = {
        gene: GeneTrust(pcc=round(float(p), 3), low=round(float(a), 3), high=round(float(b), 3))
        for gene, p, a, b in zip(plan.card.genes, per_gene, low, high, strict=True)
    }
    return Evaluation(
        kind="synthetic" if plan.card.synthetic else "same-patient",
        samples=[f"{s.name} (block)" for s in plan.sections],
        pcc_mean=round(float(per_gene.mean()), 4),
        genes=genes,
    )
