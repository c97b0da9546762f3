"""The sections of a sample sheet."""

from __future__ import annotations

import gzip
from pathlib import Path

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_nh2st.expression.sheet import Sample

COLUMNS = ("section", "patient", "spots", "µm/px")
_HEADER, _LINE, _LINES_IN_SIGHT = 30, 24, 6
_TIPS = (
    "Name of the section in the sheet",
    "Whose tissue it is: sections of one patient are alike",
    "Measured spots, where the file that lists them can be read quickly",
    "Micrometres per pixel as the sheet gives it; otherwise the slide says so itself",
)


def read_rows(path: str) -> list[tuple[str, str, str, str]]:
    """Read a sheet for the table. Slow storage makes this slow: call it off the GUI thread.

    Raises
    ------
    SampleError
        Naming every problem of the sheet.
    """
    from napari_nh2st.expression import read_sheet

    return [
        (s.sample, s.patient, _spots(s), "from the slide" if s.mpp is None else f"{s.mpp:.4g}")
        for s in read_sheet(Path(path))
    ]


def _spots(sample: Sample) -> str:
    """Count the spots where that is quick: lines below the heading of a table, rows of an AnnData file."""
    if sample.spots is not None:
        data = sample.spots.read_bytes()
        lines = (gzip.decompress(data) if sample.spots.suffix == ".gz" else data).splitlines()
        return str(max(0, sum(1 for line in lines if line.strip()) - 1))
    if sample.expression.suffix == ".h5ad":
        import anndata

        table = anndata.read_h5ad(sample.expression, backed="r")  # the counts themselves stay on disk
        try:
            return str(table.n_obs)
        finally:
            table.file.close()
    return ""


class SheetTable(QTableWidget):
    """One line a section; read only."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        for column, (name, tip) in enumerate(zip(COLUMNS, _TIPS, strict=True)):
            item = QTableWidgetItem(name)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(_LINE)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.show_rows([])

    def show_rows(self, rows: list[tuple[str, ...]]) -> None:
        """Show these sections."""
        self.setRowCount(len(rows))
        self.setFixedHeight(_HEADER + _LINE * min(max(len(rows), 2), _LINES_IN_SIGHT))
        for r, values in enumerate(rows):
            for c, value in enumerate(values):
                item = QTableWidgetItem(value)
                item.setToolTip(value)
                self.setItem(r, c, item)
