"""Where spots lie that were placed on another image: maps from landmarks, and matrices of other programs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression, read_sheet, write_sheet
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.transform import Landmarks, Transform
from napari_nh2st.expression.transform_files import (
    TRANSFORMS,
    inline,
    inlined,
    is_transform,
    read_landmarks,
    read_transform,
    transform_of,
    write_landmarks,
    write_transform,
)
from support.sections import section

PLACES = np.array([[100.0, 200], [4100, 300], [900, 5200], [3300, 4000]])


def turn(degrees, scale=1.0, x=0.0, y=0.0, mirror=False):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return Transform.of(np.column_stack([matrix, [x, y]]))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0, 7, 90, -135])
def test_three_landmarks_give_turn_mirror_and_scale(degrees, mirror):
    true = turn(degrees, 0.37, 512, -80, mirror)
    for kind in ("similarity", "affine"):
        found = Landmarks.of(PLACES[:3], true.place(PLACES[:3])).fit(kind)
        np.testing.assert_allclose(found.place(PLACES), true.place(PLACES), atol=1e-6)
        assert found.scale == pytest.approx(0.37)
        assert found.mirrors is mirror
    assert turn(degrees).degrees == pytest.approx(degrees)


def test_landmarks_that_are_not_exact_give_the_least_squares():
    rng = np.random.default_rng(3)
    spots = rng.uniform(0, 5000, (12, 2))
    there = turn(20, 0.5, 10, 20).place(spots) + rng.normal(0, 15, spots.shape)
    landmarks = Landmarks.of(spots, there)
    found = landmarks.fit()
    best = (landmarks.residuals(found) ** 2).sum()
    for nudge in (turn(0.05), turn(0, 1.001), turn(0, 1, 1, 0), turn(0, 1, 0, -1)):
        assert (landmarks.residuals(found.then(nudge)) ** 2).sum() > best
    assert (landmarks.residuals(landmarks.fit("affine")) ** 2).sum() <= best
    # A mirror that was asked for is found, however badly it fits.
    assert landmarks.fit(mirror=True).mirrors
    assert not landmarks.fit(mirror=False).mirrors


@pytest.mark.parametrize(
    ("spots", "slide", "said"),
    [
        ([], [], "0 of 3 landmarks: mark 3 or more"),
        (PLACES[:2], PLACES[:2], "2 of 3 landmarks"),
        ([[0, 0], [100, 100], [200, 200]], PLACES[:3], "on a line on the spots' image: mark one more"),
        (PLACES[:3], [[0, 0], [10, 0], [90, 1]], "on a line on the slide"),
        (PLACES[:3], [[5, 5]] * 3, "on a line on the slide"),
        ([[0, 0], [1, np.nan], [2, 5]], PLACES[:3], "has no place"),
    ],
)
def test_landmarks_that_settle_nothing_are_refused_in_one_line(spots, slide, said):
    for kind in ("similarity", "affine"):
        with pytest.raises(SampleError, match=said):
            Landmarks.of(spots, slide).fit(kind)


@pytest.mark.parametrize(
    "matrix",
    [np.eye(2), [[1, 2, 0], [2, 4, 0]], [[np.inf, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [1e-4, 0, 1]], np.zeros(9)],
)
def test_matrices_that_lay_no_tissue_are_refused(matrix):
    with pytest.raises(SampleError, match="transform"):
        Transform.of(matrix)


def test_maps_one_after_the_other_and_back():
    first, second = turn(30, 2, 5, 6), turn(-12, 0.4, 100, 3, mirror=True)
    np.testing.assert_allclose(first.then(second).place(PLACES), second.place(first.place(PLACES)))
    np.testing.assert_allclose(first.then(first.inverse).place(PLACES), PLACES, atol=1e-9)
    assert first.then(second).scale == pytest.approx(0.8)


@pytest.mark.parametrize("kind", [k for k, f in TRANSFORMS.items() if f.write])
def test_what_is_written_for_a_program_is_read_again(kind, tmp_path):
    transform = turn(7, 0.5, 1234.5, -6.25, mirror=True)
    write_transform(transform, tmp_path / "t", kind)
    np.testing.assert_allclose(read_transform(tmp_path / "t").place(PLACES), transform.place(PLACES), atol=1e-6)


# A spot at (10, 20) of its own image lies at (120, 240) of the slide in all of these, whatever direction they are in.
LOUPE_SPOTS = [
    {"x": x, "y": y, "imageX": 2 * x + 100, "imageY": 2 * y + 200, "row": 0, "col": 0, "dia": 5}
    for x, y in ((0, 0), (500, 0), (0, 400), (500, 400))
]
TO_SLIDE = [[2, 0, 100], [0, 2, 200], [0, 0, 1]]
FILES = {
    "own": json.dumps({"format": "nh2st-transform", "matrix": TO_SLIDE[:2]}),
    "landmarks": "name,spot_x,spot_y,slide_x,slide_y\na,0,0,100,200\nb,50,0,200,200\n,0,50,100,300\n",
    "landmarks with semicolons": "spot_x;spot_y;slide_x;slide_y\n0;0;100;200\n50,0;0;200;200\n0;50;100,0;300\n",
    "Xenium Explorer's keypoints": "fixedX,fixedY,alignmentX,alignmentY\n0,0,100,200\n50,0,200,200\n0,50,100,300\n",
    "Loupe": json.dumps({"transform": TO_SLIDE, "oligo": [], "serialNumber": "V19", "area": "A1"}),
    "Loupe, spots alone": json.dumps({"fiducial": LOUPE_SPOTS[:2], "oligo": LOUPE_SPOTS[2:]}),
    "Loupe, CytAssist": json.dumps(
        {
            "transform": np.eye(3).tolist(),
            "cytAssistInfo": {"transformImages": [[0.5, 0, -50], [0, 0.5, -100], [0, 0, 1]]},
        }
    ),
    "Xenium": "0.5,0,-50\n0,0.5,-100\n0,0,1\n",
    "QuPath": "0.5000, 0.0000, -50.0000,\n0.0000, 0.5000, -100.0000\n",
    "QuPath in Java's words": "AffineTransform[[0.5, 0.0, -50.0], [0.0, 0.5, -100.0]]",
    "QuPath's JSON": json.dumps({"m00": 0.5, "m10": 0, "m01": 0, "m11": 0.5, "m02": -50, "m12": -100, "state": 3}),
    "QuPath's server": json.dumps(
        {"type": "a", "transform": {"m00": 0.5, "m10": 0, "m01": 0, "m11": 0.5, "m02": -50, "m12": -100}}
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_known_point_lands_where_it_should(name, tmp_path):
    (tmp_path / "t.any").write_text(FILES[name])
    np.testing.assert_allclose(read_transform(tmp_path / "t.any").place([10, 20]), [[120, 240]], atol=1e-6)


def test_the_turn_of_a_program_that_leads_back_is_not_the_transpose(tmp_path):
    # 10x's own example: the top-left corner of the H&E image lies at (808, 73098) in pixels of Xenium.
    text = "0.011071028838929093,1.2895790134339569,807.9788953065927\n"
    text += "-1.2895790134339569,0.011071028838929093,73097.655174759\n0,0,1\n"
    (tmp_path / "he_imagealignment.csv").write_text(text)
    found = read_transform(tmp_path / "he_imagealignment.csv")
    np.testing.assert_allclose(found.place([807.9788953065927, 73097.655174759]), [[0, 0]], atol=1e-6)
    np.testing.assert_allclose(found.inverse.place([100, 0]), [[809.0860, 72968.6973]], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "name the columns spot_x, spot_y, slide_x and slide_y"),
        ("1 2 3 4 5", "holds no transform: give six numbers"),
        ("{}", "holds no transform"),
        ("{", "not valid JSON"),
        ('{"format": "nh2st-transform"}', "holds no transform that can be read: 'matrix'"),
        ('{"format": "nh2st-transform", "matrix": [["a", 0, 0], [0, 1, 0]]}', "could not convert"),
        ('{"transform": [[1, 0, 0], [0, 1, 0], [0.01, 0, 1]]}', "with perspective, spots cannot be laid"),
        ("1,2,3,2,4,6", "makes a line of the tissue"),
        ("spot_x,spot_y,slide_x,slide_y\n1,2,3,4\n", "1 of 3 landmarks"),
        ("spot_x,spot_y,slide_x,slide_y\n1,2,,4\n", "line 2: 1, 2, nothing, 4: give four numbers"),
        ("spot_x,spot_y,x,y\n1,2,3,4\n", "name the columns"),
    ],
)
def test_a_file_without_a_transform_says_so_in_one_line(text, said, tmp_path):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(SampleError, match=said) as caught:
        read_transform(tmp_path / "t.txt")
    assert "t.txt" in str(caught.value)


def test_landmarks_are_written_and_read(tmp_path):
    landmarks = Landmarks.of(PLACES, PLACES[::-1] / 3, ["vessel", "2", "fold", "=tip"])
    write_landmarks(landmarks, tmp_path / "l.csv")
    again = read_landmarks(tmp_path / "l.csv")
    assert again.names == landmarks.names
    np.testing.assert_array_equal(again.spots, landmarks.spots)
    np.testing.assert_array_equal(again.slide, landmarks.slide)


# in a sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections")
    section(folder, "A", "P", 1, side=800)
    return folder


@pytest.fixture
def sample(folder):
    return Sample("A", "P", folder / "A.tif", folder / "A.h5ad", "h5ad")


HEADER = "sample,patient,slide,expression,format,scale,x,y,transform\n"


def test_a_sheet_names_a_transform_before_scale_and_shift(folder, sample):
    own, transform = read_expression(sample).obsm["spatial"], turn(90, 1, 800, 0)
    write_transform(transform, folder / "A turned.json")
    (folder / "s.csv").write_text(
        f"{HEADER}A,P,A.tif,A.h5ad,h5ad,2,,10,A turned.json\n"
        f"B,P,A.tif,A.h5ad,h5ad,,,,{inlined(transform)}\nC,P,A.tif,A.h5ad,h5ad,,,,\n"
    )
    with_file, with_numbers, plain = read_sheet(folder / "s.csv")
    np.testing.assert_allclose(
        read_expression(with_file).obsm["spatial"], 2 * transform.place(own) + (0, 10), atol=1e-6
    )
    np.testing.assert_allclose(read_expression(with_numbers).obsm["spatial"], transform.place(own), atol=1e-6)
    np.testing.assert_array_equal(read_expression(plain).obsm["spatial"], own)
    assert with_file.placed
    assert with_numbers.placed
    assert not plain.placed
    assert transform_of(with_file).scale == pytest.approx(2)


def test_what_a_sheet_says_of_transforms_is_written_again(folder, sample, tmp_path):
    write_transform(turn(7), folder / "t.json")
    samples = [
        replace(sample, transform=folder / "t.json"),
        replace(sample, sample="B", transform=turn(7, 0.3, -1, 2, mirror=True), x=3.0),
    ]
    for place in (folder / "own.csv", tmp_path / "elsewhere.csv"):
        write_sheet(samples, place)
        assert read_sheet(place) == samples
    assert ",,,,,,t.json" in (folder / "own.csv").read_text()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("none.json", "line 2: there is no .*none.json"),
        ("broken.json", "line 2: .*broken.json holds no transform"),
        ("1 0 0 2 0 0", "line 2: the transform makes a line of the tissue"),
    ],
)
def test_a_transform_that_cannot_be_read_is_told_with_the_sheet(folder, cell, said):
    (folder / "broken.json").write_text("{}")
    (folder / "wrong.csv").write_text(f"{HEADER}A,P,A.tif,A.h5ad,h5ad,,,,{cell}\n")
    with pytest.raises(SampleError, match=said):
        read_sheet(folder / "wrong.csv")


def test_numbers_in_a_cell():
    assert inline(inlined(turn(7, 0.3, -1e-7, 2))) == turn(7, 0.3, -1e-7, 2)
    assert inline("transform.json") is None
    assert inline("1 2 3") is None
    assert inline("") is None


def test_a_transform_is_given_beside_a_measurement(folder, tmp_path):
    transform = tmp_path / "t.json"
    write_transform(turn(7), transform)
    found = detect([folder / "A.h5ad", transform])
    assert (found.format, found.transform) == ("h5ad", transform)
    assert is_transform(transform)
    assert not is_transform(folder / "A.h5ad")
    assert not is_transform(folder / "samples.csv")
    with pytest.raises(SampleError, match="is not a measurement"):
        detect([transform])
