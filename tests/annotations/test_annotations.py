"""Regions of other programs: read at the places and with the names, classes and colours that they have there."""

import json

import numpy as np
import pytest
import tifffile

from napari_nh2st.annotations import Annotation, read_annotations, write_annotations
from napari_nh2st.annotations.cells import outlines_of_cells, outlines_of_tiles
from napari_nh2st.annotations.keyhole import outline_of, rings_of
from napari_nh2st.errors import Nh2stError
from support.predictions import prediction

SQUARE = [[0, 0], [100, 0], [100, 80], [0, 80], [0, 0]]
HOLE = [[20, 20], [20, 40], [40, 40], [40, 20], [20, 20]]


def feature(coordinates=None, kind="Polygon", geometry=None, **properties):
    place = {"type": kind, "coordinates": [SQUARE] if coordinates is None else coordinates, **(geometry or {})}
    return {"type": "Feature", "id": "PathAnnotationObject", "geometry": place, "properties": properties}


def saved(tmp_path, document, name="a.geojson"):
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def areas(annotation):
    return [abs(_area(rings[0])) - sum(abs(_area(hole)) for hole in rings[1:]) for rings in annotation.polygons]


def _area(corners):
    x, y = np.asarray(corners).T
    return (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


TUMOUR = {"name": "Tumor", "color": [200, 0, 10]}


@pytest.mark.parametrize("form", ["collection", "list", "single"])
def test_geojson_of_qupath(form, tmp_path):
    one = feature(objectType="annotation", name="core", classification=TUMOUR, isLocked=True)
    document = {"collection": {"type": "FeatureCollection", "features": [one]}, "list": [one], "single": one}[form]
    (found,) = read_annotations(saved(tmp_path, document)).annotations
    assert (found.name, found.kind, found.colour, found.locked) == ("core", "Tumor", "#c8000a", True)
    np.testing.assert_array_equal(found.polygons[0][0], SQUARE[:4])


def test_all_that_a_person_draws_in_qupath(tmp_path):
    features = [
        feature([SQUARE, HOLE], classification={"name": "Old", "colorRGB": -3670016}),  # before 0.4
        feature([[SQUARE, HOLE], [[[200, 0], [210, 0], [210, 10]]]], "MultiPolygon", name="two"),
        feature(geometry={"isEllipse": True}, classification="Round"),
        feature(classification={"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, childObjects=[feature(name="in")]),
        feature([5, 5], "Point", name="a point"),
        feature([[0, 0], [5, 5]], "LineString"),
        feature(objectType="detection"),
        feature(objectType="cell"),
        feature(objectType="cell"),
        feature(geometry={"plane": {"c": -1, "z": 2, "t": 0}}),
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    text = text.replace('"name": "two"', '"metadata": {"a": "b"}, "name": "two", "metadata": {"a": "b"}')  # it does
    found = read_annotations(saved(tmp_path, text))
    assert [a.title for a in found.annotations] == ["Old", "two", "Round", "Tumor: Positive", "in"]
    assert [a.colour for a in found.annotations] == ["#c80000", None, None, "#010203", None]
    assert found.left_out == "1 point, 1 line, 1 detection, 2 cells and 1 object of other planes"
    old, two, ellipse, *_ = found.annotations
    assert areas(old) == [100 * 80 - 400]
    assert areas(two) == [100 * 80 - 400, 50]
    assert areas(ellipse)[0] == pytest.approx(np.pi * 50 * 40, rel=1e-3)


ASAP = """<?xml version="1.0"?>
<ASAP_Annotations><Annotations>
<Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58"><Coordinates>
<Coordinate Order="1" X="10.5" Y="0" /><Coordinate Order="0" X="0" Y="0" /><Coordinate Order="2" X="10.5" Y="8" />
</Coordinates></Annotation>
<Annotation Name="box" Type="Rectangle" PartOfGroup="None" Color="#F4FA58"><Coordinates>
<Coordinate Order="0" X="0" Y="0" /><Coordinate Order="1" X="4" Y="0" /><Coordinate Order="2" X="4" Y="4" />
<Coordinate Order="3" X="0" Y="4" /></Coordinates></Annotation>
<Annotation Name="dot" Type="Dot" PartOfGroup="None" Color="#F4FA58"><Coordinates>
<Coordinate Order="0" X="0" Y="0" /></Coordinates></Annotation>
</Annotations><AnnotationGroups><Group Name="Tumor" PartOfGroup="None" Color="#64FE2E"><Attributes/></Group>
</AnnotationGroups></ASAP_Annotations>"""


def test_xml_of_asap(tmp_path):
    found = read_annotations(saved(tmp_path, ASAP, "a.xml"))
    facts = [(a.name, a.kind, a.colour) for a in found.annotations]
    assert facts == [("Annotation 0", "Tumor", "#64fe2e"), ("box", "", "#f4fa58")]
    np.testing.assert_array_equal(found.annotations[0].polygons[0][0], [[0, 0], [10.5, 0], [10.5, 8]])
    assert found.left_out == "1 point"


def point(x, y):
    return f"<point><x>{x}</x><y>{y}</y></point>"


def state(title, kind, inside, **attributes):
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return (
        f'<ndpviewstate id="1"><title>{title}</title><coordformat>nanometers</coordformat><x>0</x><y>0</y>'
        f'<annotation type="{kind}" color="#ff0080"{more}>{inside}</annotation></ndpviewstate>'
    )


def ndpi(path, tags):
    with tifffile.TiffWriter(path) as file:  # 0.5 um a pixel, 1000 x 800, its middle 2 mm right and 1 mm below
        image = np.zeros((800, 1000, 3), np.uint8)
        file.write(image, photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER", extratags=tags)
    return path


OFFSETS = [(65422, "i", 1, 2_000_000, True), (65423, "i", 1, 1_000_000, True)]


def test_ndpa_lies_where_the_ndpi_says(tmp_path):
    slide = ndpi(tmp_path / "a.tif", OFFSETS)  # tifffile writes no NDPI; its tags are the same
    corners = [(2_000_000, 1_000_000), (2_050_000, 1_000_000), (2_050_000, 1_025_000)]  # from the image's middle
    points = "".join(point(*corner) for corner in corners)
    states = [
        state("Tumor &amp; co", "freehand", f"<closed>1</closed><pointlist>{points}</pointlist>"),
        state("round", "circle", "<x>1750000</x><y>800000</y><radius>10000</radius>"),
        state("open", "freehand", f"<closed>0</closed><pointlist>{points}</pointlist>"),
        state("pin", "pin", "<x>0</x><y>0</y>"),
    ]
    text = f'<?xml version="1.0" encoding="utf-8" standalone="yes"?><annotations>{"".join(states)}</annotations>'
    path = saved(tmp_path, text, "a.ndpi.ndpa")
    found = read_annotations(path, slide)
    assert [(a.title, a.colour) for a in found.annotations] == [("Tumor & co", "#ff0080"), ("round", "#ff0080")]
    np.testing.assert_allclose(found.annotations[0].polygons[0][0], [[500, 400], [600, 400], [600, 450]], atol=1e-6)
    circle = found.annotations[1].polygons[0][0]
    np.testing.assert_allclose(circle.min(axis=0), [-20, -20], atol=1e-6)
    assert found.left_out == "1 open line and 1 point"
    with pytest.raises(Nh2stError, match=r"a\.ndpi\.ndpa needs its slide"):
        read_annotations(path)
    with pytest.raises(Nh2stError, match=r"cannot be placed on b\.tif: its places count from the middle of the glass"):
        read_annotations(path, ndpi(tmp_path / "b.tif", []))


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;">]>
<ASAP_Annotations>&y;</ASAP_Annotations>"""


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.xml", BOMB, "declares a document type"),
        ("a.xml", BOMB.replace("<?xml", "\ufeff<?xml"), "declares a document type"),
        ("a.xml", ASAP[:400], "not sound XML"),
        ("a.xml", "<a/>", "no XML of ASAP"),
        ("a.ndpa", "<annotations/>", "no NDPA file"),
        ("a.geojson", "{", "not valid JSON"),
        ("a.geojson", '{"type": "view"}', "no GeoJSON"),
        ("a.geojson", "[" * 100_000, "nested too deeply"),
        ("a.geojson", json.dumps([feature([[[0, 0], [1, "x"], [2, 2]]])]), "could not convert|pair of numbers"),
        ("a.geojson", json.dumps([feature([[[0, 0], [1, 1]]])]), "three corners"),
        ("a.geojson", json.dumps([feature([1, 2], "Point")]), "no region that encloses an area, only 1 point"),
        ("a.csv", "", "is no file of regions: give one of .geojson"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(name, text, says, tmp_path):
    with pytest.raises(Nh2stError, match=says) as told:
        read_annotations(saved(tmp_path, text, name))
    assert "\n" not in str(told.value)
    assert name in str(told.value)


def test_out_and_in_again_is_the_same(tmp_path):
    square, hole = np.array(SQUARE[:4], float), np.array(HOLE[:4], float)
    made = [
        Annotation([[square + 0.337, hole]], "core", "Tumor", "#c8000a", locked=True),
        Annotation([[square[:3] + 200], [square[:3] + 400]], "two"),
        Annotation([[square]], kind="Stroma"),
    ]
    numbers = {"core": {"ERBB2: mean": 1.5, "ERBB2: SD": float("nan")}}
    path = write_annotations(tmp_path / "out.geojson", made, numbers, {"slide": {"path": "C5.tif"}})
    back = read_annotations(path).annotations
    for a, b in zip(made, back, strict=True):
        assert (a.name, a.kind, a.colour, a.locked) == (b.name, b.kind, b.colour, b.locked)
        for before, after in zip(a.polygons, b.polygons, strict=True):
            for r, s in zip(before, after, strict=True):
                np.testing.assert_allclose(r, s, atol=0.006)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["nh2st"] == {"slide": {"path": "C5.tif"}}
    assert document["features"][0]["properties"]["measurements"] == {"ERBB2: mean": 1.5}


def accepted_by_qupath(document):
    """Read features by the rules of qupath.lib.io.QuPathTypeAdapters and ROITypeAdapters (0.8.0-SNAPSHOT, e7662d89)."""
    types = {"annotation", "detection", "cell", "tile", "tmaCore", "root"}
    assert isinstance(document["features"], list)
    for one in document["features"]:
        properties, geometry = one["properties"], one["geometry"]
        assert properties["objectType"] in types
        assert isinstance(properties.get("name", ""), str)
        kind = properties.get("classification", "")
        assert isinstance(kind, str) or (kind["name"] and len(kind["color"]) == 3)  # an object needs both
        assert len(properties.get("color", [0, 0, 0])) == 3
        assert all(isinstance(v, int) for v in properties.get("color", []))
        assert all(type(v) in (int, float) for v in properties.get("measurements", {}).values())
        polygons = {"Polygon": [geometry["coordinates"]], "MultiPolygon": geometry["coordinates"]}[geometry["type"]]
        for r in (r for polygon in polygons for r in polygon):  # JTS: a ring is closed, and has four points or more
            assert len(r) >= 4
            assert r[0] == r[-1]
            assert all(len(corner) == 2 and all(type(v) in (int, float) for v in corner) for corner in r)
    return True


def test_qupath_takes_what_we_write(tmp_path):
    from napari_nh2st.formats import export

    made = [Annotation([[np.array(SQUARE[:4], float)]], "core", "Tumor", "#c8000a"), Annotation([[np.eye(3, 2)]])]
    written = write_annotations(tmp_path / "out.geojson", made, {"core": {"ERBB2: mean": 1.5}}, {})
    for path in (written, export(prediction(), "geojson", tmp_path / "tiles.geojson")):
        assert accepted_by_qupath(json.loads(path.read_text(encoding="utf-8")))


def test_a_polygon_with_holes_is_one_outline_and_back():
    rings = [np.array(r[:4], float) for r in (SQUARE, HOLE, [[60, 60], [70, 60], [70, 70], [60, 60]])]
    rings[2] = rings[2][:3]
    (back,) = rings_of(outline_of(rings))
    assert [sorted(map(tuple, r)) for r in back] == [sorted(map(tuple, r)) for r in rings]
    assert abs(_area(outline_of(rings))) == pytest.approx(8000 - 400 - 50)
    plain = np.array(SQUARE[:4], float)
    np.testing.assert_array_equal(rings_of(outline_of([plain]))[0][0], plain)


def test_outlines_of_cells_hold_exactly_these_cells():
    from napari_nh2st.analysis.outlines import within

    rng = np.random.default_rng(0)
    mask = rng.random((12, 15)) < 0.55
    polygons = outlines_of_cells(np.argwhere(mask))
    y, x = np.mgrid[:12, :15]
    centres = np.stack([x.ravel(), y.ravel()], axis=1) + 0.5
    np.testing.assert_array_equal(within(centres, polygons).reshape(mask.shape), mask)
    assert sum(abs(_area(p[0])) - sum(abs(_area(h)) for h in p[1:]) for p in polygons) == mask.sum()


def test_outlines_of_tiles_are_level0_pixels():
    places = prediction(scale=1.7).places
    ((outline,),) = outlines_of_tiles(places)
    side = places.pitch * places.scale
    np.testing.assert_allclose(outline.min(axis=0), places.centres.min(axis=0) - side / 2)
    np.testing.assert_allclose(outline.max(axis=0), places.centres.max(axis=0) + side / 2)
    assert len(outline) == 4


def test_files_of_regions_in_python(tmp_path):
    from napari_nh2st.api.prediction import Prediction

    made = Prediction.of(prediction(undone=0))
    path = saved(
        tmp_path,
        [
            feature([[[0, 0], [400, 0], [400, 400], [0, 400]]], name="core"),
            feature([[[5000, 0], [5100, 0], [5100, 90]]], name="none"),
        ],
    )
    with pytest.warns(UserWarning, match="no predicted tile in none"):
        table = made.regions(path)
    assert table["region"].unique().tolist() == ["core"]
    pd_table = made.regions({"core": [(0, 0), (400, 0), (400, 400), (0, 400)]})
    np.testing.assert_array_equal(table["mean"], pd_table["mean"])
