"""Checks of the display: a screen, a Qt window, a canvas that OpenGL draws on."""

from __future__ import annotations

import os
import sys

from napari_nh2st.doctor.examination import Probes
from napari_nh2st.doctor.finding import Finding, fault, ok, warning
from napari_nh2st.terminal import has_display, has_xvfb

_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "gdi generic", "microsoft basic render")
_LIBRARIES = "install what Qt needs (Debian, Ubuntu): apt install libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0"
_DRIVER = "update the driver of the graphics card; without one, set LIBGL_ALWAYS_SOFTWARE=1"
_TEXTURE = 8192  # pixels a side that napari needs to draw a level in one piece


def is_offscreen() -> bool:
    """Tell whether Qt is told to draw nowhere."""
    return os.environ.get("QT_QPA_PLATFORM", "").split(":")[0] in ("offscreen", "minimal", "vnc")


def draws() -> bool:
    """Tell whether a window can be tried."""
    return has_display() or is_offscreen()


def screen(_: Probes) -> Finding:
    """Look for a screen."""
    platform = os.environ.get("QT_QPA_PLATFORM", "")
    if is_offscreen():
        return warning(f"QT_QPA_PLATFORM={platform}: windows stay invisible", "unset QT_QPA_PLATFORM")
    if not has_display():
        more = ", or put xvfb-run -a before the command" if has_xvfb() else ""
        return warning(
            "there is no screen: no window can be opened; the command line works",
            f"work at a machine with a screen, or with a remote desktop{more}",
        )
    if sys.platform.startswith("linux") and os.environ.get("SSH_CONNECTION"):
        return warning(
            "the screen is another machine's, through ssh: windows are slow", "use a remote desktop (VNC, X2Go)"
        )
    return ok("there is a screen")


def window(probes: Probes) -> Finding | None:
    """Open a Qt window in another process; None without a screen."""
    if not draws():
        return None
    answer = probes.answer("window")
    facts = answer.facts
    if "binding" not in facts:
        return fault(f"Qt cannot be imported: {answer.why}", _LIBRARIES)
    said = f"{facts['binding']}, Qt {facts['qt']}"
    if "window" not in facts:
        return fault(f"no window can be opened ({said}): {answer.why}", _LIBRARIES)
    width, height, ratio = facts.get("screen", (0, 0, 1))
    return ok(f"a window opens ({said})", f"platform {facts['platform']}, screen {width} x {height}, scale {ratio:g}")


def canvas(probes: Probes) -> Finding | None:
    """Draw with OpenGL in the window; None where no window opens."""
    if not draws():
        return None
    answer = probes.answer("window")
    if "window" not in answer.facts:
        return None
    drawn = answer.facts.get("gl")
    if drawn is None and is_offscreen():
        return None  # said by `screen`: this platform of Qt has no OpenGL
    if drawn is None:
        return fault(f"nothing is drawn with OpenGL: {answer.why or 'the canvas stays empty'}", _DRIVER)
    said = f"OpenGL {drawn['version']}, {drawn['renderer']}"
    if not answer.whole:
        return fault(f"drawing works ({said}), but closing the window does not: {answer.why}", _DRIVER)
    if any(name in str(drawn["renderer"]).lower() for name in _SOFTWARE):
        return warning(f"the processor draws, not a graphics card ({said}): large windows are slow", _DRIVER)
    if drawn["texture"] < _TEXTURE:
        return warning(f"{said} draws at most {drawn['texture']} pixels a side", _DRIVER)
    return ok(said, f"{drawn['vendor']}, largest texture {drawn['texture']}")
