"""The dialog that asks where regions or domains are saved."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nh2st.viewer.state.save_folder import SaveFolder

_KINDS = "GeoJSON for QuPath (*.geojson);;Table (*.csv)"


def ask_file(parent: QWidget, what: str, folder: SaveFolder) -> str:
    """Ask where regions or domains are saved; empty if nowhere."""
    proposed = str(folder.path_for(f"{what}.geojson"))
    path, chosen = QFileDialog.getSaveFileName(parent, f"Save {what}", proposed, _KINDS)
    ending = ".csv" if "csv" in chosen else ".geojson"
    return path if not path or Path(path).suffix.lower() in (".geojson", ".csv") else path + ending
