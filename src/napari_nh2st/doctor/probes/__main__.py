"""The process of a probe: ``python -m napari_nh2st.doctor.probes NAME ARGUMENT...``."""

from __future__ import annotations

import importlib

from napari_nh2st.doctor.child import probe_main
from napari_nh2st.terminal import on_command_line


def run(name: str, *arguments: str) -> None:
    """Run a probe: the function `probe` of a module beside this one."""
    importlib.import_module(f"{__package__}.{name}").probe(*arguments)


if __name__ == "__main__":
    with on_command_line():
        probe_main(run)
