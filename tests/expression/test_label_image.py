"""Centres of labels: exact, whatever the chunks; of a large image from a coarse level, if need be a finer."""

import json

import numpy as np
import pytest
import zarr

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import label_image
from napari_nh2st.expression.spatialdata_elements import places_of
from support import assays

SHAPE = (304, 260)


def discs(seed=0):
    """A lattice of discs of several sizes, each cut by none: their labels, and their centres (x, y)."""
    rng = np.random.default_rng(seed)
    image = np.zeros(SHAPE, np.int32)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    centres = {}
    for row, column in np.ndindex(11, 9):
        at = np.array([column, row]) * 26 + rng.integers(24, 28, 2) + rng.choice([0, 0.5], 2)
        label = int(rng.integers(1, 10)) * 1000 + row * 10 + column
        image[(x - at[0]) ** 2 + (y - at[1]) ** 2 < rng.uniform(4, 9) ** 2] = label
        centres[str(label)] = at
    return image, centres


def found(element, wanted):
    places = places_of(element, wanted)
    assert places.unit() == "cells"
    return dict(zip(places.names, places.centres.tolist(), strict=True))


def off(got, centres):
    """The largest distance along an axis, in pixels."""
    return np.abs(np.array([got[name] for name in centres]) - list(centres.values())).max()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("chunks", [SHAPE, (64, 64), (7, 100), (1, 260)])
def test_a_lattice_of_labels_gives_its_centres_whatever_the_chunks(tmp_path, version, chunks):
    image, centres = discs()
    element = assays.label_image(tmp_path / "labels" / "cells", image, version, chunks=chunks)
    got = found(element, centres)
    assert got.keys() == centres.keys()
    assert off(got, centres) < 1e-9


def test_shards_and_other_kinds_of_numbers_are_read_too(tmp_path):
    image, centres = discs()
    for kind in ("u2", "u8", ">i4"):
        element = assays.label_image(tmp_path / kind / "labels" / "cells", image.astype(kind))
        assert off(found(element, centres), centres) < 1e-9
    group = zarr.open_group(str(element), mode="r+")
    group.create_array("0", shape=SHAPE, chunks=(16, 16), shards=(64, 64), dtype="i4", overwrite=True)[:] = image
    assert off(found(element, centres), centres) < 1e-9


def test_names_are_those_of_the_table_and_what_is_not_there_is_passed_over(tmp_path):
    image, centres = discs()
    element = assays.label_image(tmp_path / "labels" / "cells", image)
    one, two = list(centres)[:2]
    odd = ["0", "-1", "0.5", "nan", "inf", "cell1", "", "99999", "9" * 30]
    assert found(element, [one, f"{two}.0", *odd]) == {one: list(centres[one]), f"{two}.0": list(centres[two])}
    assert found(element, odd) == {}


def large(monkeypatch, tmp_path, image):
    """Write an image that counts as large, with levels of a half and a quarter; the quarter is read first."""
    monkeypatch.setattr(label_image, "FIRST", image[::4, ::4].size)
    return assays.label_image(tmp_path / "labels" / "cells", image, levels=3, chunks=(32, 32))


def test_finer_levels_are_read_only_for_labels_that_a_coarse_one_lacks(tmp_path, monkeypatch):
    image, centres = discs()
    half, full = ("7", (101.0, 3.0)), ("8", (202.5, 5.5))  # of two pixels a side, and of one
    image[2:4, 100:102], image[5, 202] = 7, 8
    element = large(monkeypatch, tmp_path, image)
    read = []
    blocks = label_image._blocks
    monkeypatch.setattr(label_image, "_blocks", lambda level: (read.append(level.folder.name), blocks(level))[1])
    got = found(element, centres)
    assert read == ["2"]
    assert 0.5 < off(got, centres) < 4
    assert found(element, [half[0]])["7"] == pytest.approx(half[1], abs=1)
    assert read == ["2", "2", "1"]
    got = found(element, [*centres, "7", "8"])
    assert got["8"] == list(full[1])
    assert read[3:] == ["2", "1", "0"]


def test_a_level_far_too_coarse_is_not_read(tmp_path, monkeypatch):
    image, centres = discs()
    monkeypatch.setattr(label_image, "_COARSEST", 3)
    assert 0.2 < off(found(large(monkeypatch, tmp_path, image), centres), centres) < 2
    monkeypatch.setattr(label_image, "_COARSEST", 1)
    assert off(found(tmp_path / "labels" / "cells", centres), centres) < 1e-9


def test_chunks_that_were_not_written_are_not_asked_for(tmp_path):
    element = tmp_path / "labels" / "cells"
    assays.label_image(element, np.zeros((8, 8), np.int32))
    group = zarr.open_group(str(element), mode="r+")
    big = group.create_array("0", shape=(200_000, 200_000), chunks=(512, 512), dtype="u4", overwrite=True)
    big[150_000:150_010, 100_000:100_020] = 5
    assert found(element, ["5"]) == {"5": [100_010.0, 150_005.0]}


def _edit(change, part="."):
    def write(element):
        about = json.loads((element / part / "zarr.json").read_text())
        change(about if part != "." else about["attributes"]["ome"]["multiscales"][0])
        (element / part / "zarr.json").write_text(json.dumps(about))

    return write


def _cut(element):
    chunk = next(p for p in sorted((element / "0" / "c").rglob("*")) if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:9])


def _floats(element):
    zarr.open_group(str(element), mode="r+").create_array("0", data=np.ones((8, 8), np.float32), overwrite=True)


DAMAGES = {
    "no levels": (_edit(lambda s: s.update(datasets=[])), "does not say which levels"),
    "no axes": (_edit(lambda s: s.pop("axes")), "does not say which levels"),
    "a level elsewhere": (_edit(lambda s: s["datasets"][0].update(path="../../other")), "does not say which levels"),
    "odd levels": (_edit(lambda s: s.update(datasets=[3])), "does not say which levels"),
    "odd scale": (
        _edit(lambda s: s["datasets"][0].update(coordinateTransformations=[{"type": "scale", "scale": ["a", 1]}])),
        "does not say which levels",
    ),
    "volume": (_edit(lambda s: s.update(axes=[{"name": a} for a in "zyx"])), "axes zyx: only flat labels"),
    "no such level": (_edit(lambda s: s["datasets"][0].update(path="7")), "its level 7 is no image"),
    "no numbers": (_floats, "holds no labels: its numbers are float32"),
    "cut chunk": (_cut, "cannot read"),
    "claims pixels": (_edit(lambda a: a.update(shape=[10**9, 10**9]), "0"), "no slide is stored like that"),
    "claims a chunk": (
        _edit(lambda a: a["chunk_grid"]["configuration"].update(chunk_shape=[10**6, 10**6]), "0"),
        "no slide is stored like that",
    ),
    "filled": (_edit(lambda a: a.update(fill_value=4), "0"), "is the label 4"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_label_image_is_one_line(tmp_path, name):
    damage, words = DAMAGES[name]
    image, centres = discs()
    element = assays.label_image(tmp_path / "labels" / "cells", image)
    damage(element)
    with pytest.raises(SampleError, match=words) as caught:
        places_of(element, centres)
    assert "\n" not in str(caught.value)


def test_a_level_that_contradicts_its_own_size_is_passed_over(tmp_path, monkeypatch):
    image, centres = discs()
    element = large(monkeypatch, tmp_path, image)
    _edit(lambda s: s["datasets"][2]["coordinateTransformations"][0].update(scale=[8.0, 8.0]))(element)
    got = found(element, centres)  # from the level of a half
    assert 0.2 < off(got, centres) < 2
