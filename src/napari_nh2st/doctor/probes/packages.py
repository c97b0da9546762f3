"""Probe: packages are imported one after the other. One that ends the process is the last that was begun."""

from __future__ import annotations

import importlib

from napari_nh2st.doctor.child import error_line, tell


def probe(*modules: str) -> None:
    """Import modules, and tell for each "begun", then "" or why it cannot be imported."""
    for module in modules:
        tell(module, "begun")
        try:
            importlib.import_module(module)
        except Exception as error:
            tell(module, error_line(error))
        else:
            tell(module, "")
