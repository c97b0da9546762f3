"""A light rim around the outlines of regions and around their names: both are seen on any map and on glass.

napari's shapes have one colour for an edge and one for a text. The rim is drawn with them, in the layer's own visual:
it moves, hides and goes with its layer, and there is no second layer in the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

import numpy as np

from napari_nh2st.viewer.kit.behind_proxy import behind_proxy

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

_RIM, _LEAST = 0.3, 1.5  # on each side of an edge: of its width, and at least so many pixels of the screen
_LIGHT = (1.0, 1.0, 1.0, 0.9)
# vispy draws letters from their distance to the outline, 0.5 on it and less outside
_LETTER = "gl_FragColor = vec4(v_color.rgb, v_color.a * alpha);"
_NOTHING = "if (alpha <= 0) discard;"
_LETTER_WITH_RIM = """
        float rim = smoothstep(0.16, 0.34, distance) * 0.9;
        float all = max(alpha, rim);
        if (all <= 0.0) discard;
        gl_FragColor = vec4(mix(vec3(1.0), v_color.rgb, alpha / all), v_color.a * all);
"""
_DONE: WeakSet[Any] = WeakSet()  # visuals of layers


def add_rim(viewer: ViewerModel, layer: Shapes) -> None:
    """Draw a light rim around the shapes of a layer and their names, once; without a window there is nothing to do."""
    canvas = getattr(getattr(getattr(behind_proxy(viewer), "window", None), "_qt_viewer", None), "canvas", None)
    visual = None if canvas is None else canvas.layer_to_visual.get(layer)
    if visual is None or visual in _DONE:
        return
    _DONE.add(visual)
    _draw_under(visual.node.shape_faces, layer)
    _rim_letters(visual.node.text)
    drawn = ref(visual)

    def zoomed() -> None:
        if (still := drawn()) is not None:
            still._on_data_change()

    layer.events.scale_factor.connect(zoomed)
    zoomed()


def _draw_under(mesh: Any, layer: Shapes) -> None:
    """Have a mesh draw the rims of a layer's shapes below what it is given."""
    draw, shapes = mesh.set_data, ref(layer)

    def with_rims(vertices: Any, faces: Any, face_colors: Any) -> None:
        owner = shapes()
        rims = None if owner is None or vertices.shape[1] != 2 else _rims(owner)
        if rims is not None:
            points, triangles = rims
            faces = np.concatenate([triangles + len(vertices), faces])
            light = np.tile(np.array(_LIGHT, dtype=np.float32), (len(triangles), 1))
            vertices, face_colors = np.concatenate([vertices, points]), np.concatenate([light, face_colors])
        draw(vertices=vertices, faces=faces, face_colors=face_colors)

    mesh.set_data = with_rims


def _rims(layer: Shapes) -> tuple[Any, Any] | None:
    """Return the edges of all shapes, drawn wider: vertices (n, 2) (x, y) and triangles (m, 3); None without any."""
    points, triangles, begin = [], [], 0
    for shape in layer._data_view.shapes:
        rim = max(_RIM * shape.edge_width, _LEAST * layer.scale_factor)
        edge = shape._edge_vertices + (shape.edge_width + 2 * rim) * shape._edge_offsets
        if edge.ndim == 2 and edge.shape[1] == 2 and len(shape._edge_triangles):
            points.append(edge[:, ::-1])
            triangles.append(np.asarray(shape._edge_triangles) + begin)
            begin += len(edge)
    return (np.concatenate(points), np.concatenate(triangles)) if points else None


def _rim_letters(text: Any) -> None:
    """Have a text draw a rim around its letters."""
    shader = text._shaders["fragment"]
    if _LETTER in shader and _NOTHING in shader:
        text.shared_program.frag = shader.replace(_NOTHING, "").replace(_LETTER, _LETTER_WITH_RIM)
