"""Probe: napari, the manifest of the plugin as npe2 sees it, and napari's settings."""

from __future__ import annotations

from napari_nh2st.doctor.child import error_line, tell
from napari_nh2st.provenance import DISTRIBUTION


def probe() -> None:
    """Tell whether npe2 finds the plugin and can import its parts, and what napari's settings say about it."""
    import napari

    tell("napari", napari.__version__)
    _manifest()
    _settings()


def _manifest() -> None:
    from npe2 import PluginManager

    manager = PluginManager()
    manager.discover(include_npe1=False)
    if DISTRIBUTION not in manager:
        tell("manifest", "npe2 does not find it")
        return
    manifest = manager.get_manifest(DISTRIBUTION)
    tell("manifest", "")
    tell("version", manifest.package_version)
    try:
        manifest.validate_imports()
    except Exception as error:
        tell("imports", error_line(error))
    else:
        tell("imports", "")


def _settings() -> None:
    from napari.settings import get_settings

    settings = get_settings()
    tell("disabled", DISTRIBUTION in settings.plugins.disabled_plugins)
    tell("readers", {str(pattern): str(name) for pattern, name in settings.plugins.extension2reader.items()})
