from dataclasses import replace

import numpy as np
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression, read_sheet, write_sheet
from support.sections import section

HEADER = "sample,patient,slide,expression,format,scale,x,y\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections")
    section(folder, "A", "P", 1, side=800)
    return folder


@pytest.fixture
def sample(folder):
    return Sample("A, left", "P", folder / "A.tif", folder / "A.h5ad", "h5ad")


def test_what_is_written_is_read_again(sample, folder, tmp_path):
    spots = folder / "A.h5ad"
    framed = replace(sample, sample="B", spots=spots, mpp=1 / 3, scale=0.1 + 0.2, x=-12.5, y=1e-7)
    for place in (folder / "own.csv", tmp_path / "new" / "elsewhere.csv"):
        write_sheet([sample, framed], place)
        assert read_sheet(place) == [sample, framed]


def test_paths_beneath_the_sheet_are_relative_to_it(sample, folder, tmp_path):
    write_sheet([sample], folder / "own.csv")
    assert ",A.tif,A.h5ad,h5ad,,,,," in (folder / "own.csv").read_text()
    write_sheet([sample], tmp_path / "samples.csv")
    assert str(folder / "A.tif") in (tmp_path / "samples.csv").read_text()


@pytest.mark.parametrize("changes", [{"patient": ""}, {"sample": ""}])
def test_a_sheet_that_could_not_be_read_is_not_written(sample, tmp_path, changes):
    for samples in ([replace(sample, **changes)], []):
        with pytest.raises(SampleError, match="no sheet was written"):
            write_sheet(samples, tmp_path / "samples.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_places_spots_of_another_image(sample, folder):
    own = read_expression(sample).obsm["spatial"]
    sheet = folder / "framed.csv"
    sheet.write_text(HEADER + "A,P,A.tif,A.h5ad,h5ad,0.5,,-7\nB,P,A.tif,A.h5ad,h5ad,,,\n")
    framed, plain = read_sheet(sheet)
    np.testing.assert_allclose(read_expression(framed).obsm["spatial"], 0.5 * own + (0, -7))
    np.testing.assert_array_equal(read_expression(plain).obsm["spatial"], own)


@pytest.mark.parametrize(
    ("numbers", "said"), [("0,,", "scale must be more than 0"), ("1,a,", "x 'a' is not a number"), ("inf,,", "scale")]
)
def test_a_wrong_place_is_told(folder, numbers, said):
    (folder / "wrong.csv").write_text(f"{HEADER}A,P,A.tif,A.h5ad,h5ad,{numbers}\n")
    with pytest.raises(SampleError, match=f"line 2: {said}"):
        read_sheet(folder / "wrong.csv")
