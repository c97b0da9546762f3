"""Text, JSON, YAML and tables that others made: read within limits, or one line that says what to change."""

from napari_nh2st.reading.documents import parse_json, read_json, read_yaml
from napari_nh2st.reading.files import contents, exists, expanded, open_plain, reason, told
from napari_nh2st.reading.table import (
    DELIMITERS,
    Row,
    Table,
    number,
    plain_cell,
    read_frame,
    read_frame_parts,
    read_head,
    read_lines,
    read_numbers,
    read_table,
    written_cell,
    written_frame,
)
from napari_nh2st.reading.text import read_text, text_of

__all__ = [
    "DELIMITERS",
    "Row",
    "Table",
    "contents",
    "exists",
    "expanded",
    "number",
    "open_plain",
    "parse_json",
    "plain_cell",
    "read_frame",
    "read_frame_parts",
    "read_head",
    "read_json",
    "read_lines",
    "read_numbers",
    "read_table",
    "read_text",
    "read_yaml",
    "reason",
    "text_of",
    "told",
    "written_cell",
    "written_frame",
]
