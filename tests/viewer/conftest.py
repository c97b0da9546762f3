"""Viewer tests that need a real window are skipped without a display: Qt would end the whole process."""

from __future__ import annotations

import os
import sys

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        skip = pytest.mark.skip(reason="needs a display: run under xvfb-run")
        for item in items:
            if item.get_closest_marker("viewer"):
                item.add_marker(skip)
