"""The head at work: batches and threads change nothing, and where memory is short, less is done at once."""

import numpy as np
import pytest
import torch

from napari_nh2st.engine.compute_threads import compute_threads
from napari_nh2st.engine.head_runner import HeadRunner, batches
from napari_nh2st.engine.model_runner import ModelRunner
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import SELF
from napari_nh2st.model.folded_head import FoldedHead
from napari_nh2st.model.heads.seen import Seen

CPU = torch.device("cpu")


def neighbourhoods(net, cells=300, places=500):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(cells, net.embedding_dim)).astype(np.float32)
    nine = rng.integers(cells, size=(places, 9)).astype(np.int32)
    present = rng.random((places, 9)) > 0.3
    present[:, SELF] = True
    own = nine[:, SELF].copy()
    return embeddings, own, np.where(present, nine, own[:, None]), present


def plainly(net, cells, own, nine, present):
    with torch.inference_mode():
        return net.hidden_vectors(Seen(*(torch.from_numpy(a) for a in (cells[nine], present)))).numpy()


def assert_same(a, b):
    assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


def test_it_is_the_network(model):
    looked = neighbourhoods(model.net)
    assert_same(HeadRunner(model.net, CPU)(*looked), plainly(model.net, *looked))


def test_a_runner_s_precision_is_its_head_s(context):
    looked = neighbourhoods(context.net)
    exact, half = (ModelRunner(context.net, CPU, precision).hidden_vectors(*looked) for precision in ("fp32", "bf16"))
    assert 0 < np.abs(half - exact).max() < 0.02 * np.abs(exact).max()


@pytest.fixture
def threads():
    """Set the number of torch's threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_threads_change_no_byte_and_leave_torch_s_threads_alone(context, threads):
    runner, looked = HeadRunner(context.net, CPU), neighbourhoods(context.net)
    threads(1)
    expected = runner(*looked)
    threads(3)
    assert np.array_equal(runner(*looked), expected)
    assert torch.get_num_threads() == 3


def test_a_thread_that_comes_later_has_all_of_torch_s_threads(context, threads):
    from concurrent.futures import ThreadPoolExecutor

    threads(2)
    compute_threads.cache_clear()
    HeadRunner(context.net, CPU)(*neighbourhoods(context.net))
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 2


def test_a_thread_of_the_head_computes_alone(context, threads, monkeypatch):
    counts, look = [], FoldedHead.look

    def counted(*args):
        counts.append(torch.get_num_threads())
        return look(*args)

    threads(2)
    compute_threads.cache_clear()
    monkeypatch.setattr(FoldedHead, "look", counted)
    HeadRunner(context.net, CPU)(*neighbourhoods(context.net))
    assert counts == [1, 1, 1]


def test_an_error_in_a_thread_is_raised(context, threads, monkeypatch):
    def fail(*_):
        raise ValueError("no such place")

    threads(2)
    monkeypatch.setattr(FoldedHead, "look", fail)
    with pytest.raises(ValueError, match="no such place"):
        HeadRunner(context.net, CPU)(*neighbourhoods(context.net))


@pytest.mark.parametrize(
    ("count", "number"), [(0, 0), (1, 1), (63, 1), (64, 2), (192, 2), (384, 2), (385, 3), (1000, 6)]
)
def test_batches_are_of_about_one_size(count, number):
    parts = batches(count, 192)
    assert len(parts) == number
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes, default=0) <= 192
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def hungry(function, limit, sizes, count_of):
    """A function of a device that has no memory for more than `limit` rows."""

    def asked(*args):
        sizes.append(count_of(*args))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return function(*args)

    return asked


def test_without_memory_fewer_places_are_looked_at_at_once(model, monkeypatch):
    runner, looked, sizes = HeadRunner(model.net, CPU), neighbourhoods(model.net), []
    expected = runner(*looked)
    cells = []

    def count(_, seen, own, *__):
        cells.append(len(seen))
        return len(own)

    monkeypatch.setattr(HeadRunner, "_look", hungry(HeadRunner._look, 130, sizes, count))
    assert_same(runner(*looked), expected)
    assert sizes == [500, 250, 125, 125, 125, 125]
    assert cells[0] == 300
    if model.net.dense:
        assert max(cells[2:]) <= 300
    else:
        assert max(cells[2:]) < 300  # cells that no place of a part sees are left out
    sizes.clear()
    assert_same(runner(*looked), expected)
    assert sizes == [125] * 4  # it remembers


def test_without_memory_fewer_patches_are_encoded_at_once(model, monkeypatch):
    runner, sizes = ModelRunner(model.net, CPU, "fp32"), []
    side = model.card.patch
    patches = np.random.default_rng(0).integers(0, 256, (10, side, side, 3)).astype(np.uint8)
    expected = runner.encode_patches(patches, lambda: False)
    monkeypatch.setattr(runner.net, "encode", hungry(runner.net.encode, 3, sizes, len), raising=False)
    assert_same(runner.encode_patches(patches, lambda: False), expected)
    assert sizes == [10, 5, 3, 3, 3, 1]


def test_no_memory_for_one_place_is_one_line(model, monkeypatch):
    runner = ModelRunner(model.net, CPU, "fp32")
    looked = neighbourhoods(model.net, places=5)
    monkeypatch.setattr(HeadRunner, "_look", hungry(HeadRunner._look, 0, [], lambda _, __, own, *___: len(own)))
    with pytest.raises(Nh2stError, match="not enough memory"):
        runner.hidden_vectors(*looked)
    monkeypatch.setattr(runner.net, "encode", hungry(runner.net.encode, 0, [], len), raising=False)
    with pytest.raises(Nh2stError, match="not enough memory"):
        runner.encode_patches(np.zeros((2, model.card.patch, model.card.patch, 3), np.uint8), lambda: False)


def test_other_errors_halve_nothing(model, monkeypatch):
    sizes = []

    def broken(_, __, own, *___):
        sizes.append(len(own))
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(HeadRunner, "_look", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        HeadRunner(model.net, CPU)(*neighbourhoods(model.net))
    assert sizes == [500]
