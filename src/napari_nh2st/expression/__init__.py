"""Measured expression: sample sheets, readers, panels and labels. Never imports torch."""

from napari_nh2st.expression.labels import choose_panel, labels, spot_counts
from napari_nh2st.expression.readers import FORMATS, read_expression, remarks
from napari_nh2st.expression.sample import Sample
from napari_nh2st.expression.sheet import read_sheet, samples_of, write_sheet

__all__ = [
    "FORMATS",
    "Sample",
    "choose_panel",
    "labels",
    "read_expression",
    "read_sheet",
    "remarks",
    "samples_of",
    "spot_counts",
    "write_sheet",
]
