"""The folder where a file is saved next: beside the slide, or where a person saved the last one. No Qt."""

from __future__ import annotations

import os
from pathlib import Path

from napari_nh2st.viewer.state.dock_state import DockState
from napari_nh2st.viewer.state.preferences import Preferences


class SaveFolder:
    """The folder for the next file that is saved.

    A folder that a person chose is kept, for the next start too, as long as it is there. The demo tissue lies in a
    temporary folder, which nobody would look into: the home folder stands in for it.
    """

    def __init__(self, state: DockState, preferences: Preferences) -> None:
        self._state, self._preferences = state, preferences

    @property
    def folder(self) -> Path:
        """An existing folder."""
        kept = Path(self._preferences.save_folder)
        if self._preferences.save_folder and kept.is_dir():
            return kept
        slide = self._state.slide
        if slide is not None and not slide.synthetic and slide.path.exists():
            beside = slide.path.resolve().parent
            if os.access(beside, os.W_OK):
                return beside
        return Path.home()

    def path_for(self, name: str) -> Path:
        """Return the path that a dialog proposes for a file's name."""
        return self.folder / name.replace("/", "_")

    def saved(self, path: str | Path) -> None:
        """Remember where a person saved a file, where that is not what was proposed."""
        folder = Path(path).resolve().parent
        if folder != self.folder.resolve():
            self._preferences.save_folder = str(folder)
