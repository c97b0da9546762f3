"""Checkpoints that are whole: written beside, read again, then renamed."""

from __future__ import annotations

import errno
import filecmp
import io
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from napari_nh2st.atomic import finished_file
from napari_nh2st.training.network.network_module import NotFinite
from napari_nh2st.training.run.run_folder import RunFolder

_OTHER = "what was written to {} reads back as something else"


class CheckedFiles(TorchCheckpointIO):
    """Writes a checkpoint so that what was there before stays until the new one has been read back."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it beside, compare what is read with what was meant, and rename it.

        Raises
        ------
        OSError
            If the disk is full, or gives back something else.
        """
        buffer = io.BytesIO()  # torch writing to a full disk by itself ends in an error without a number
        torch.save(checkpoint, buffer)
        with finished_file(path) as draft:
            draft.write_bytes(buffer.getbuffer())
            again = torch.load(draft, weights_only=True, map_location="cpu")["state_dict"]
            meant = checkpoint["state_dict"]
            if again.keys() != meant.keys() or not all(torch.equal(again[k], meant[k].cpu()) for k in meant):
                raise OSError(errno.EIO, _OTHER.format(path))


class EpochCheckpoints(Checkpoint):
    """Keeps the last epoch that was finished, and the best by `val_pcc` where there is anything to score by.

    An epoch that was stopped halfway is not kept: a resumed run does it again, and ends as if it had not been stopped.

    Parameters
    ----------
    last : Path
        Where the last epoch is kept.
    best : Path, optional
        Where the best epoch is kept, if epochs are scored.
    """

    def __init__(self, last: Path, best: Path | None = None) -> None:
        self.last, self.best = last, best
        self.best_score, self.best_epoch, self.last_epoch = float("-inf"), -1, -1

    @property
    def state_key(self) -> str:
        """Its name in checkpoints; it stays, so that runs begun by an earlier version can be resumed."""
        return "Keep"

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch, "last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        vars(self).update(state_dict)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the epoch's checkpoint.

        Raises
        ------
        NotFinite
            If a weight is no number any more: then the earlier files stay.
        """
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        if not all(bool(torch.isfinite(p).all()) for p in pl_module.parameters()):
            raise NotFinite(f"weights were no numbers any more after step {trainer.global_step}")
        self.last_epoch = trainer.current_epoch
        score = float("-inf") if self.best is None else float(trainer.callback_metrics["val_pcc"])
        if self.best is None or score <= self.best_score:
            trainer.save_checkpoint(self.last)
            return
        self.best_score, self.best_epoch = score, self.last_epoch
        trainer.save_checkpoint(self.best)
        if trainer.is_global_zero:
            _copy(self.best, self.last)


def _copy(source: Path, target: Path) -> None:
    with finished_file(target) as draft:
        shutil.copyfile(source, draft)
        if not filecmp.cmp(source, draft, shallow=False):
            raise OSError(errno.EIO, _OTHER.format(target))


def next_epoch(path: Path) -> int:
    """Epoch with which a run goes on from a checkpoint; 0 if there is none."""
    return int(torch.load(path, weights_only=True, map_location="cpu")["epoch"]) + 1 if path.is_file() else 0


def remove_damaged(folder: RunFolder) -> list[str]:
    """Remove checkpoints that cannot be read, and what cannot go on without them: that part is trained again.

    Returns
    -------
    list of str
        What was removed, as sentences.
    """
    damaged = [path for path in (folder.best, folder.last, folder.refit) if path.exists() and not _is_whole(path)]
    for path in damaged:
        path.unlink()
    if folder.last.is_file() and not folder.best.is_file():  # the best epoch is among those that it would not do again
        folder.last.unlink()
    return [f"{path} was damaged: what it held is trained again" for path in damaged]


def _is_whole(path: Path) -> bool:
    try:
        checkpoint = torch.load(path, weights_only=True, map_location="cpu")
        epoch, state = checkpoint["epoch"], checkpoint["state_dict"]
        parts = [checkpoint[name] for name in ("loops", "callbacks", "optimizer_states", "lr_schedulers")]
    except OSError:
        raise
    except Exception:  # torch and pickle raise errors of every kind
        return False
    return isinstance(epoch, int) and isinstance(state, dict) and None not in parts
