"""File > Save: a heatmap with its whole panel and how it is shown; regions and domains with their genes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.annotations import write_annotations
from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.gui_thread import window_is_live
from napari_nh2st.viewer.layers.domains import domain_annotations_of
from napari_nh2st.viewer.layers.roles import Kind, MapRole, gene_in, heatmap_map, role_in

if TYPE_CHECKING:
    from napari_nh2st.formats.display import Display
    from napari_nh2st.viewer.export.saving import Write
    from napari_nh2st.viewer.state.predicted_map import PredictedMap


def _write(path: str, attributes: dict[str, Any], name: str) -> list[str]:
    prediction_map = heatmap_map(role_in(attributes.get("metadata")))
    if prediction_map is None:
        raise Nh2stError("this layer is no NH2ST heatmap: select one that is, then File > Save Selected Layers")
    from napari_nh2st.formats import export, export_path

    prediction = prediction_map.prediction()  # a copy: what arrives meanwhile does not disturb the writer
    write = partial(export, prediction, name, path, display=_display(attributes))
    return _begin(prediction_map, export_path(prediction, name, path), lambda told, cancelled: write(progress=told))


def _begin(prediction_map: PredictedMap | None, path: Path, write: Write) -> list[str]:
    """Write a file; if a person waits for the window, in a thread, and return where it will be."""
    if not window_is_live():
        return [str(write(lambda share: None, lambda: False))]
    from napari_nh2st.viewer.export.saving import save

    save(prediction_map, path.name, write)
    return [str(path)]


def _display(attributes: Mapping[str, Any]) -> Display | None:
    """Return how a layer is shown, None where that is not told."""
    from napari_nh2st.formats.display import Display

    gene = gene_in(attributes.get("metadata"))
    limits, colormap = attributes.get("contrast_limits"), attributes.get("colormap")
    if not gene or limits is None:
        return None
    name = colormap.get("name") if isinstance(colormap, Mapping) else getattr(colormap, "name", colormap)
    ends = float(limits[0]), float(limits[1])
    return Display(
        genes=(gene,), colormap=str(name), limits={gene: ends}, opacity=float(attributes.get("opacity", 1.0))
    )


def _writer(name: str) -> Callable[[str, Any, dict[str, Any]], list[str]]:
    """Return napari's writer of a format: it takes a path, and the data and attributes of a heatmap layer."""

    def write(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
        return _write(path, attributes, name)

    return write


write_h5ad = _writer("h5ad")
write_csv = _writer("csv")
write_parquet = _writer("parquet")
write_geojson = _writer("geojson")
write_ome_tiff = _writer("ome-tiff")
write_ome_zarr = _writer("ome-zarr")
write_spatialdata = _writer("spatialdata")
write_nh2st = _writer("nh2st")


def write_regions(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a layer of regions, with the genes that are predicted in them, for QuPath."""
    from napari import current_viewer

    from napari_nh2st.analysis.region_files import write_regions as write
    from napari_nh2st.viewer.regions.files import annotations_on_slide

    role, viewer = role_in(attributes.get("metadata")), current_viewer()
    if viewer is None or role is None or role.kind is not Kind.REGIONS:
        raise Nh2stError("these shapes are on no slide: draw them with Regions in the dock NH2ST, or open them there")
    annotations, prediction_map = annotations_on_slide(viewer, role)
    if prediction_map is None:
        return [str(write_annotations(path, annotations))]
    prediction = prediction_map.prediction()
    return _begin(prediction_map, Path(path), lambda told, cancelled: write(prediction, annotations, path))


def write_domains(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a layer of domains, with the genes that are predicted in them, for QuPath."""
    from napari_nh2st.analysis.region_files import write_regions as write

    role = role_in(attributes.get("metadata"))
    if not isinstance(role, MapRole) or role.kind is not Kind.DOMAINS:
        raise Nh2stError("these labels are no domains: find them in the section Regions of the dock NH2ST")
    labels = np.array(data)
    return _begin(role.map, Path(path), lambda told, cancelled: write(*domain_annotations_of(role.map, labels), path))
