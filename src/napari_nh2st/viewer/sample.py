"""File > Open Sample: procedural tissue with invented genes."""

from __future__ import annotations

from typing import Any

from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.removal import make_every_removal_safe


def demo_tissue() -> list[tuple[Any, dict[str, Any], str]]:
    """Return the demo slide as a layer. It is made on the first call and kept in the user's cache."""
    from napari_nh2st.demo.tissue import sample_slide
    from napari_nh2st.slides import open_slide

    make_every_removal_safe()
    return [slide_layer_data(open_slide(sample_slide()), name="demo tissue (synthetic)")]
