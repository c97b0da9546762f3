"""Text from elsewhere (names of genes, slides and people) for readers that would take parts of it for commands."""

from __future__ import annotations

import re
from typing import Any

from napari_nh2st.errors import one_line

_TAG = re.compile(r"<(?=[A-Za-z!/?])")
_MARKS = re.compile(r"([\\`*\[\]<>&])")
_AT_START = re.compile(r"^([#+=-])(?=\s|[#+=-])")


def markdown_text(text: object) -> str:
    """Return a text for a page in Markdown, where it stays a text: no HTML, no links, no headings."""
    return _AT_START.sub(r"\\\1", _MARKS.sub(r"\\\1", one_line(text)))


def markdown_texts(value: Any) -> Any:
    """Return a nested document with every text, keys as well, as `markdown_text` has it."""
    if isinstance(value, dict):
        return {markdown_texts(key): markdown_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [markdown_texts(item) for item in value]
    return markdown_text(value) if isinstance(value, str) else value


def untagged(text: str) -> str:
    """Return a text for places of napari's that take what begins like a tag for HTML: its status bar, its tooltips."""
    return _TAG.sub("‹", text)


def figure_text(text: object) -> str:
    """Return a text for a figure of Matplotlib, which takes what stands between dollars for a formula."""
    return str(text).replace("$", r"\$")
