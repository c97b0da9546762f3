"""Tiles and regions as polygons in a GeoDataFrame, in level-0 pixels (x right, y down)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.table import tile_ids, tile_side
from napari_nh2st.geometry import FloatArray

if TYPE_CHECKING:
    import geopandas

Outlines = Mapping[str, Sequence[Sequence[FloatArray]]]
"""Polygons of each region by its name, each its outline (k, 2) and those of its holes; level-0 pixels."""


def squares(prediction: Prediction) -> geopandas.GeoDataFrame:
    """Return the tiles as squares in level-0 pixels, by the names that they have in every table."""
    import geopandas
    import shapely

    half = tile_side(prediction.places) / 2
    left, top = (prediction.places.centres - half).T
    right, bottom = (prediction.places.centres + half).T
    return geopandas.GeoDataFrame(geometry=shapely.box(left, top, right, bottom), index=tile_ids(prediction.places))


def polygons(regions: Outlines) -> geopandas.GeoDataFrame:
    """Return regions by name; one of several polygons is a multipolygon."""
    import geopandas
    import shapely

    shapes = []
    for parts in regions.values():
        own = [shapely.Polygon(outline, holes) for outline, *holes in parts]
        shapes.append(own[0] if len(own) == 1 else shapely.MultiPolygon(own))
    return geopandas.GeoDataFrame(geometry=shapes, index=[str(name) for name in regions])
