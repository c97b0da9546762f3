"""Models to choose from, and names for their folders. No Qt."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.viewer.state.preferences import Preferences
from napari_nh2st.viewer.state.services import Services


def model_names(services: Services, preferences: Preferences) -> list[str]:
    """Return the bundled models, then the folders that were used before and are still there."""
    folders = [folder for folder in preferences.model_folders if (Path(folder) / "card.json").is_file()]
    return [*services.models(), *folders]


def folder_name(path: str) -> str:
    """Name a model folder: the run's folder says more than "model"."""
    folder = Path(path)
    return folder.parent.name if folder.name == "model" else folder.name
