"""The estimate of a fine-tuning run before it is started, from a short probe of its very steps.

Nothing heavy is loaded before `estimate` is called, so that a window can read what another process has found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.training.estimate.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.expression import Sample
    from napari_nh2st.training.config import TrainingConfig


def estimate(
    sheet: str | Path | pd.DataFrame | Sequence[Sample],
    *,
    base: str | Path | None = None,
    config: TrainingConfig | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[str], Any] = lambda stage: None,
) -> Estimate:
    """Estimate the time and memory of `finetune` with the same sections, base and settings.

    It reads counts, loads one section, and times some steps of each stage on a part of it. The time of a stage grows
    with its work: tissue with its pixels, pretraining with its steps, training with steps, epochs and the second
    training. Nothing is written. Run it in a process of its own: memory that the process took before counts too.

    Memory, in bytes, of a run on the processor::

        max(peak of the probe, resident after it + slope * pixels of the largest window) + rest
        slope = peak rise from a small window to a larger one / difference of their pixels
        rest  = 3 * pixels of the sections that the probe has not loaded
                + 9 * (4 * embedding + 2 * views * channels) * spots    (the head alone: what the encoder has seen)
                + 24 * (inputs + landmarks) * spots                     (the kernel head's fit)

    On a graphics card only the first line counts, of what is allocated there.

    Parameters
    ----------
    sheet, base, config
        As for `finetune`.
    cancelled : callable
        Asked between steps.
    progress : callable
        Called with the stage that is probed.

    Raises
    ------
    SampleError, MppNeeded, ModelError
        As `finetune` would.
    Cancelled
    """
    begin = time.perf_counter()
    import torch

    from napari_nh2st.expression import samples_of
    from napari_nh2st.model.folder import load_model
    from napari_nh2st.training.config import TrainingConfig
    from napari_nh2st.training.estimate.forecast import forecast
    from napari_nh2st.training.estimate.timing_probe import probe_run
    from napari_nh2st.training.sections.held_out_sections import split_samples
    from napari_nh2st.training.trainer import quiet

    starting = time.perf_counter() - begin
    config = TrainingConfig() if config is None else config
    samples = samples_of(sheet)
    start = None if base is None else load_model(base)
    with quiet(), torch.random.fork_rng(devices=[]):
        probe = probe_run(*split_samples(samples, config), config, start, cancelled=cancelled, progress=progress)
    probe.starting = starting
    return forecast(probe, config)
