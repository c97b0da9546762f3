"""Measure what the dependencies cost at import: ``python docs/scripts/import_times.py`` prints a Markdown table.

Every import is timed in fresh interpreters, alternating, and given as a multiple of NumPy's own: seconds swing with the
machine's load, ratios less so.
"""

import os
import subprocess
import sys

MODULES = [
    "numpy",
    "napari_nh2st",
    "napari_nh2st.cli",
    "napari_nh2st.slides",
    "napari_nh2st.formats",
    "napari_nh2st.engine.predict",
    "anndata",
    "igraph",
    "imagecodecs",
    "lightning.pytorch",
    "magicgui.widgets",
    "matplotlib.figure",
    "napari.viewer",
    "obstore",
    "pandas",
    "PIL.Image",
    "platformdirs",
    "psygnal",
    "pydantic",
    "qtpy.QtWidgets",
    "safetensors.numpy",
    "scanpy",
    "scipy.spatial",
    "skimage.filters",
    "sklearn.linear_model",
    "superqt",
    "tifffile",
    "torch",
    "typer",
    "vispy.gloo",
    "yaml",
    "zarr",
]
REPEATS = 4
CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """Import a module in a fresh interpreter."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-W", "ignore", "-c", CODE.format(module)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the table."""
    best = dict.fromkeys(MODULES, float("inf"))
    for _ in range(REPEATS):
        for module in MODULES:
            best[module] = min(best[module], seconds(module))
    print(f"numpy: {best['numpy'] * 1000:.0f} ms\n\n| import | x numpy |\n|---|---|")
    for module in MODULES:
        print(f"| `{module}` | {best[module] / best['numpy']:.1f} |")


if __name__ == "__main__":
    main()
