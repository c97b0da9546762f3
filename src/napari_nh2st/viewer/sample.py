"""File > Open Sample: procedural tissue with invented genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nh2st.viewer.kit.gui_thread import window_is_live
from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.opening import Opening
from napari_nh2st.viewer.layers.removal import make_every_removal_safe

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

NAME = "demo tissue"


def demo_tissue() -> list[tuple[Any, dict[str, Any], str]]:
    """Return the demo slide as a layer. It is made on the first call and kept in the user's cache."""
    make_every_removal_safe()
    if not window_is_live():
        return [slide_layer_data(_open(), name=NAME)]
    opening = Opening(NAME, _open)
    opening.start()
    return [opening.placeholder()]


def _open() -> Slide:
    from napari_nh2st.demo.tissue import sample_slide
    from napari_nh2st.slides import open_slide

    return open_slide(sample_slide())
