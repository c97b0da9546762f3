"""Values of options: as the shell completes them, and in help pages; read from the tables when they are asked for.

Nothing here is slow: a model's genes are on its card, a prediction's in its header.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from napari_nh2st.errors import Nh2stError


class LateHelp(TyperCommand):
    """A command whose help page names the rows of tables, which are read only then."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # typer has click under a name of its own
        """Write the page."""
        for param in self.params:
            text = getattr(param, "help", None)
            for place, names in _LATE.items():
                if text and place in text:
                    vars(param)["help"] = text.replace(place, ", ".join(names()))
        super().format_help(ctx, formatter)


def complete_formats(incomplete: str) -> list[str]:
    """Complete a format, or several with commas between."""
    return _completed(incomplete, _formats())


def complete_targets(incomplete: str) -> list[str]:
    """Complete the name of a target."""
    return [name for name in _targets() if name.startswith(incomplete)]


def complete_heads(incomplete: str) -> list[str]:
    """Complete the name of a head."""
    return [name for name in _heads() if name.startswith(incomplete)]


def complete_models(incomplete: str) -> list[str]:
    """Complete the name of a model; folders are the shell's own business."""
    from napari_nh2st.model.models import model_names

    return [name for name in model_names() if name.startswith(incomplete)]


def complete_genes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete genes of the model or the prediction that stands on the line, with commas between."""
    try:
        genes = _genes_of(ctx.params)
    except (Nh2stError, OSError):
        return []
    return _completed(incomplete, genes)


def _genes_of(given: dict[str, Any]) -> list[str]:
    if given.get("prediction") is not None:
        from napari_nh2st.engine.result_header import read_header
        from napari_nh2st.engine.store import find_prediction

        return read_header(find_prediction(Path(given["prediction"])))[1].card.genes
    if given.get("model") is not None:
        from napari_nh2st.model.models import load_card

        return load_card(given["model"]).genes
    return []


def _formats() -> list[str]:
    from napari_nh2st.formats import EXPORTERS

    return list(EXPORTERS)


def _targets() -> list[str]:
    from napari_nh2st.targets import TARGETS

    return list(TARGETS)


def _heads() -> list[str]:
    from napari_nh2st.model.heads.table import HEADS

    return list(HEADS)


# In a help text -> the names that stand there.
_LATE = {"{formats}": _formats, "{targets}": _targets, "{heads}": _heads}


def _completed(incomplete: str, names: list[str]) -> list[str]:
    """Return what completes the last of several names."""
    before, comma, last = incomplete.rpartition(",")
    chosen = set(before.split(","))
    begun = last.casefold()
    return [before + comma + name for name in names if name.casefold().startswith(begun) and name not in chosen]
