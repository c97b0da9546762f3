import json

import pytest

from napari_nh2st.cohort.records import find_slide, is_cohort
from napari_nh2st.errors import Nh2stError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cohort").mkdir()
    for name in ("b", "a"):
        record = {"path": f"/s/{name}.tif", "model": "her2st", "row": {"mpp": 0.5, "outputs": [f"/o/{name}.nh2st"]}}
        (tmp_path / "cohort" / f"{name}.json").write_text(json.dumps(record))
    return tmp_path


def test_a_slide_of_a_cohort(folder):
    assert is_cohort(folder)
    assert not is_cohort(folder / "cohort")
    assert find_slide(folder).path == "/s/a.tif"
    kept = find_slide(folder, "b")
    assert (kept.path, kept.mpp, kept.model, kept.prediction) == ("/s/b.tif", 0.5, "her2st", "/o/b.nh2st")


def test_what_is_not_there_or_damaged_is_said(folder):
    with pytest.raises(Nh2stError, match="no predicted slide 'c': it has a, b"):
        find_slide(folder, "c")
    (folder / "cohort" / "a.json").write_text("{}")
    with pytest.raises(Nh2stError, match="is damaged"):
        find_slide(folder)


def test_view_opens_it(folder, nh2st, monkeypatch):
    status, _, err = nh2st("view", folder, "--slide", "b")
    assert (status, "/s/b.tif" in err) == (1, True)  # it is not there
    status, _, err = nh2st("view", folder / "cohort", "--slide", "b")
    assert (status, "is not the folder of a cohort" in err) == (1, True)
