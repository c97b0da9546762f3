"""Models to choose from, and names for their folders. No Qt."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.state.preferences import Preferences
from napari_nh2st.viewer.state.services import Services


def model_names(services: Services, preferences: Preferences) -> list[str]:
    """Return the bundled models, other people's, then the folders that were used before and are still there."""
    folders = [folder for folder in preferences.model_folders if (Path(folder) / "card.json").is_file()]
    return [*services.models(), *services.others(), *folders]


def folder_name(path: str) -> str:
    """Name a model folder: the run's folder says more than "model"."""
    folder = Path(path)
    return folder.parent.name or path if folder.name == "model" else folder.name


def fitting_model(services: Services, *, synthetic: bool) -> str | None:
    """Return the first bundled model for demo tissue or for real tissue, None where there is none of the kind.

    On the other kind of tissue a model means nothing.
    """
    for name in services.models():
        with suppress(Nh2stError, OSError):  # a damaged card is shown where that model is chosen
            if services.load_card(name).synthetic == synthetic:
                return name
    return None
