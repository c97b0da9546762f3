"""File > Save of a heatmap layer: the whole panel, not only the gene that is shown."""

from __future__ import annotations

from typing import Any

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.layers.roles import heatmap_map, role_in


def _write(path: str, attributes: dict[str, Any], name: str) -> list[str]:
    prediction_map = heatmap_map(role_in(attributes.get("metadata")))
    if prediction_map is None:
        raise Nh2stError("this layer is no NH2ST heatmap: select one that is, then File > Save Selected Layers")
    from napari_nh2st.formats import export

    return [str(export(prediction_map.prediction(), name, path))]


def write_h5ad(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a heatmap layer's prediction as AnnData."""
    return _write(path, attributes, "h5ad")


def write_csv(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a heatmap layer's prediction as a table."""
    return _write(path, attributes, "csv")


def write_parquet(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a heatmap layer's prediction as a table in columns."""
    return _write(path, attributes, "parquet")


def write_geojson(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a heatmap layer's prediction as tiles with measurements, for QuPath."""
    return _write(path, attributes, "geojson")
