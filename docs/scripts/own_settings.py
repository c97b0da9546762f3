"""Keep napari's settings of the picture scripts apart from the user's. Import this before napari.

What a person has pinned, opened or coloured must not show in the pictures of the docs, nor the other way round.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

if "napari.settings" in sys.modules:
    raise ImportError("import own_settings before napari: napari reads its folder of settings once")
_FOLDER = tempfile.mkdtemp(prefix="nh2st-pictures-")
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
os.environ["NAPARI_CONFIG"] = str(Path(_FOLDER) / "settings.yaml")
