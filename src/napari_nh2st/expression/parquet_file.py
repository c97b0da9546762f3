"""The columns of a Parquet file. Runs in a process of its own, as a damaged file may crash the library."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.apart import read_apart

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS, _MOST_CELLS, _MOST_TEXT = 50_000_000, 400_000_000, 4 << 30
NEEDS = "{}: Parquet files need pyarrow: pip install 'napari-nh2st[parquet]'"


@dataclass
class Columns:
    """Columns by their names, each (rows,): numbers, or text as bytes in UTF-8."""

    columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def header(self) -> dict[str, Any]:
        """Return all but the arrays, for JSON."""
        return {}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by their names."""
        return self.columns


def read(path: Path) -> Columns:
    """Read the columns that hold numbers or text; lists and the like are passed over.

    Raises
    ------
    SampleError
        If it has more rows than any measurement.
    OSError, ValueError
        Whatever pyarrow makes of a damaged file.
    """
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        rows = file.metadata.num_rows
        names = [f.name for f in file.schema_arrow if f.type.num_fields == 0]
        if rows > MOST_ROWS or rows * len(names) > _MOST_CELLS:
            raise SampleError(f"{path.name} claims to have {rows:,} rows of {len(names):,} columns: too many")
        table = file.read(columns=names, use_threads=False)
    return Columns({name: as_array(table[name]) for name in names})


def as_array(column: Any) -> npt.NDArray[Any]:
    """Return a column of pyarrow as numbers, or text as bytes in UTF-8; an empty text where there is none."""
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if any(is_text(column.type) for is_text in (types.is_string, types.is_large_string, types.is_binary)):
        return _texts(column)
    values: npt.NDArray[Any] = column.to_numpy()
    if values.dtype.kind in "iufb":
        return values
    texts = [v if isinstance(v, bytes) else b"" if v is None else str(v).encode() for v in values.tolist()]
    return np.array(texts or [b""], dtype="S")[: len(texts)]


def _texts(column: Any) -> npt.NDArray[np.bytes_]:
    """Return text (n,), all at once: one Python object each would take minutes for the bins of Visium HD."""
    import pyarrow as pa

    parts = [chunk.cast(pa.large_binary()).fill_null(b"") for chunk in column.chunks]
    ends = [np.frombuffer(part.buffers()[1], np.int64)[part.offset : part.offset + len(part) + 1] for part in parts]
    width = max((int(np.diff(at).max(initial=0)) for at in ends), default=0) or 1
    if len(column) * width > _MOST_TEXT:
        raise SampleError(f"a column holds text of {width:,} letters: that is no measurement")
    out = np.zeros((len(column), width), np.uint8)
    first = 0
    for part, at in zip(parts, ends, strict=True):
        rows, lengths = out[first : first + len(part)], np.diff(at)
        letters = np.frombuffer(part.buffers()[2] or b"", np.uint8)[at[0] : at[-1]]
        if lengths.min(initial=width) == width:
            rows[...] = letters.reshape(rows.shape)
        else:
            rows[np.arange(width) < lengths[:, None]] = letters
        first += len(part)
    return out.reshape(-1).view(f"S{width}")


def can_read_parquet() -> bool:
    """Tell whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def read_columns(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the columns of a table, each (rows,): numbers, or text as bytes in UTF-8.

    Raises
    ------
    SampleError
        If it cannot be read, or pyarrow is not installed.
    """
    if not can_read_parquet():
        raise SampleError(NEEDS.format(path))
    return read_apart("parquet", path)[1]


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table; text is str. Errors as of `read_columns`."""
    import pandas as pd

    arrays = read_columns(path)
    return pd.DataFrame(
        {name: np.char.decode(a, "utf-8", "replace") if a.dtype.kind == "S" else a for name, a in arrays.items()}
    )
