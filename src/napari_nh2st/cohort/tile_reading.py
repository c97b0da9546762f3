"""Tiles for pretraining, read on workers: a task for each slide, and the same tiles as in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.cohort.at_work import DONE, FAILED, Answer, answer_of
from napari_nh2st.cohort.cluster import workers_of
from napari_nh2st.cohort.crew import Endings
from napari_nh2st.cohort.together import watched
from napari_nh2st.cohort.work_list import WorkItem, WorkList
from napari_nh2st.errors import Nh2stError
from napari_nh2st.slide_path import whole_path
from napari_nh2st.training.pretraining.tissue_tiles import TileRequest

_NOTHING = "nothing was written"


def read_request(request: TileRequest) -> Answer:
    """Read the tiles of a slide, (n, S, S, 3), with as many threads as this worker has."""

    def act(cancelled: Callable[[], bool]) -> Answer:
        threads = torch.get_num_threads()
        tiles = request.read(progress=lambda done, total: None, cancelled=cancelled, threads=threads)
        return {"state": DONE, "tiles": np.stack(tiles)}

    return answer_of(act, "")


class TileReader:
    """Reads the tiles of many slides on workers.

    Parameters
    ----------
    workers, scheduler
        As in `workers_of`.
    cancelled : callable
    """

    def __init__(self, workers: int | None, scheduler: str | None, cancelled: Callable[[], bool]) -> None:
        self._workers, self._scheduler, self._cancelled = workers, scheduler, cancelled

    def __call__(self, requests: Sequence[TileRequest]) -> list[npt.NDArray[np.uint8]]:
        """Read; returns (n, S, S, 3) for each slide.

        Raises
        ------
        Nh2stError
            If a slide cannot be read, or the scheduler is gone.
        """
        items = [_item(request) for request in requests]
        endings = Endings(f"stopped; {_NOTHING}", f"the scheduler is gone; {_NOTHING}")
        # Reading needs no graphics card.
        with workers_of(self._workers, self._scheduler, "cpu") as client, watched(client, self._cancelled) as watch:
            WorkList(client, items, "slides", "cpu", watch, endings).run()
        failed = [item for item in items if item.state == FAILED]
        if failed:
            what = f"{len(failed)} of {len(items)} slides could not be read" if len(items) > 1 else "it failed"
            raise Nh2stError(f"{what}, and {_NOTHING}. {failed[0].answer['error']}")
        tiles: list[Any] = [item.answer["tiles"] for item in items]
        return tiles


def _item(request: TileRequest) -> WorkItem:
    slide = Path(whole_path(request.slide))
    return WorkItem(slide.name, read_request, (replace(request, slide=slide),))
