import os
import subprocess
import sys

import pytest

from napari_nh2st import atomic
from napari_nh2st.atomic import finished_file, finished_folder


def test_a_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "new" / "été 表.txt"
    with finished_file(target) as draft:
        draft.write_text("done")
        assert draft.parent == target.parent
        assert draft.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "done"
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), finished_file(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with finished_file(target) as draft:
        draft.write_text("new")
    assert target.read_text() == "new"


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), finished_file(tmp_path / "a.txt"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_is_readable_by_those_whom_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        with finished_file(tmp_path / "a.txt") as draft:
            draft.write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_the_longest_name_works(tmp_path):
    target = tmp_path / ("n" * 251 + ".txt")
    with finished_file(target) as draft:
        draft.write_text("")
    assert target.exists()


@pytest.mark.parametrize("make", [finished_file, finished_folder])
def test_a_file_where_a_folder_is_needed_is_named(tmp_path, make):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file" / "a", tmp_path / "file" / "b" / "a"):
        with pytest.raises(FileExistsError, match=f"{tmp_path / 'file'} is a file"), make(target):
            pass
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_a_folder_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "big disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "big disk")
    with finished_folder(tmp_path / "link", overwrite=True) as draft:
        (draft / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "big disk" / "new").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big disk", "link"]
    (tmp_path / "away").symlink_to(tmp_path / "unmounted" / "a")
    with (
        pytest.raises(FileExistsError, match="which is not there: remove the link"),
        finished_folder(tmp_path / "away"),
    ):
        pass


def test_a_name_of_the_other_kind_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(IsADirectoryError, match="name of a file"), finished_file(tmp_path / "folder"):
        pass
    with pytest.raises(FileExistsError, match="name of a folder"), finished_folder(tmp_path / "file"):
        pass


def test_a_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "model"
    with finished_folder(target) as draft:
        (draft / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_is_overwritten_only_when_asked_and_when_complete(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    with finished_folder(target) as draft:  # empty: may be taken
        (draft / "old").write_text("1")
    with pytest.raises(FileExistsError, match="exists already"), finished_folder(target):
        pass
    with pytest.raises(RuntimeError), finished_folder(target, overwrite=True) as draft:
        (draft / "half").write_text("1")
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["old"]
    with finished_folder(target, overwrite=True) as draft:
        (draft / "new").write_text("1")
    assert [p.name for p in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def _drafts(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say which processes are gone")
def test_what_a_killed_process_has_left_goes_when_the_same_target_is_written_again(tmp_path, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getppid()):
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda pid=pid: pid)
            for name in ("a.csv", "b.csv"):
                atomic._beside(tmp_path / name, ".csv").write_text("half")
            draft = atomic._beside(tmp_path / "a.csv", ".part")
            draft.mkdir()
            (draft / "x").write_text("half")
    assert len(_drafts(tmp_path)) == 6
    with finished_file(tmp_path / "a.csv") as file:
        file.write_text("whole")
    left = _drafts(tmp_path)
    assert len(left) == 4  # another target's, and a living process's
    assert sum(f"-{gone.pid}-" in name for name in left) == 1


def test_a_folder_s_draft_has_no_suffix_that_a_reader_takes(tmp_path):
    with finished_folder(tmp_path / "a.nh2st") as draft:
        assert draft.suffix == ".part"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say which processes are gone")
def test_a_folder_comes_back_when_a_process_was_killed_in_mid_replacement(tmp_path, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with monkeypatch.context() as other:
        other.setattr(os, "getpid", lambda: gone.pid)
        old = atomic._beside(tmp_path / "model", ".old")
    old.mkdir()
    (old / "card.json").write_text("{}")
    with pytest.raises(RuntimeError), finished_folder(tmp_path / "model", overwrite=True):
        raise RuntimeError
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["card.json"]
    assert not _drafts(tmp_path)
