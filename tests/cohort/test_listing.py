import pytest

from napari_nh2st.cohort.listing import list_slides
from napari_nh2st.errors import SampleError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.svs", "a.tif", "notes.txt", ".hidden.tif", "deep/c.svs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("word", "names"),
    [("", ["a.tif", "b.svs"]), ("*.svs", ["b.svs"]), ("**/*.svs", ["b.svs", "c.svs"]), ("a.tif", ["a.tif"])],
)
def test_folders_patterns_and_files(folder, word, names):
    assert [slide.path.name for slide in list_slides([folder / word])] == names


def test_a_sheet_of_slides_alone(folder):
    sheet = folder / "cohort.csv"
    sheet.write_text("patient;slide;mpp;regions\nP1;b.svs;0,5;b.xml\nP2;deep/c.svs;;\n", encoding="utf-8")
    first, second = list_slides([sheet])
    assert (first.path, first.patient, first.mpp) == (folder / "b.svs", "P1", 0.5)
    assert (first.regions, second.regions) == (folder / "b.xml", None)
    assert (second.path, second.patient, second.mpp) == (folder / "deep" / "c.svs", "P2", None)
    assert [s.mpp for s in list_slides([sheet], mpp=0.25)] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("text", "said"), [("slide,mpp\na.tif,wide\n", "line 2: mpp"), ("slide,mpp\n,1\n", "no slide")]
)
def test_what_is_wrong_with_a_sheet_is_said(folder, text, said):
    (folder / "s.csv").write_text(text)
    with pytest.raises(SampleError, match=said):
        list_slides([folder / "s.csv"])


def test_a_pattern_that_fits_nothing(folder):
    with pytest.raises(SampleError, match="nothing fits"):
        list_slides([folder / "*.ndpi"])
