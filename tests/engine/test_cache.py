"""The embedding cache: what lasts, what is evicted, and what a crash, a full disk or another process leaves."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.engine import block_files, eviction
from napari_nh2st.engine import cache as cache_module
from napari_nh2st.engine.cache import EmbeddingCache
from napari_nh2st.errors import Nh2stError

BLOCK, DIM = 4, 8
BLOCK_BYTES = BLOCK * BLOCK * DIM * 2


def block(seed):
    """Noise, which hardly compresses."""
    return np.random.default_rng(seed).normal(size=(BLOCK, BLOCK, DIM)).astype(np.float16)


def open_cache(root, slide="a", label=None):
    signature = {"slide": slide, "grid": [400, 400], "scale": 1.5}
    return EmbeddingCache(signature, root, BLOCK, DIM, label=label)


def put(cache, numbers):
    for i in numbers:
        cache.put((0, i), block(i))
    return cache


def folder_of(cache):
    return cache._disk.path


def filled(root, slide, n=10, used=None, close=True):
    """A folder with n blocks that was used so many seconds ago; returns (cache, folder)."""
    cache = put(open_cache(root, slide), range(n))
    folder = folder_of(cache)
    if close:
        cache.close()
    if used is not None:
        os.utime(folder / "done", (time.time() - used,) * 2)
    return cache, folder


@pytest.fixture(autouse=True)
def no_limit_from_outside(monkeypatch):
    monkeypatch.delenv("NH2ST_CACHE_LIMIT", raising=False)


# In memory


def test_memory_is_limited_by_bytes_and_the_least_recently_used_goes_first(monkeypatch):
    monkeypatch.setattr(cache_module, "MEMORY_LIMIT", 3 * BLOCK_BYTES)
    cache = open_cache(None)
    for i in range(3):
        cache.put((0, i), block(i))
    assert np.array_equal(cache.get((0, 0)), block(0))  # used again: block 1 is now the oldest
    cache.put((0, 3), block(3))
    assert [cache.has((0, i)) for i in range(4)] == [True, False, True, True]
    assert cache.get((0, 1)) is None


def test_a_block_larger_than_the_memory_is_kept_until_the_next(monkeypatch):
    monkeypatch.setattr(cache_module, "MEMORY_LIMIT", 1)
    cache = open_cache(None)
    cache.put((0, 0), block(0))
    assert cache.has((0, 0))
    cache.put((0, 1), block(1))
    assert not cache.has((0, 0))


def test_what_was_put_is_a_copy_and_putting_again_replaces_it():
    cache, values = open_cache(None), block(1)
    cache.put((0, 0), values)
    values[:] = 0
    assert np.array_equal(cache.get((0, 0)), block(1))
    cache.put((0, 0), block(2))
    assert np.array_equal(cache.get((0, 0)), block(2))
    assert cache._memory_bytes == BLOCK_BYTES
    cache.clear_memory()
    assert not cache.has((0, 0))


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"not \(4, 4, 7\)"):
        open_cache(None).put((0, 0), np.zeros((4, 4, 7), np.float16))


# On disk


def test_marks_and_values_survive_reopening(tmp_path):
    first = open_cache(tmp_path)
    partial = block(5)
    partial[2:] = np.nan
    for index, values in {(0, 0): block(0), (17, 3): block(1), (200, 100): partial, (-1, 0): block(2)}.items():
        first.put(index, values)
    first.close()
    again = open_cache(tmp_path)
    assert again.has((17, 3))
    assert not again.has((17, 4))
    assert np.array_equal(again.get((-1, 0)), block(2))
    assert np.array_equal(again.get((200, 100)), partial, equal_nan=True)
    assert again.get((17, 3)).dtype == np.float16
    assert again.problems == []


def test_has_loads_no_values(tmp_path, monkeypatch):
    filled(tmp_path, "a")
    again = open_cache(tmp_path)
    monkeypatch.setattr(block_files, "_decode", None)
    assert again.has((0, 3))


def test_marks_are_few_files(tmp_path):
    _, folder = filled(tmp_path, "a", n=40)
    assert sorted(p.name for p in folder.iterdir()) == ["about.json", "done", "values"]
    assert (folder / "done").stat().st_size == 40 * 16
    assert block_files.total(folder) == (40, sum(p.stat().st_size for p in (folder / "values").iterdir()))


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "gone", "wrong size"])
def test_a_damaged_block_is_missing_and_can_be_put_again(tmp_path, damage):
    _, folder = filled(tmp_path, "a")
    file = folder / "values" / "0.3"
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "wrong size":
        file.write_bytes(block_files.encode(block(3)[:2]))
    else:
        cut = {"cut": data[:50], "empty": b"", "flipped": data[:20] + bytes([data[20] ^ 1]) + data[21:]}
        file.write_bytes(cut[damage])
    again = open_cache(tmp_path)
    assert again.has((0, 3))  # the mark says so
    assert again.get((0, 3)) is None
    assert not again.has((0, 3))
    assert np.array_equal(again.get((0, 4)), block(4))
    again.put((0, 3), block(3))
    again.close()
    assert np.array_equal(open_cache(tmp_path).get((0, 3)), block(3))


def test_a_mark_never_precedes_its_values(tmp_path, monkeypatch):
    """Killed before the mark: the values lie there, and nobody relies on them."""

    def killed(self, index, size):
        assert (self.path / "values" / f"{index[0]}.{index[1]}").stat().st_size == size
        raise KeyboardInterrupt

    cache = open_cache(tmp_path)
    cache.put((0, 0), block(0))
    monkeypatch.setattr(block_files.BlockFolder, "_mark", killed)
    with pytest.raises(KeyboardInterrupt):
        cache.put((0, 1), block(1))
    monkeypatch.undo()
    cache.close()
    again = open_cache(tmp_path)
    assert (again.has((0, 0)), again.has((0, 1))) == (True, False)
    assert again.get((0, 1)) is None


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_process_loses_at_most_the_block_in_flight(tmp_path):
    code = (
        "import sys, os, numpy as np; from pathlib import Path;"
        "from napari_nh2st.engine.cache import EmbeddingCache;"
        f"c = EmbeddingCache({{'slide': 'a', 'grid': [400, 400], 'scale': 1.5}}, Path(sys.argv[1]), {BLOCK}, {DIM});"
        f"[c.put((0, i), np.full(({BLOCK}, {BLOCK}, {DIM}), i, np.float16)) for i in range(20)];"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    cache = open_cache(tmp_path)
    assert all((cache.get((0, i)) == i).all() for i in range(20))
    (entry,) = eviction.entries(tmp_path / "embeddings")
    cache.close()
    assert (entry.blocks, entry.in_use) == (20, True)
    assert not eviction.entries(tmp_path / "embeddings")[0].in_use  # the dead process holds nothing


def test_a_mark_that_was_cut_short_spoils_no_other(tmp_path):
    _, folder = filled(tmp_path, "a", n=3)
    with (folder / "done").open("ab") as file:
        file.write(b"\x01\x00\x00")
    again = open_cache(tmp_path)
    again.put((1, 1), block(9))
    again.close()
    last = open_cache(tmp_path)
    assert all(last.has(i) for i in [(0, 0), (0, 1), (0, 2), (1, 1)])
    assert block_files.total(folder)[0] == 4


def test_noise_in_the_journal_marks_nothing(tmp_path):
    _, folder = filled(tmp_path, "a", n=2)
    with (folder / "done").open("ab") as file:
        file.write(np.random.default_rng(0).bytes(16 * 50) + bytes(16))
    assert block_files.total(folder)[0] == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "about.json").write_text("{"),
        lambda f: (f / "about.json").write_text("[]"),
        lambda f: (f / "about.json").write_bytes(b"\xff\xfe"),
        lambda f: (f / "about.json").write_text(json.dumps({"format": 2, "signature": {"slide": "other"}})),
        lambda f: (f / "about.json").unlink(),
        lambda f: (f / "done").unlink(),
        lambda f: shutil.rmtree(f / "values"),
        lambda f: [shutil.rmtree(f), f.write_text("a file")],
        lambda f: [shutil.rmtree(f), f.mkdir()],
    ],
)
def test_a_damaged_folder_is_started_again(tmp_path, spoil):
    _, folder = filled(tmp_path, "a")
    spoil(folder)
    cache = open_cache(tmp_path)
    assert cache.problems == []
    assert not cache.has((0, 1))
    cache.put((0, 1), block(1))
    cache.close()
    assert np.array_equal(open_cache(tmp_path).get((0, 1)), block(1))
    assert [p.name for p in (tmp_path / "embeddings").iterdir()] == [folder.name]


def test_the_same_signature_with_other_blocks_is_another_folder(tmp_path):
    signature = {"grid": [10, 10]}
    EmbeddingCache(signature, tmp_path, 4, 8).put((0, 0), block(0))
    for other in (EmbeddingCache(signature, tmp_path, 2, 8), EmbeddingCache(signature, tmp_path, 4, 9)):
        assert not other.has((0, 0))


# Disks that do not take it


def test_a_root_that_cannot_be_made_goes_on_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="memory only") as caught:
        cache = put(open_cache(tmp_path / "file"), range(3))
    assert len(caught) == len(cache.problems) == 1
    assert np.array_equal(cache.get((0, 2)), block(2))


def test_a_folder_that_may_not_be_written_is_still_read(tmp_path, monkeypatch):
    """A read-only disk; tests run as root, whom permissions do not stop."""
    filled(tmp_path, "a", n=2)
    real = os.open

    def read_only(path, flags, *more, **named):
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.warns(RuntimeWarning, match=r"cannot be written.*Permission denied") as caught:
        cache = put(open_cache(tmp_path), [2, 3])
    assert len(caught) == 1
    assert np.array_equal(cache.get((0, 1)), block(1))
    assert np.array_equal(cache.get((0, 2)), block(2))
    cache.clear_memory()
    assert (cache.has((0, 1)), cache.has((0, 2))) == (True, False)


def test_a_full_disk_turns_writing_off_once(tmp_path, monkeypatch):
    cache = open_cache(tmp_path)
    cache.put((0, 0), block(0))

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(RuntimeWarning, match="No space left") as caught:
        put(cache, [1, 2])
    assert len(caught) == 1
    assert all(np.array_equal(cache.get((0, i)), block(i)) for i in range(3))
    assert [p.name for p in (folder_of(cache) / "values").iterdir()] == ["0.0"]
    cache.clear_memory()
    assert [cache.has((0, i)) for i in range(3)] == [True, False, False]


def test_a_folder_that_was_taken_away_meanwhile(tmp_path):
    """Somebody removed the cache by hand: blocks are missing, new ones stay in memory, and the next session is well."""
    cache, folder = filled(tmp_path, "a", close=False)
    shutil.rmtree(folder)
    assert np.array_equal(cache.get((0, 1)), block(1))  # from memory
    cache.clear_memory()
    assert cache.get((0, 1)) is None
    with pytest.warns(RuntimeWarning, match="memory only"):
        cache.put((0, 1), block(1))
    assert np.array_equal(cache.get((0, 1)), block(1))
    again = open_cache(tmp_path)
    again.put((0, 1), block(1))
    assert again.problems == []


# Several at once


def test_two_caches_on_one_folder_see_each_other(tmp_path):
    one, two = open_cache(tmp_path), open_cache(tmp_path)
    one.put((0, 0), block(0))
    two.put((0, 1), block(1))
    assert np.array_equal(two.get((0, 0)), block(0))
    assert np.array_equal(one.get((0, 1)), block(1))
    one.put((0, 1), block(7))
    assert two._disk.bytes <= one._disk.bytes
    one.close(), two.close()
    again = open_cache(tmp_path)
    assert np.array_equal(again.get((0, 1)), block(7))
    assert again._disk.bytes == block_files.total(folder_of(again))[1]


def test_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "MEMORY_LIMIT", 4 * BLOCK_BYTES)
    cache, wrong = open_cache(tmp_path), []

    def work(start):
        for i in range(start, start + 30):
            cache.put((i % 40, 0), block(i % 40))
            index = ((i + 17) % 40, 0)
            values = cache.get(index)
            if values is not None and not np.array_equal(values, block(index[0])):
                wrong.append(index)
            if not cache.has((i % 40, 0)):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(s,)) for s in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache._memory_bytes == 4 * BLOCK_BYTES


# The limit


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5e9), ("500 MB", 5e8), ("1.5TiB", 1.5 * 2**40), ("1000", 1e3), ("7 g", 7e9), ("64kib", 65536), ("0", 0)],
)
def test_sizes(text, size):
    assert eviction.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-5GB", "5 XB", "5GB6", "i", "5i", "lots"])
def test_what_is_no_size(text):
    with pytest.raises(Nh2stError, match="is not a size"):
        eviction.parse_size(text)


def test_sizes_for_people():
    sizes = (0, 999, 1000, 139_000, 20 * 10**9, 999_600_000_000, 3 * 10**12)
    assert [eviction.size_text(s) for s in sizes] == [
        "0 bytes", "999 bytes", "1 kB", "139 kB", "20 GB", "1000 GB", "3 TB",
    ]  # fmt: skip


def test_the_default_is_a_tenth_of_a_small_disk(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(total=50 * 10**9))
    assert eviction.limit_of(tmp_path / "not yet" / "there") == 5 * 10**9
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(total=10**12))
    assert eviction.limit_of(tmp_path) == 20 * 10**9
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "500MB")
    assert eviction.limit_of(tmp_path) == 500 * 10**6


def test_a_limit_that_is_none_is_said_and_the_default_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "many")
    with pytest.warns(RuntimeWarning, match="NH2ST_CACHE_LIMIT: 'many' is not a size"):
        cache = open_cache(tmp_path)
    cache.put((0, 0), block(0))
    assert folder_of(cache).is_dir()


def test_a_limit_of_zero_keeps_nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache = open_cache(tmp_path)
        cache.put((0, 0), block(0))
    assert cache.has((0, 0))
    assert not list(tmp_path.iterdir())


def test_the_least_recently_used_goes_first(tmp_path, monkeypatch):
    sizes = {}
    for name, used in (("b", 5000), ("a", 9000), ("c", 100)):
        _, sizes[name] = filled(tmp_path, name, used=used)
    each = block_files.total(sizes["a"])[1]
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", str(int(3.05 * each)))
    new = open_cache(tmp_path, "d")
    assert all(f.exists() for f in sizes.values())
    new.put((0, 0), block(0))
    assert not sizes["a"].exists()
    assert sizes["b"].exists()
    put(new, range(1, 10))
    for i in range(10):
        new.put((1, i), block(i))
    assert (sizes["b"].exists(), sizes["c"].exists()) == (False, True)
    assert new.problems == []
    assert sorted(p.name for p in (tmp_path / "embeddings").iterdir()) == sorted(
        [folder_of(new).name, sizes["c"].name]
    )  # nothing half removed


def test_reading_counts_as_use(tmp_path, monkeypatch):
    monkeypatch.setattr(block_files, "TOUCH_SECONDS", 0)
    cache, folder = filled(tmp_path, "a", used=9000, close=False)
    cache.get((0, 0))
    assert time.time() - (folder / "done").stat().st_mtime < 60


def test_opening_counts_as_use(tmp_path):
    _, folder = filled(tmp_path, "a", used=9000)
    open_cache(tmp_path, "a")
    assert time.time() - (folder / "done").stat().st_mtime < 60


@pytest.mark.skipif(os.name == "nt", reason="there the system refuses to rename it")
def test_a_folder_in_use_is_spared(tmp_path, monkeypatch):
    used, folder = filled(tmp_path, "a", used=9000, close=False)
    _, newer = filled(tmp_path, "b", used=10)
    each = block_files.total(folder)[1]
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", str(int(2.05 * each)))
    new = open_cache(tmp_path, "c")
    new.put((0, 0), block(0))
    assert (folder.exists(), newer.exists()) == (True, False)
    assert not block_files.remove(folder)
    assert np.array_equal(used.get((0, 5)), block(5))
    del used  # the engine only lets go of it
    assert block_files.remove(folder)


def test_one_folder_that_exceeds_the_limit_goes_on_in_memory(tmp_path, monkeypatch):
    _, other = filled(tmp_path, "other", n=2)
    each = block_files.total(other)[1] // 2
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", str(int(5.5 * each)))
    cache = open_cache(tmp_path, "a")
    with pytest.warns(RuntimeWarning, match=r"reached its limit of .* \(NH2ST_CACHE_LIMIT\)") as caught:
        put(cache, range(10))
    assert len(caught) == len(cache.problems) == 1
    assert not other.exists()  # it went while that still sufficed
    assert all(np.array_equal(cache.get((0, i)), block(i)) for i in range(10))
    cache.clear_memory()
    assert [cache.has((0, i)) for i in range(7)] == [True] * 5 + [False] * 2


def test_nothing_is_removed_where_it_would_not_suffice(tmp_path, monkeypatch):
    busy, folder = filled(tmp_path, "busy", close=False)
    small = open_cache(tmp_path, "small")
    small.put((0, 0), np.zeros((BLOCK, BLOCK, DIM), np.float16))
    small.close()
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", str(block_files.total(folder)[1] + 100))
    new = open_cache(tmp_path, "new")
    with pytest.warns(RuntimeWarning, match="limit"):
        new.put((0, 0), block(0))
    assert busy.has((0, 0))
    assert folder_of(small).exists()


def test_a_lower_limit_holds_from_the_next_opening(tmp_path, monkeypatch):
    _, old = filled(tmp_path, "old", used=9000)
    _, large = filled(tmp_path, "large")
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "1kB")
    cache = open_cache(tmp_path, "large")
    assert (old.exists(), large.exists()) == (False, True)
    assert np.array_equal(cache.get((0, 1)), block(1))
    cache.close()
    open_cache(tmp_path, "next")
    assert not large.exists()


def test_folders_of_an_earlier_version_are_evicted_too_and_foreign_ones_never(tmp_path, monkeypatch):
    parent = tmp_path / "embeddings"
    earlier, foreign = parent / ("0" * 24), parent / "my notes"
    for folder in (earlier, foreign):
        folder.mkdir(parents=True)
        (folder / "zarr.json").write_text(" " * 5000)
    os.utime(earlier, (1, 1))
    (entry,) = eviction.entries(parent)
    assert (entry.folder, entry.blocks, entry.bytes) == (earlier, None, 5000)
    monkeypatch.setenv("NH2ST_CACHE_LIMIT", "2kB")
    open_cache(tmp_path)
    assert (earlier.exists(), foreign.exists()) == (False, True)


def test_what_a_killed_removal_left_is_swept(tmp_path):
    _, folder = filled(tmp_path, "a")
    left = folder.with_name(f".{folder.name}.0123abcd-old")
    folder.rename(left)
    half = folder.with_name(".nh2st-0123abcd")
    half.mkdir()
    open_cache(tmp_path)
    assert not left.exists()
    assert half.exists()  # perhaps somebody is filling it
    eviction.sweep(tmp_path / "embeddings", seconds=-1)
    assert not half.exists()


def test_the_label_is_the_latest(tmp_path):
    for label, wanted in (("C5.jpg, her2st", "C5.jpg, her2st"), (None, "C5.jpg, her2st"), ("copy.jpg", "copy.jpg")):
        open_cache(tmp_path, label=label).put((0, 0), block(0))
        (entry,) = eviction.entries(tmp_path / "embeddings")
        assert (entry.label, entry.blocks) == (wanted, 1)


@pytest.mark.parametrize("years", [-20, 20])
def test_a_clock_that_jumps_keeps_nothing_for_ever(tmp_path, monkeypatch, years):
    """A time to come says nothing: what has one goes first, whichever way the clock has moved since."""
    second = 365 * 86400
    for slide, used in (("now", 0), ("before", 3600), ("to come", -100 * second)):
        filled(tmp_path, slide, 1, used=used)
    parent = eviction.embeddings_folder(tmp_path)
    used = [entry.used for entry in eviction.entries(parent)]
    assert used[0] > time.time() > used[2] - 60
    assert used[1] < used[2]
    moved = time.time() + years * second
    monkeypatch.setattr(time, "time", lambda: moved)
    eviction.make_room(parent, 0, parent / "none", 0)
    assert not eviction.entries(parent)


@pytest.mark.parametrize("used", [-1e8, 1e8])
def test_what_a_killed_process_left_is_swept_whatever_its_time(tmp_path, used):
    left = tmp_path / ".nh2st-00000000"
    left.mkdir()
    os.utime(left, (time.time() - used,) * 2)
    eviction.sweep(tmp_path)
    assert not left.exists()
