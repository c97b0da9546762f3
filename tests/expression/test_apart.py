"""Reading in another process: what hangs or crashes there is one line here."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, apart, read_expression
from napari_nh2st.expression.counts import Counts
from support.h5ad import CENTRES, COUNTS, made


@pytest.fixture
def readers(monkeypatch):
    """Processes of this test alone."""
    own = apart._Readers()
    monkeypatch.setattr(apart, "_readers", own)
    yield own
    own.close()


def program(monkeypatch, code):
    monkeypatch.setattr(apart, "PROGRAM", (sys.executable, "-c", f"import os, sys, time; sys.stdin.readline(); {code}"))


def test_one_process_reads_one_file_after_another(tmp_path, readers):
    path = made(tmp_path / "d.h5ad")
    for _ in range(2):
        counts = Counts.received(*apart.read_apart("h5ad", path))
        assert np.array_equal(counts.to_anndata().X.toarray(), COUNTS)
        assert np.array_equal(counts.centres, CENTRES)
    assert len(readers._idle) == 1


def test_a_bad_file_ends_its_process_and_harms_no_other(tmp_path, readers):
    (tmp_path / "bad.h5ad").write_bytes(b"not HDF5")
    with pytest.raises(SampleError, match=r"bad\.h5ad: it is not an HDF5 file"):
        apart.read_apart("h5ad", tmp_path / "bad.h5ad")
    assert readers._idle == []
    assert apart.read_apart("h5ad", made(tmp_path / "d.h5ad"))[0]["genes"] == ["A", "B", "C", "D"]


def test_a_process_that_ended_meanwhile_is_replaced(tmp_path, readers):
    path = made(tmp_path / "d.h5ad")
    apart.read_apart("h5ad", path)
    readers._idle[0]._process.kill()
    readers._idle[0]._process.wait()
    assert apart.read_apart("h5ad", path)[0]["spots"][0] == "spot0"


def test_threads_do_not_wait_for_one_another(tmp_path, readers):
    path, read = made(tmp_path / "d.h5ad"), []
    threads = [threading.Thread(target=lambda: read.append(apart.read_apart("h5ad", path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 3
    assert len(readers._idle) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_is_one_line(tmp_path, readers, monkeypatch):
    program(monkeypatch, "os.kill(os.getpid(), 11)")
    with pytest.raises(SampleError, match=r"ended the process that read it \(signal 11\); it is damaged"):
        apart.read_apart("h5ad", made(tmp_path / "d.h5ad"))


def test_what_never_ends_is_one_line(tmp_path, readers, monkeypatch):
    program(monkeypatch, "time.sleep(60)")
    monkeypatch.setattr(apart, "_START", 0.1)
    monkeypatch.setattr(apart, "_GRACE", 0.1)
    with pytest.raises(SampleError, match="did not end within"):
        apart.read_apart("h5ad", made(tmp_path / "d.h5ad"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO")
@pytest.mark.parametrize(("kind", "name"), [("h5ad", "d.h5ad"), ("st-tsv", "d.tsv")])
def test_a_fifo_is_not_waited_for(tmp_path, kind, name):
    os.mkfifo(tmp_path / name)
    sample = Sample("S", "P", tmp_path, tmp_path / name, kind, tmp_path / name)
    with pytest.raises(SampleError, match=r"not a plain file|a pipe or a device"):
        read_expression(sample)


def test_the_process_ends_with_the_one_that_asked(tmp_path):
    path = made(tmp_path / "d.h5ad")
    code = (
        "import sys; from pathlib import Path; from napari_nh2st.expression import apart; "
        "apart.read_apart('h5ad', Path(sys.argv[1])); print(apart._readers._idle[0]._process.pid); "
        "import os; sys.stdout.flush(); os.kill(os.getpid(), 9)"
    )
    told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    pid = int(told.stdout)
    for _ in range(100):
        if not Path(f"/proc/{pid}/stat").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        threading.Event().wait(0.05)
    pytest.fail("the process lives on")


def test_spots_off_tissue_are_left_out_and_counted(tmp_path):
    path = made(tmp_path / "d.h5ad", lambda data: data.obs.insert(0, "in_tissue", [1, 1, 0, 1, 1, 0]))
    data = read_expression(Sample("S", "P", tmp_path, path, "h5ad"))
    assert list(data.obs_names) == ["spot0", "spot1", "spot3", "spot4"]
    assert data.uns["nh2st"]["off_tissue"] == 2


def test_a_file_with_no_spot_under_tissue_is_refused(tmp_path):
    path = made(tmp_path / "d.h5ad", lambda data: data.obs.insert(0, "in_tissue", [0] * 6))
    with pytest.raises(SampleError, match="no spot lies under tissue"):
        read_expression(Sample("S", "P", tmp_path, path, "h5ad"))
