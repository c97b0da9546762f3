"""One line of the table of exporters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.engine.prediction import Prediction


@dataclass(frozen=True)
class Exporter:
    """One format that predictions can be written to.

    Attributes
    ----------
    name : str
        On the command line and in the widget.
    suffix : str
        Of the file, with its dot.
    description : str
        One line for a menu.
    write : callable
        ``write(prediction, path, genes)`` writes a complete file at `path`. It receives a prediction with at least one
        place, all of them predicted, and genes of the panel. `export` takes care of half-written files.
    sidecar : bool
        True if the format has no room for provenance: `export` then writes ``<file name>.provenance.json``.
    """

    name: str
    suffix: str
    description: str
    write: Callable[[Prediction, Path, Sequence[str]], None]
    sidecar: bool = False
