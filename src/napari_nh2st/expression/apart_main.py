"""The process that reads HDF5, Parquet and large GeoJSON for another: requests on stdin, answers on stdout, no more."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import cell_outlines, h5ad_file, parquet_file, shapes_file, tenx_file
from napari_nh2st.expression.counts import Counts
from napari_nh2st.expression.parquet_file import Columns

_IDLE = 60.0  # seconds without a request, after which the process ends
_LONGEST = 300  # characters of an error
_WORDS = {  # for what HDF5 says
    "file signature not found": "it is not an HDF5 file",
    "truncated file": "it is cut off: copy or download it again",
    "can't open directory": "it is packed in a way that HDF5 alone cannot unpack: save it with gzip or without packing",
    "required filter": "it is packed in a way that HDF5 alone cannot unpack: save it with gzip or without packing",
}
READERS: dict[str, Callable[[Path], Counts | Columns | dict[str, Any]]] = {
    "h5ad": h5ad_file.read,
    "h5ad-facts": h5ad_file.facts,
    "10x-h5": tenx_file.read,
    "parquet": parquet_file.read,
    "shapes": shapes_file.read,
    "cell-outlines": cell_outlines.read,
}


def _serve(requests: IO[bytes], answers: IO[bytes], silent: IO[str]) -> None:
    while True:
        # A thread of C that ends the process, whatever Python or HDF5 are at: it also ends what waits for nothing.
        faulthandler.dump_traceback_later(_IDLE, exit=True, file=silent)
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        faulthandler.dump_traceback_later(float(request["limit"]), exit=True, file=silent)
        _answer(request["kind"], Path(request["path"]), answers)


def _answer(kind: str, path: Path, answers: IO[bytes]) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    try:
        result = READERS[kind](path)
        header = result if isinstance(result, dict) else result.header()
        if not isinstance(result, dict):
            arrays = {name: np.ascontiguousarray(a) for name, a in result.arrays().items()}
            header["arrays"] = [(name, a.dtype.str, a.shape) for name, a in arrays.items()]
    except SampleError as error:
        said = str(error)
        header, arrays = {"error": said if path.name in said else f"{path.name}: {said}"}, {}
    except MemoryError:
        header, arrays = {"error": f"cannot read {path}: there is not enough memory for what it says it holds"}, {}
    except Exception as error:  # whatever h5py or pyarrow makes of a damaged file
        said = next((words for sign, words in _WORDS.items() if sign in str(error)), "")
        said = said or " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        header, arrays = {"error": f"cannot read {path}: {said}"}, {}
    answers.write(json.dumps(header).encode("ascii") + b"\n")
    for array in arrays.values():
        answers.write(array.reshape(-1).view(np.uint8).data)
    answers.flush()


def _no_core_file() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve requests until nobody asks."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the one that asks
    _no_core_file()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints does not get among the answers
    with Path(os.devnull).open("w") as silent:
        _serve(sys.stdin.buffer, answers, silent)


if __name__ == "__main__":
    main()
