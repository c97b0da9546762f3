"""Fine-tune NH2ST on measured sections: from a sample sheet to a model folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from scipy.spatial import cKDTree
from torch.utils.data import DataLoader

from napari_nh2st import metrics
from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.device import choose_device, choose_precision
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.expression import Sample, choose_panel, read_expression, read_sheet
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card, Evaluation, GeneTrust, TrainingSample
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.folder import Model, load_model, put_reference, save_model
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.slides import open_slide
from napari_nh2st.terminal import Bar
from napari_nh2st.training.callbacks import METRICS, STOP, EpochBar, MetricsFile, Reporter, StopWhenAsked
from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.data import (
    Section,
    TrainingWindows,
    Window,
    WindowCutter,
    hold_out_blocks,
    load_section,
    validation_windows,
)
from napari_nh2st.training.kernel import LOOK_WINDOW
from napari_nh2st.training.module import Fitter
from napari_nh2st.training.plan import Plan, make_plan
from napari_nh2st.training.quiet import quiet
from napari_nh2st.training.reference import describe_training

# Arrays whose spacing is known, micrometres; a measured spacing close to one of them is taken for it.
ARRAY_PITCHES = (100.0, 200.0)


@dataclass(frozen=True)
class _Settings:
    """What a run was started with; a resumed run goes on with that, whatever it is called with."""

    config: TrainingConfig
    base: str | None
    seed: int

    def record(self, run: Path, samples: Sequence[Sample]) -> None:
        """Write config.yaml, for people and for reuse, and start.json, for resuming."""
        with finished_file(run / "config.yaml") as draft:
            draft.write_text(yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False), "utf-8")
        started = {"base": self.base, "seed": self.seed, "samples": [s.sample for s in samples]}
        with finished_file(run / "start.json") as draft:
            draft.write_text(json.dumps(started, indent=1) + "\n", "utf-8")

    @classmethod
    def recorded(cls, run: Path, samples: Sequence[Sample]) -> _Settings:
        """Read what a run was started with.

        Raises
        ------
        Nh2stError
            If the sheet names other samples now.
        """
        started = json.loads((run / "start.json").read_text("utf-8"))
        if started["samples"] != [s.sample for s in samples]:
            raise Nh2stError(f"{run} was started on {', '.join(started['samples'])}: resume it with the same sheet")
        return cls(read_config(run / "config.yaml"), started["base"], int(started["seed"]))


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
) -> Path:
    """Train on measured sections and write a model folder.

    Parameters
    ----------
    sheet : path or list of Sample
    out : path
        The run's folder: ``model/``, ``metrics.jsonl``, ``config.yaml``, ``checkpoints/``. A file named ``stop`` that
        appears in it ends the run, and the best model so far is kept.
    base : name or path, optional
        A model to start from; its mpp, patch and pitch are kept, its panel too unless `config.genes` names one.
    config : TrainingConfig, optional
    seed : int
    resume : bool
        Go on from the last epoch that was finished, with the settings, base and seed that the run was started with.
    progress : bool
        Show a bar on standard error.
    cancelled : callable
        Asked after every step; as with the file, the best model so far is kept.

    Returns
    -------
    Path
        The model folder, ``out/model``.

    Raises
    ------
    SampleError, MppNeeded, ModelError
        Before anything is computed, one line that says what to do.
    Nh2stError
        If the folder holds a run already, or the run was stopped before there was anything to keep.
    """
    run = Path(out).expanduser()
    _check_run_folder(run, resume)
    samples = read_sheet(sheet) if isinstance(sheet, (str, Path)) else list(sheet)
    settings = _Settings(TrainingConfig() if config is None else config, None if base is None else str(base), seed)
    settings = settings.recorded(run, samples) if resume else settings
    (run / STOP).unlink(missing_ok=True)
    L.seed_everything(settings.seed, verbose=False)
    bar = Bar("encoder, on tiles without labels", unit=" steps") if progress else None
    try:
        plan = _prepare(samples, settings, lambda: cancelled() or (run / STOP).exists(), bar)
    except Cancelled:
        raise Nh2stError("stopped before the first epoch was finished: there is no model to keep") from None
    run.mkdir(parents=True, exist_ok=True)
    if not resume:
        settings.record(run, samples)
    log = MetricsFile(run / METRICS)
    try:
        with quiet():
            return _fit(plan, samples, run, log, resume, progress, cancelled)
    except BaseException as error:
        log.write(0, 0, event="failed", reason=str(error) or type(error).__name__)
        raise


def _check_run_folder(run: Path, resume: bool) -> None:
    last = run / "checkpoints" / "last.ckpt"
    if resume and not (last.is_file() and (run / "start.json").is_file()):
        raise Nh2stError(f"{run} holds no run to resume: leave --resume away")
    if not resume and (last.exists() or (run / "model").exists()):
        raise Nh2stError(f"{run} holds a run already: choose another --out, or go on with --resume")


def _prepare(
    samples: list[Sample], settings: _Settings, cancelled: Callable[[], bool], bar: Callable[[int, int], None] | None
) -> Plan:
    config = settings.config
    data = [read_expression(s) for s in samples]
    start = None if settings.base is None else load_model(settings.base)
    card = card_for(samples, data, config, start)
    sections = [load_section(s, d, card) for s, d in zip(samples, data, strict=True)]
    hold_out_blocks(sections, config.inner_validation, settings.seed)
    return make_plan(sections, card, config, settings.seed, start, cancelled=cancelled, progress=bar)


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
        genes = config.genes or choose_panel(data, config.panel)
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


def _fit(
    plan: Plan,
    samples: Sequence[Sample],
    run: Path,
    log: MetricsFile,
    resume: bool,
    progress: bool,
    cancelled: Callable[[], bool],
) -> Path:
    config = plan.config
    cutter = WindowCutter(plan.mean, plan.std)
    windows = TrainingWindows(plan.sections, cutter, config.window, config.windows_per_step, plan.seed)
    steps = len(windows) * config.epochs
    module = plan.fitter(steps)
    checkpoints = ModelCheckpoint(
        run / "checkpoints",
        filename="best",
        monitor="val_pcc",
        mode="max",
        save_last=True,
        enable_version_counter=False,
    )
    stop = StopWhenAsked(run, cancelled)
    callbacks: list[Callback] = [checkpoints, Reporter(log), stop]
    if config.ema:
        callbacks.append(EMAWeightAveraging(decay=config.ema))
    if progress:
        callbacks.append(EpochBar())
    trainer = _trainer(config, callbacks, progress, run)
    last = run / "checkpoints" / "last.ckpt"
    if resume:
        windows.epoch = int(torch.load(last, weights_only=True, map_location="cpu")["epoch"]) + 1
    spots, rounds = sum(len(s.labels) for s in plan.sections), 1 + config.refit
    log.write(
        0, windows.epoch, event="resumed" if resume else "started", total_epochs=config.epochs * rounds,
        total_steps=steps * rounds,
        spots=spots, genes=len(plan.card.genes),
    )  # fmt: skip
    held_out = list(enumerate(validation_windows(plan.sections, cutter, plan.card, LOOK_WINDOW)))
    trainer.fit(
        module,
        DataLoader(windows, batch_size=None, collate_fn=_as_is),
        DataLoader(held_out, batch_size=None, collate_fn=_as_is),  # type: ignore[arg-type]
        ckpt_path=str(last) if resume else None,
        weights_only=True,
    )
    if not checkpoints.best_model_path or trainer.global_step < len(windows):
        raise Nh2stError("stopped before the first epoch was finished: there is no model to keep")
    card = _keep_best(plan, module, Path(checkpoints.best_model_path), held_out, run)
    if config.refit and not stop.asked:
        _refit(plan, card, run, log, progress, stop)
    model = run / "model"
    reference = describe_training(load_model(model), samples, device=config.device)
    if reference is not None:
        put_reference(reference, model)
    log.write(log.step, log.epoch, event="cancelled" if stop.asked else "done", model=str(model))
    return model


def _as_is(batch: Any) -> Any:
    return batch


def _trainer(
    config: TrainingConfig, callbacks: list[Callback], progress: bool, run: Path, *, checkpoints: bool = True
) -> L.Trainer:
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    return L.Trainer(
        default_root_dir=run,
        max_epochs=config.epochs,
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=1 if device.index is None else [device.index],
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=progress,
        enable_checkpointing=checkpoints,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
    )


def _keep_best(plan: Plan, module: Fitter, best: Path, held_out: list[tuple[int, list[Window]]], run: Path) -> Card:
    """Load the best epoch, score its held-out blocks gene by gene, and write the model folder; return its card."""
    state = torch.load(best, weights_only=True, map_location="cpu")["state_dict"]
    module.load_state_dict(state)
    module.cpu().eval()
    module.on_validation_epoch_start()
    with torch.inference_mode():
        for batch in held_out:
            module.validation_step(batch, batch[0])
    net = plan.finish()
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
            "recipe": {"seed": plan.seed, **_flat(plan.config.model_dump(mode="json"))},
            "versions": {**versions(), "command": repeat_command()},
        }
    )
    save_model(net, card, run / "model", half=plan.config.half)
    return card


def _refit(plan: Plan, card: Card, run: Path, log: MetricsFile, progress: bool, stop: StopWhenAsked) -> None:
    """Train once more on all spots, the held-out ones included, and let that model take the folder over.

    The card's figures stay those of the first training: no spot that a model has learnt from can say how good it is.
    Stopped halfway, the first model stays.
    """
    for section in plan.sections:
        section.held_out[:] = False
    L.seed_everything(plan.seed, verbose=False)
    start = load_model(plan.start) if plan.start is not None else None
    encoder = None if plan.train_encoder else plan.net.encoder  # it has seen no label: once is enough
    again = make_plan(plan.sections, plan.card, plan.config, plan.seed, start, encoder)
    callbacks: list[Callback] = [Reporter(log, plan.config.epochs), stop]
    _train(again, run, callbacks, progress)
    if stop.asked:
        return
    facts = {
        "gene_means": again.card.gene_means,
        "gene_stds": again.card.gene_stds,
        "architecture": again.card.architecture,
    }
    trained = [t.model_copy(update={"spots": len(s.labels)}) for t, s in zip(card.training, plan.sections, strict=True)]
    card = card.model_copy(update={**facts, "training": trained})
    save_model(again.finish(), card, run / "model", half=plan.config.half)


def _train(plan: Plan, run: Path, callbacks: list[Callback], progress: bool) -> None:
    """Train a plan from its first step to its last, without looking at anything held out."""
    config = plan.config
    windows = TrainingWindows(
        plan.sections, WindowCutter(plan.mean, plan.std), config.window, config.windows_per_step, plan.seed
    )
    module = plan.fitter(len(windows) * config.epochs)
    more: list[Callback] = [EMAWeightAveraging(decay=config.ema)] if config.ema else []
    more += [EpochBar()] if progress else []
    trainer = _trainer(config, [*callbacks, *more], progress, run, checkpoints=False)
    trainer.fit(module, DataLoader(windows, batch_size=None, collate_fn=_as_is))


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
        stop = StopWhenAsked(Path(folder), cancelled)
        _train(plan, Path(folder), [stop], progress=False)
    if stop.asked:
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
