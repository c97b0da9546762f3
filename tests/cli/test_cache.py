"""`nh2st cache` as a contract: what it lists, what it removes, and what it never touches."""

import json
import os
import sys
import time

import numpy as np
import pytest

from napari_nh2st.cli import cache as command
from napari_nh2st.engine.cache import EmbeddingCache
from napari_nh2st.slides import cache as slide_cache


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "the cache"
    monkeypatch.setenv("NH2ST_CACHE", str(folder))
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "5GB")
    return folder


def embed(root, name, days=0, close=True):
    cache = EmbeddingCache({"slide": name}, root, 4, 8, label=f"{name}.jpg, her2st")
    for i in range(3):
        cache.put((0, i), np.random.default_rng(i).normal(size=(4, 4, 8)).astype(np.float16))
    if close:
        cache.close()
    _age(cache._disk.path / "done", days)
    return cache


def decode(digit, days=0):
    def build(aside):
        (aside / "0").write_bytes(bytes(2000))
        return {"levels": ["0"], "undecodable": []}

    folder = slide_cache.slide_folder(digit * 32)
    slide_cache.publish(folder, build)
    _age(folder / slide_cache.MARK, days)
    return folder


def _age(path, days):
    when = time.time() - days * 86400
    os.utime(path, (when, when))


def test_an_empty_cache_is_a_plain_sentence(nh2st, root):
    status, out, err = nh2st("cache")
    assert (status, err) == (0, "")
    assert "nothing is kept there" in out
    assert nh2st("cache", "clear") == (0, f"nothing to remove in {root}\n", "")
    assert not root.exists()


def test_list(nh2st, root):
    embed(root, "C5", days=3)
    embed(root, "B4")
    decode("a")
    status, out, err = nh2st("cache")
    assert (status, err) == (0, "")
    assert out == nh2st("cache", "list")[1]
    lines = out.splitlines()
    assert lines[0] == f"folder  {root}"
    assert lines[1] == "limit   5 GB for embeddings (NH2ST_CACHE_LIMIT)"
    assert lines[5].startswith("embeddings")
    assert lines[5].endswith("B4.jpg, her2st")
    assert lines[6].split()[3:5] == ["3", time.strftime("%Y-%m-%d", time.localtime(time.time() - 3 * 86400))]
    assert lines[6].endswith("C5.jpg, her2st")
    assert lines[7].endswith("slide aaaaaaaa")


def test_list_as_json(nh2st, root):
    embed(root, "C5", days=3)
    open_now = embed(root, "B4", close=False)
    folder = decode("a")
    found = json.loads(nh2st("cache", "list", "--json")[1])
    assert found["folder"] == str(root)
    assert found["limit"] == 5 * 10**9
    assert found["bytes"] == sum(e["bytes"] for kind in ("embeddings", "slides") for e in found[kind])
    first, second = found["embeddings"]
    assert (first["label"], first["blocks"], first["in_use"]) == ("C5.jpg, her2st", 3, False)
    assert second["in_use"] is True
    assert first["used"] < second["used"]
    (slide,) = found["slides"]
    assert (slide["folder"], slide["blocks"]) == (str(folder), None)
    assert slide["bytes"] > 2000
    assert open_now.has((0, 0))
    assert json.loads(nh2st("cache", "--slides", "--json")[1])["embeddings"] == []
    old = json.loads(nh2st("cache", "--older-than", "2", "--json")[1])
    assert [e["label"] for e in old["embeddings"] + old["slides"]] == ["C5.jpg, her2st"]


def test_clear_removes_what_was_asked_for(nh2st, root):
    one, folder = embed(root, "C5"), decode("a")
    status, out, _ = nh2st("cache", "clear", "--embeddings", "--yes")
    assert status == 0
    assert out.startswith("freed ")
    assert "1 of embeddings, 0 of slides" in out
    assert (one._disk.path.exists(), folder.exists()) == (False, True)
    one = embed(root, "C5")
    done = json.loads(nh2st("cache", "clear", "--slides", "--yes", "--json")[1])
    assert [e["folder"] for e in done["removed"]] == [str(folder)]
    assert done["freed"] > 2000
    assert (one._disk.path.exists(), folder.exists()) == (True, False)
    decode("a")
    assert nh2st("cache", "clear", "--yes")[0] == 0
    assert [*(root / "embeddings").iterdir(), *(root / "slides").iterdir()] == []


def test_clear_by_age(nh2st, root):
    old, new, slide, older = embed(root, "C5", days=40), embed(root, "B4", days=20), decode("a"), decode("b", days=31)
    assert nh2st("cache", "clear", "--older-than", "30", "--yes")[0] == 0
    assert [p.exists() for p in (old._disk.path, new._disk.path, slide, older)] == [False, True, True, False]


@pytest.mark.skipif(os.name == "nt", reason="there the system refuses to rename it")
def test_clear_spares_what_is_in_use(nh2st, root):
    busy, idle = embed(root, "C5", close=False), embed(root, "B4")
    status, out, err = nh2st("cache", "clear", "--yes")
    assert status == 0
    assert "1 of embeddings" in out
    assert err == "spared, in use by a running process: C5.jpg, her2st\n"
    assert (busy._disk.path.exists(), idle._disk.path.exists()) == (True, False)


def test_clear_touches_nothing_else(nh2st, root):
    """Somebody's slides may lie in a folder of that name."""
    embed(root, "C5")
    decode("a")
    others = ["demo/x.tif", "slides/C5.svs", "slides/my slides/a.tif", "embeddings/notes.txt", "embeddings/abc/x"]
    for name in others:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "x").write_text("mine")
    (root / "slides" / f"{'c' * 32}-v2").symlink_to(outside, target_is_directory=True)
    (root / "embeddings" / ("d" * 24)).symlink_to(outside, target_is_directory=True)
    assert nh2st("cache", "clear", "--yes")[0] == 0
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir()) == sorted(others)
    assert (outside / "x").read_text() == "mine"


def test_what_killed_builds_left_goes_after_a_day(nh2st, root):
    folder = decode("a").parent
    fresh, stale = folder / f".{'e' * 32}-v2.12-aaaaaaaa", folder / f".{'f' * 32}-v2.12-bbbbbbbb"
    fresh.mkdir()
    stale.mkdir()
    _age(stale, 2)
    assert nh2st("cache", "clear", "--slides", "--yes")[0] == 0
    assert [p.name for p in folder.iterdir()] == [fresh.name]


def test_without_a_terminal_it_does_not_remove_unasked(nh2st, root):
    one = embed(root, "C5")
    status, out, err = nh2st("cache", "clear")
    assert (status, out) == (1, "")
    assert err.startswith("error: remove 1 folder, ")
    assert err.endswith("Say --yes\n")
    assert err.count("\n") == 1
    assert one._disk.path.exists()


@pytest.mark.parametrize("answer", [True, False])
def test_in_a_terminal_it_asks(nh2st, root, monkeypatch, answer):
    one = embed(root, "C5")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(command.typer, "confirm", lambda question, err: answer)
    status, _, err = nh2st("cache", "clear")
    assert one._disk.path.exists() is not answer
    assert status == (0 if answer else 1)
    assert ("error: nothing was removed" in err) is not answer


def test_what_cannot_be_removed_is_named(nh2st, root, monkeypatch):
    one, two = embed(root, "C5"), embed(root, "B4")
    from napari_nh2st.engine import block_files

    real = block_files._set_aside

    def refuse(path):
        if path == one._disk.path:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(block_files, "_set_aside", refuse)
    monkeypatch.setattr(block_files.sys, "platform", "linux")
    status, out, err = nh2st("cache", "clear", "--yes")
    assert status == 1
    assert out.startswith("freed ")
    assert err == f"error: {one._disk.path} cannot be removed (Permission denied)\n"
    assert not two._disk.path.exists()


def test_a_limit_that_is_none_is_one_line(nh2st, root, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "lots")
    status, out, err = nh2st("cache")
    assert (status, out) == (1, "")
    assert err == "error: NH2ST_CACHE_LIMIT: 'lots' is not a size: give one such as 5GB or 500MB\n"
    assert nh2st("cache", "clear", "--yes")[0] == 0


@pytest.mark.parametrize("words", [["cache", "nonsense"], ["cache", "--older-than", "-1"], ["cache", "--everything"]])
def test_wrong_usage(nh2st, root, words):
    assert nh2st(*words)[0] == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_in_a_journal_s_place_does_not_hang(nh2st, root):
    folder = embed(root, "a")._disk.path
    (folder / "done").unlink()
    os.mkfifo(folder / "done")
    assert nh2st("cache")[0] == 0
    assert nh2st("cache", "clear", "--yes")[0] == 0
