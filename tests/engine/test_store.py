"""The prediction folder: nothing in it is believed, what is damaged is computed again, one process writes."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import zarr

from napari_nh2st.engine import file_lock, store, tile_arrays
from napari_nh2st.engine.result_header import DamagedResult, Header, NewerResult, digest_of
from napari_nh2st.engine.store import (
    DAMAGED,
    EMPTY,
    PREDICTED,
    PredictionStore,
    find_prediction,
    open_prediction,
    save_prediction,
)
from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Architecture, Evaluation
from support.predictions import prediction

CHUNK = 4
GRID = (4, 7)  # 2 chunks, the second cut off at the lattice's edge


@pytest.fixture(scope="module")
def made():
    """A prediction of every other tile of the lattice, one of them damaged in the slide."""
    base = prediction(size=(500, 800), undone=0)
    header = Header(
        {"slide": "abc", "pitch": 112}, {"scale": 1.0, "pitch": 112, "patch": 112},
        base.card, base.decoder, base.slide, base.provenance,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    grid = np.argwhere(np.indices(GRID).sum(axis=0) % 2 == 0)
    hidden = rng.normal(size=(len(grid), 6)).astype(np.float16)
    state = np.full(len(grid), PREDICTED, np.uint8)
    hidden[7], state[7] = np.nan, DAMAGED
    return header, grid, hidden, state


def predict(folder, made, most=None):
    """Do what a run does: open the folder for writing and compute what is not there, chunk by chunk."""
    header, grid, hidden, state = made
    opened = PredictionStore.create(folder, GRID, CHUNK, header)
    try:
        todo = np.flatnonzero(opened.state_at(grid) == EMPTY)
        for n, place in enumerate(np.unique(grid[todo] // CHUNK, axis=0)):
            if n == most:
                return opened.mended
            rows = todo[(grid[todo] // CHUNK == place).all(axis=1)]
            opened.write(grid[rows], hidden[rows], state[rows])
        return opened.mended
    finally:
        opened.close()


def is_right(opened, made, whole=True):
    header, grid, hidden, state = made
    good = state == PREDICTED
    if whole:
        assert np.array_equal(opened.places.grid, grid[good])
        assert np.array_equal(opened.hidden, hidden[good])
    else:
        values = {tuple(g): h for g, h in zip(grid[good].tolist(), hidden[good], strict=True)}
        for g, h in zip(opened.places.grid.tolist(), opened.hidden, strict=True):
            assert np.array_equal(values[tuple(g)], h)
    assert digest_of(opened.decoder) == digest_of(header.decoder)
    assert (opened.card, opened.slide, opened.provenance) == (header.card, header.slide, header.provenance)
    assert np.array_equal(opened.places.centres, (opened.places.grid[:, ::-1] * 112 + 56) * 1.0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("sound") / "A.nh2st"
    predict(folder, made)
    return folder


def test_any_zarr_library_reads_it(sound, made):
    _, grid, hidden, state = made
    group = zarr.open_group(sound, mode="r")
    assert np.array_equal(group["hidden"][:][tuple(grid.T)], hidden, equal_nan=True)
    assert np.array_equal(group["state"][:][tuple(grid.T)], state)
    assert np.isnan(group["hidden"][:][0, 1]).all()
    assert np.array_equal(group["weight"][:], made[0].decoder.weight)
    assert group["count"][:].sum() == len(grid)
    assert group.attrs["nh2st"]["lattice"]["rows"] == GRID[0]


def test_what_is_written_is_read_and_nothing_is_computed_twice(sound, made):
    is_right(open_prediction(sound), made)
    assert predict(sound, made) == 0
    assert PredictionStore(sound).done == len(made[1])


def _mutations(file, rng, flips):
    """Yield what is done to a file, in words, and what it is then: bytes, None where it is gone, a folder."""
    data, size = file.read_bytes(), file.stat().st_size
    for at in rng.choice(size * 8, size=min(size * 8, flips), replace=False).tolist():
        yield f"bit {at % 8} of byte {at // 8}", _flipped(data, at)
    for length in sorted({0, 1, size // 2, size - 1}):
        yield f"cut to {length} bytes", data[:length]
    yield "longer", data + b"}\0"
    yield "noise", bytes(rng.integers(0, 256, size, dtype=np.uint8))
    yield "gone", None
    yield "a folder", "folder"


def _flipped(data, at):
    changed = bytearray(data)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def _put(path, content):
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()


def _said_of(folder, made):
    """Open the folder: what is said of it, None where it is right."""
    try:
        is_right(open_prediction(folder), made)
    except Nh2stError as error:
        return error
    return None


@pytest.mark.parametrize("flips", [2, pytest.param(60, marks=pytest.mark.long)])
def test_whatever_happens_to_a_file_a_reader_is_right_or_says_so_and_predict_mends_it(sound, made, tmp_path, flips):
    """A flipped bit, a file cut short, noise, a missing file, a folder in a file's place: every file of the folder."""
    folder, rng, told, without_effect = shutil.copytree(sound, tmp_path / "A.nh2st"), np.random.default_rng(0), 0, 0
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "lock"]
    for file in files:
        before = file.read_bytes()
        for words, content in _mutations(file, rng, flips * 5 if file.parent == folder else flips):
            _put(file, content)
            said = _said_of(folder, made)
            told, without_effect = told + (said is not None), without_effect + (said is None)
            if isinstance(said, NewerResult):  # a version number was what changed: nothing is overwritten
                with pytest.raises(NewerResult):
                    predict(folder, made)
                _put(file, before)
            assert said is None or "damaged" in str(said) or "newer version" in str(said), (words, file, said)
            assert "\n" not in str(said)
            predict(folder, made)
            is_right(open_prediction(folder), made)
    print(f"{told + without_effect} mutations of {len(files)} files: {told} told, {without_effect} without effect")
    assert told + without_effect > 100 + len(files) * flips
    assert without_effect < told / 10


def test_parts_that_are_missing_or_stand_in_another_s_place_are_found(sound, made, tmp_path):
    other = (Header({**made[0].signature, "slide": "xyz"}, *list(vars(made[0]).values())[1:]), *made[1:])
    predict(tmp_path / "other.nh2st", other)

    def copied(source, target):
        return lambda f: shutil.copyfile(f / source, f / target)

    def gone(*names):
        return lambda f: [shutil.rmtree(f / name) for name in names]

    def of_another(f):
        for name in ("hidden", "seal", "state"):
            shutil.copyfile(tmp_path / "other.nh2st" / name / "c/0/1", f / name / "c/0/1") if name != "hidden" else (
                shutil.copyfile(tmp_path / "other.nh2st/hidden/c/0/1/0", f / "hidden/c/0/1/0")
            )

    def earlier(f):  # an older state of the folder, as an incomplete copy leaves it
        f_state = f / "state/c/0/1"
        f_state.unlink()

    for damage in (
        copied("hidden/c/0/0/0", "hidden/c/0/1/0"), copied("state/c/0/0", "state/c/0/1"), of_another, earlier,
        gone("hidden/c"), gone("hidden/c/0", "seal/c/0", "state/c/0"), gone("state"), gone("weight"), gone("count"),
    ):  # fmt: skip
        folder = tmp_path / "A.nh2st"
        shutil.copytree(sound, folder)
        damage(folder)
        with pytest.raises(DamagedResult, match="Run the same nh2st predict again"):
            open_prediction(folder)
        predict(folder, made)
        is_right(open_prediction(folder), made)
        shutil.rmtree(folder)


def _edited(folder, change, check=True):
    path = folder / "zarr.json"
    document = json.loads(path.read_text())
    meta = document["attributes"]["nh2st"]
    change(meta)
    if check:
        meta["check"] = store.read_header.__globals__["_check"](meta)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    "change",
    [lambda m: m.update(schema=99), lambda m: m["card"].update(schema_version=2, what_is_new=[1])],
    ids=["results", "card"],
)
def test_what_a_newer_version_has_written_is_not_touched(sound, made, tmp_path, change, check):
    folder = shutil.copytree(sound, tmp_path / "A.nh2st")
    _edited(folder, change, check)
    before = (folder / "zarr.json").read_bytes()
    for act in (lambda: open_prediction(folder), lambda: predict(folder, made)):
        with pytest.raises(NewerResult, match=r"newer version of napari-nh2st.*update napari-nh2st"):
            act()
    assert (folder / "zarr.json").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["lattice"].update(rows=60_000, columns=60_000),
        lambda m: m["lattice"].update(rows=10**12),
        lambda m: m["lattice"].update(rows=GRID[0] + 2),
        lambda m: m["lattice"].update(scale=float("inf")),
        lambda m: m["lattice"].update(scale=2.0),
        lambda m: m["lattice"].update(pitch=0),
        lambda m: m["arrays"].update(hidden=10**9),
        lambda m: m["arrays"].update(chunk=10**6),
        lambda m: m["slide"].update(shape=[10**9, 10**9, 3]),
        lambda m: m["slide"].update(mpp=0),
        lambda m: m["card"].update(genes=["A"]),
        lambda m: m.pop("signature"),
        lambda m: m.update(provenance=[]),
    ],
)
def test_a_description_without_bounds_or_against_itself_is_refused(sound, made, tmp_path, change):
    folder = shutil.copytree(sound, tmp_path / "A.nh2st")
    _edited(folder, change)
    with pytest.raises(DamagedResult):
        open_prediction(folder)
    predict(folder, made)
    is_right(open_prediction(folder), made)


def test_a_state_that_claims_to_be_huge_is_refused_at_once(sound, tmp_path):
    folder = shutil.copytree(sound, tmp_path / "A.nh2st")
    path = folder / "state/zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shape": [60_000, 60_000]}))
    with pytest.raises(DamagedResult, match="state is not what its description says"):
        open_prediction(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_pipe_in_a_part_s_place_does_not_hang(sound, made, tmp_path):
    folder = shutil.copytree(sound, tmp_path / "A.nh2st")
    for part in ("zarr.json", "hidden/c/0/0/0", "count/zarr.json"):
        (folder / part).unlink()
        os.mkfifo(folder / part)
        with pytest.raises(DamagedResult):
            open_prediction(folder)
        predict(folder, made)
        is_right(open_prediction(folder), made)


@pytest.mark.parametrize("left", ["", '{"attributes":{},"zarr_format":3,"node_type":"group"}', "{", None])
def test_a_folder_whose_making_was_interrupted_is_made_again(made, tmp_path, left):
    folder = tmp_path / "A.nh2st"
    folder.mkdir()
    if left is not None:
        (folder / "zarr.json").write_text(left)
        (folder / "hidden").mkdir()
    predict(folder, made)
    is_right(open_prediction(folder), made)
    assert [p.name for p in tmp_path.iterdir()] == ["A.nh2st"]


def test_a_folder_with_other_files_is_left_alone(made, tmp_path):
    folder = tmp_path / "A.nh2st"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(Nh2stError, match=r"other files \(thesis.tex\).*choose another"):
        predict(folder, made)
    assert (folder / "thesis.tex").read_text() == "years of work"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_in_a_prediction_s_place(sound, made, tmp_path):
    """A link to another disk is kept; one to nothing, or one that leads to itself, is told or mended."""
    shutil.copytree(sound, tmp_path / "disk")
    (tmp_path / "A.nh2st").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "zarr.json").write_text("{")
    predict(tmp_path / "A.nh2st", made)
    assert (tmp_path / "A.nh2st").is_symlink()
    is_right(open_prediction(tmp_path / "disk"), made)
    shutil.rmtree(tmp_path / "disk" / "hidden" / "c")
    (tmp_path / "disk" / "hidden" / "c").symlink_to(tmp_path / "disk" / "hidden" / "c")
    predict(tmp_path / "A.nh2st", made)
    is_right(open_prediction(tmp_path / "A.nh2st"), made)
    (tmp_path / "B.nh2st").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="remove the link"):
        predict(tmp_path / "B.nh2st", made)


def test_what_file_managers_leave_in_folders_is_nobody_s_work(sound, made, tmp_path):
    folder = tmp_path / "A.nh2st"
    shutil.copytree(sound, folder)
    for place in (folder, folder / "hidden", folder / "hidden" / "c" / "0"):
        for name in (".DS_Store", "._zarr.json", "Thumbs.db", "desktop.ini"):
            (place / name).write_bytes(b"x")
    is_right(open_prediction(folder), made)
    assert predict(folder, made) == 0
    (folder / "zarr.json").write_text("{")
    predict(folder, made)
    is_right(open_prediction(folder), made)


@pytest.mark.parametrize(
    "change",
    [
        {"genes": ["CD74", "ERBB2", "IGKC", "D"]},
        {"label_recipe": "log10-cp10k-panel-smoothed"},
        {"pitch": 56},
        {"architecture": Architecture(heads=4)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_same_weights_under_a_card_that_reads_them_otherwise_are_another_model(sound, made, tmp_path, change):
    header = made[0]
    shutil.copytree(sound, tmp_path / "A.nh2st")
    other = replace(header, card=header.card.model_copy(update=change))
    with pytest.raises(Nh2stError, match=f"another {next(iter(change))} on the model's card: choose another out="):
        predict(tmp_path / "A.nh2st", (other, *made[1:]))
    is_right(open_prediction(tmp_path / "A.nh2st"), made)


def test_what_has_become_known_of_a_model_reaches_what_it_has_predicted(sound, made, tmp_path):
    header = made[0]
    shutil.copytree(sound, tmp_path / "A.nh2st")
    evaluation = Evaluation(kind="cross-patient", samples=["S9"], pcc_mean=0.2)
    later = replace(header, card=header.card.model_copy(update={"evaluation": evaluation, "licence": "CC0"}))
    assert predict(tmp_path / "A.nh2st", (later, *made[1:])) == 0
    is_right(open_prediction(tmp_path / "A.nh2st"), (later, *made[1:]))


def test_later_commands_that_add_tiles_are_named_beside_the_first(made, tmp_path):
    header, folder = made[0], tmp_path / "A.nh2st"

    def run(command, most):
        predict(folder, (replace(header, provenance={**header.provenance, "command": command}), *made[1:]), most)
        origin = open_prediction(folder).provenance
        return origin["command"], origin.get("later_commands")

    assert run("first", 1) == ("first", None)
    assert run("first", 0) == ("first", None)
    assert run("second", 0) == ("first", None)  # it has added nothing
    assert run("second", 1) == ("first", ["second"])
    assert run("third", None) == ("first", ["second"])  # everything was there


def test_a_draft_is_no_prediction(made, tmp_path):
    predict(tmp_path / "A.nh2st", made)
    with store.finished_folder(tmp_path / "B.nh2st") as draft:
        shutil.copytree(tmp_path / "A.nh2st", draft, dirs_exist_ok=True)
        assert find_prediction(tmp_path) == tmp_path / "A.nh2st"


def test_a_disk_that_is_full_at_any_moment_leaves_what_the_next_run_goes_on_from(made, tmp_path, monkeypatch):
    write, rest = tile_arrays.write_bytes, [0]

    def full(path, data):
        rest[0] -= 1
        if rest[0] < 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(".0.part").write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(tile_arrays, "write_bytes", full)
    moments = 0
    while True:
        folder = tmp_path / str(moments) / "A.nh2st"
        rest[0] = moments
        full_at = None
        try:
            predict(folder, made)
        except OSError as error:
            full_at = error.errno
        if full_at is None:
            break
        assert full_at == errno.ENOSPC
        if folder.exists():
            is_right(open_prediction(folder), made, whole=False)
        rest[0] = 10**9
        predict(folder, made)
        is_right(open_prediction(folder), made)
        assert not [p for p in (tmp_path / str(moments)).rglob(".*")]
        moments += 1
    assert moments > 15


HOLD = """
import sys
from pathlib import Path
from napari_nh2st.engine.file_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_one_process_writes_a_folder_and_the_lock_goes_with_it(sound, made, tmp_path):
    folder = shutil.copytree(sound, tmp_path / "A.nh2st")
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Nh2stError, match=rf"process {holder.pid} on .* is writing .*A\.nh2st: wait"):
            predict(folder, made)
        assert file_lock.who_writes(folder).startswith(f"process {holder.pid} on ")
        is_right(open_prediction(folder), made)  # reading is free
        holder.kill()
    assert file_lock.who_writes(folder) == ""
    predict(folder, made)


def test_where_no_locks_are_known_predicting_works(made, tmp_path, monkeypatch):
    if os.name == "nt":
        monkeypatch.setattr(file_lock.msvcrt, "locking", lambda *_: (_ for _ in ()).throw(OSError(errno.EINVAL, "")))
    else:
        monkeypatch.setattr(file_lock.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "")))
    predict(tmp_path / "A.nh2st", made)
    is_right(open_prediction(tmp_path / "A.nh2st"), made)


def test_threads_of_one_process_share_the_right_to_write(made, tmp_path):
    folder = tmp_path / "A.nh2st"
    first = PredictionStore.create(folder, GRID, CHUNK, made[0])
    second = PredictionStore.create(folder, GRID, CHUNK, made[0])
    first.close()
    first.close()
    assert _locks_from_outside(folder) == 1
    del second
    assert _locks_from_outside(folder) == 0


@pytest.mark.parametrize("same", [False, True])
def test_the_garbage_collector_finds_a_result_while_its_thread_takes_a_lock(tmp_path, monkeypatch, same):
    old, new = tmp_path, tmp_path if same else tmp_path / "new"
    new.mkdir(exist_ok=True)
    left, taken = file_lock.FolderLock(old), []
    has_name = file_lock.has_name

    def has_name_after_collecting(*given):
        left.release()  # as PredictionStore does when it is deleted
        return has_name(*given)

    monkeypatch.setattr(file_lock, "has_name", has_name_after_collecting)
    thread = threading.Thread(target=lambda: taken.append(file_lock.FolderLock(new)), daemon=True)
    thread.start()
    thread.join(5)
    assert [lock._held.holders for lock in taken] == [1]
    assert file_lock.who_writes(new) != ""
    taken[0].release()
    assert file_lock.who_writes(new) == ""


def _locks_from_outside(folder):
    words = [sys.executable, "-c", HOLD, folder]
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode


def test_who_reads_meanwhile_meets_only_whole_tiles(made, tmp_path):
    folder, over, seen = tmp_path / "A.nh2st", threading.Event(), []
    header, grid, hidden, state = made

    def write():
        try:
            opened = PredictionStore.create(folder, GRID, CHUNK, header)
            for row in range(len(grid)):  # each tile by itself: every part is written many times
                opened.write(grid[[row]], hidden[[row]], state[[row]])
            opened.close()
        finally:
            over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not over.is_set():
        if folder.exists():
            opened = open_prediction(folder)
            is_right(opened, made, whole=False)
            seen.append(len(opened))
    writer.join()
    assert seen == sorted(seen)
    is_right(open_prediction(folder), made)


def test_saved_twice_is_the_second(tmp_path):
    first, second = prediction(undone=3), prediction(undone=9)
    save_prediction(first, tmp_path / "S.nh2st")
    again = open_prediction(save_prediction(second, tmp_path / "S.nh2st"))
    assert len(again) == len(second.only_done())
    assert [p.name for p in tmp_path.iterdir()] == ["S.nh2st"]
