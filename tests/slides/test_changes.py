"""A slide that is replaced, written to, taken away or brought back while it is open."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.errors import SlideAway, SlideError
from napari_nh2st.slides import Slide, open_slide
from support.slides import MAKERS, picture, tiff

FILES = [name for name in MAKERS if name != "ome-zarr"]  # which is a folder
OPEN_AGAIN = "has changed since it was opened: open it again"


def read(slide: Slide) -> np.ndarray:
    return slide.read(0, 0, 60, 60, 1)


@pytest.mark.parametrize("name", FILES)
def test_another_slide_written_over_an_open_one(tmp_path, name):
    make, suffix = MAKERS[name]
    path, other = make(tmp_path / f"a{suffix}", picture()), make(tmp_path / f"b{suffix}", picture(seed=3))
    with open_slide(path) as slide:
        before = read(slide)
        path.write_bytes(other.read_bytes())
        with pytest.raises(SlideError, match=OPEN_AGAIN) as caught:
            slide.read(60, 0, 60, 60, 1)
        assert len(str(caught.value).splitlines()) == 1
        with pytest.raises(SlideError, match=OPEN_AGAIN):
            slide.tissue()
        assert slide.levels[0][:10].shape == (10, 233, 3)  # drawing needs no exception
        assert not slide.warnings or "undecodable" not in " ".join(slide.warnings)
        with open_slide(path) as again:
            assert again.fingerprint != slide.fingerprint
            assert read(again).shape == before.shape


def _renamed_over(path: Path, other: Path) -> None:
    other.replace(path)


def _same_size_in_place(path: Path, other: Path) -> None:
    assert path.stat().st_size == other.stat().st_size
    shutil.copyfile(other, path)


def _appended(path: Path, _other: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _copied_with_the_old_time(path: Path, other: Path) -> None:
    old = path.stat()
    path.unlink()
    shutil.copyfile(other, path)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def _in_place_with_the_old_time(path: Path, other: Path) -> None:
    old = path.stat()
    with path.open("r+b") as file:
        file.write(other.read_bytes())
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


CHANGES = [
    _renamed_over,
    _same_size_in_place,
    _appended,
    _copied_with_the_old_time,
    pytest.param(
        _in_place_with_the_old_time,
        marks=pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of the last change of a file's status"),
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_each_way_to_change_a_slide(tmp_path, change):
    path, other = (tiff(tmp_path / f"{i}.tif", picture(seed=i)) for i in (0, 1))
    with open_slide(path) as slide:
        read(slide)
        change(path, other)
        for _ in range(2):
            with pytest.raises(SlideError, match=OPEN_AGAIN):
                read(slide)


@pytest.mark.parametrize("name", FILES)
def test_a_slide_that_is_moved_away_and_back(tmp_path, name):
    make, suffix = MAKERS[name]
    path = make(tmp_path / f"a{suffix}", picture())
    with open_slide(path) as slide:
        before = read(slide)
        path.rename(tmp_path / "elsewhere")
        for _ in range(2):
            with pytest.raises(SlideAway, match=r"can no longer be read \(No such file or directory\)"):
                read(slide)
        (tmp_path / "elsewhere").rename(path)
        assert np.array_equal(read(slide), before)
        copy = shutil.copy2(path, tmp_path / "copy")  # as from a backup: another inode, the same time and content
        path.unlink()
        Path(copy).rename(path)
        assert np.array_equal(read(slide), before)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENODEV, errno.ETIMEDOUT, errno.EHOSTDOWN])
def test_a_drive_that_goes_away_and_comes_back(tmp_path, monkeypatch, number):
    def gone(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    with open_slide(tiff(tmp_path / "s.tif", picture())) as slide:
        before = read(slide)
        for place in ("napari_nh2st.slides.file._read_all", "pathlib.Path.stat", "os.fstat", "os.lseek"):
            with monkeypatch.context() as patch:
                patch.setattr(place, gone)
                with pytest.raises(SlideAway) as caught:
                    read(slide)
                patch.undo()
            assert os.strerror(number) in str(caught.value)
            assert np.array_equal(read(slide), before)
        assert not slide.warnings or "undecodable" not in " ".join(slide.warnings)


def test_a_handle_that_stays_stale_is_replaced(tmp_path):
    """As after a server's restart: the old handle never works again, and the file is as it was."""
    with open_slide(tiff(tmp_path / "s.tif", picture())) as slide:
        before = read(slide)
        os.close(slide._source.file._fd)
        assert np.array_equal(read(slide), before)


def test_overviews_are_not_kept_of_a_slide_that_fails_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    path = tiff(tmp_path / "s.tif", picture(2100, 300))
    from napari_nh2st.slides import file

    real, reads = file._read_all, []

    def failing(fd: int, count: int) -> bytes:
        reads.extend([count] if count > 5000 else [])
        if len(reads) > 20:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, count)

    with monkeypatch.context() as patch:
        patch.setattr(file, "_read_all", failing)
        with open_slide(path) as slide, pytest.raises(SlideAway, match="Input/output error"):
            slide.prepare(4.0)
    with open_slide(path) as slide:
        assert slide.levels[-1][:].mean() < 200


def _touched_and_set_back(path: Path) -> None:
    old = path.stat()
    os.utime(path)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def _made_read_only(path: Path) -> None:
    path.chmod(0o444)


def _linked(path: Path) -> None:
    os.link(path, path.with_name("link.tif"))


def _from_another_folder(path: Path) -> None:
    os.chdir(path.parent.parent)


@pytest.mark.parametrize("change", [_touched_and_set_back, _made_read_only, _linked, _from_another_folder])
def test_what_leaves_a_slide_as_it_is(tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    path = tiff(Path("s.tif"), picture())
    with open_slide(path) as slide:
        read(slide)
        change(path.absolute())
        assert np.array_equal(slide.read(60, 0, 60, 60, 1), picture()[:60, 60:120])


def test_a_link_that_leads_elsewhere(tmp_path):
    one, two, link = (tmp_path / name for name in ("1.tif", "2.tif", "link.tif"))
    for seed, path in enumerate((one, two)):
        tiff(path, picture(seed=seed))
    link.symlink_to(one)
    with open_slide(link) as slide:
        before = read(slide)
        for target, error in ((two, OPEN_AGAIN), (tmp_path / "none", "No such file")):
            link.unlink()
            link.symlink_to(target)
            with pytest.raises(SlideError, match=error):
                read(slide)
        link.unlink()
        link.symlink_to(one)
        assert np.array_equal(read(slide), before)
