"""Probe: the checkpoints of a run are read."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.doctor.child import error_line, tell


def probe(*files: str) -> None:
    """Tell for each file its epoch, or why it cannot be read."""
    import torch

    for file in files:
        name = Path(file).name
        tell(name, {"error": "begun"})
        try:
            if file.endswith(".safetensors"):
                from safetensors import safe_open

                with safe_open(file, "numpy") as tensors:
                    tell(name, {"tensors": len(list(tensors.keys()))})
            else:
                checkpoint = torch.load(file, weights_only=True, map_location="cpu")
                tell(name, {"epoch": int(checkpoint["epoch"])})
        except Exception as error:
            tell(name, {"error": error_line(error)})
