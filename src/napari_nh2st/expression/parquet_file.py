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

MOST_ROWS, _MOST_CELLS = 50_000_000, 400_000_000
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
    """Return a column of pyarrow as numbers, or text as bytes in UTF-8."""
    from pyarrow.types import is_dictionary

    if is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values: npt.NDArray[Any] = column.to_numpy()
    if values.dtype.kind in "iufb":
        return values
    texts = [v if isinstance(v, bytes) else b"" if v is None else str(v).encode() for v in values.tolist()]
    return np.array(texts or [b""], dtype="S")[: len(texts)]


def can_read_parquet() -> bool:
    """Tell whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table; text is str.

    Raises
    ------
    SampleError
        If it cannot be read, or pyarrow is not installed.
    """
    import pandas as pd

    if not can_read_parquet():
        raise SampleError(NEEDS.format(path))
    _, arrays = read_apart("parquet", path)
    return pd.DataFrame(
        {name: np.char.decode(a, "utf-8", "replace") if a.dtype.kind == "S" else a for name, a in arrays.items()}
    )
