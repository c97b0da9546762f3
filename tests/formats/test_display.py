import json

import pytest
from pydantic import ValidationError

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display, Subject, display_of, load_display, same_slide, save_display
from napari_nh2st.geometry import Box

SUBJECT = Subject(slide="/a/C5.svs", fingerprint="f1", mpp=0.5, model="her2st", model_hash="h", pitch=112)
SHOWN = Display(
    genes=("ERBB2", "CD74"),
    colormap="magma",
    limits={"ERBB2": (0.25, 2.5)},
    locked=True,
    opacity=0.5,
    region=(10.5, 20, 300, 200),
    of=SUBJECT,
)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    path = save_display(SHOWN, tmp_path / "view.json")
    assert load_display(path) == SHOWN
    assert [p.name for p in tmp_path.iterdir()] == ["view.json"]
    assert json.loads(path.read_text())["nh2st_display"] == 1
    assert SHOWN.box == Box(10.5, 20, 310.5, 220)
    assert Display(genes=("A",)).box is None


def test_limits_are_the_gene_s_own_or_the_locked_ones():
    assert SHOWN.limits_for("ERBB2") == (0.25, 2.5)
    assert SHOWN.limits_for("CD74") == (0.25, 2.5)
    assert SHOWN.changed(locked=False).limits_for("CD74") is None
    assert SHOWN.changed(limits={"CD74": (1.0, 2.0)}).limits_for("CD74") == (1.0, 2.0)


def test_same_slide():
    assert same_slide(SHOWN, "f1")
    assert not same_slide(SHOWN, "f2")
    assert same_slide(Display(genes=("A",)), "f2")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"genes": ()}, "genes: "),
        ({"genes": ("A", "B", "A")}, "A is named twice"),
        ({"percentiles": (99.0, 1.0)}, "percentiles go from 0 to 100, lower first"),
        ({"percentiles": (1.0, 101.0)}, "percentiles go from 0 to 100, lower first"),
        ({"limits": {"A": (2.0, 2.0)}}, "of two limits the lower comes first"),
        ({"limits": {"A": (float("nan"), 2.0)}}, "limits.A.0: "),
        ({"region": (0.0, 0.0, 0.0, 9.0)}, "a region is X,Y,WIDTH,HEIGHT"),
        ({"opacity": 1.5}, "opacity: "),
    ],
)
def test_wrong_settings_are_one_line(fields, says):
    with pytest.raises(Nh2stError) as caught:
        display_of(**{"genes": ("A",), **fields})
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(ValidationError):
        SHOWN.colormap = "gray"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not json", "is not a saved view"),
        (b"[1, 2]", "is not a saved view"),
        (b'{"genes": ["A"]}', "is not a saved view"),
        (b"\xff\xfe\x00", "is not a saved view"),
        (b'{"nh2st_display": 2, "genes": ["A"]}', "another version of napari-nh2st (format 2, here 1)"),
        (b'{"nh2st_display": 1, "genes": ["A"], "opacity": "0.5"}', "opacity: "),
        (b'{"nh2st_display": 1, "genes": ["A"], "colour": "red"}', "colour: "),
        (b'{"nh2st_display": 1, "genes": ["A"], "of": {"model": "m"}}', "of.pitch: "),
    ],
)
def test_a_foreign_or_wrong_file_is_one_line_that_names_it(tmp_path, content, says):
    path = tmp_path / "view.json"
    path.write_bytes(content)
    with pytest.raises(Nh2stError) as caught:
        load_display(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Nh2stError, match="cannot be read: No such file"):
        load_display(tmp_path / "view.json")


def test_lists_and_one_gene_are_taken_as_they_are_meant():
    shown = Display(genes="ERBB2", limits={"ERBB2": [0, 1]}, region=[0, 0, 10, 10], percentiles=[2, 98])
    assert shown == Display(genes=("ERBB2",), limits={"ERBB2": (0, 1)}, region=(0, 0, 10, 10), percentiles=(2, 98))
    assert Display(genes=["A", "B"]).genes == ("A", "B")
