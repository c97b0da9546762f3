import json

import numpy as np

from napari_nh2st.formats.table import describe, flat, gene_trust, plain_values, rows_and_columns, slide_mpp, tile_ids
from napari_nh2st.geometry import Box, TileSet
from support.predictions import GENES, prediction


def test_ids_on_the_lattice_do_not_depend_on_the_region():
    whole = TileSet.lattice(Box(0, 0, 2000, 2000), scale=1.0, pitch=100, patch=100)
    part = TileSet.lattice(Box(500, 700, 2000, 2000), scale=1.0, pitch=100, patch=100)
    by_place = dict(zip(map(tuple, whole.centres), tile_ids(whole), strict=True))
    assert [by_place[tuple(c)] for c in part.centres] == tile_ids(part)


def test_ids_of_given_places_are_unique_pixels():
    places = TileSet.at([[10.2, 20.9], [10.7, 20.1], [-0.5, 3]], scale=2.0, pitch=10)
    assert tile_ids(places) == ["x10_y20", "x10_y20-1", "x-1_y3"]
    assert rows_and_columns(places).tolist() == [[1, 0], [1, 0], [0, -1]]


def test_the_record_is_json_and_can_be_plain_values():
    record = describe(prediction(scale=2.0))
    assert json.loads(json.dumps(record)) == record
    assert record["mpp"] == 0.25
    assert record["places"]["pitch_um"] == 56
    assert record["device"] == "cpu"
    assert all(isinstance(v, str | int | float | bool) for v in flat(record).values())
    assert json.loads(flat(record)["versions"]) == {"torch": "2.13.0"}
    plain = plain_values(record)
    assert plain["versions"] == {"torch": "2.13.0"}
    assert plain["slide"]["shape"].tolist() == [900, 1400]
    assert plain["slide"].keys() == {"mpp", "mpp_source", "shape", "synthetic"}  # not what is not known


def test_mpp_follows_from_the_scale_where_the_slide_does_not_say():
    made = prediction(scale=2.0)
    made.slide["mpp"] = None
    assert slide_mpp(made) == 0.25


def test_trust_is_nan_where_a_gene_was_not_evaluated():
    made = prediction()
    np.testing.assert_array_equal(gene_trust(made, GENES[:2]), [[0.4, 0.3, 0.5], [np.nan] * 3])
    made.card = made.card.model_copy(update={"evaluation": None})
    assert gene_trust(made, GENES) is None
