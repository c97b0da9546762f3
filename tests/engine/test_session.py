"""A session: who waits is served from the focus outwards, and what can go wrong on the way."""

import os
import threading

import numpy as np
import pytest
import torch

from napari_nh2st.engine import block_encoder
from napari_nh2st.engine.model_runner import ModelRunner, folded, without_padding
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.out_of_memory import out_of_memory
from napari_nh2st.engine.places import neighbourhood, slide_box
from napari_nh2st.engine.session import Session
from napari_nh2st.errors import Cancelled, Nh2stError, SlideError
from napari_nh2st.geometry import SELF, Box, TileSet
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.folder import load_model
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import normalise
from napari_nh2st.slides import TissueMask, open_slide
from support.slides import picture, tiff

MPP = {"resolution": (1e4 / 0.8,) * 2, "resolutionunit": 3}
FOCUS = (1700.0, 1000.0)


def session(slide, model, *, pitch=None, **more):
    tissue = TissueMask.from_array(np.ones((15, 23), dtype=bool), slide.shape)
    return Session(
        slide,
        model,
        pitch=pitch,
        options=PredictionOptions(device="cpu", precision="fp32", **{"cache": False, "tissue": tissue, **more}),
    )


def collect(chunks, total, width):
    hidden = np.full((total, width), np.nan, dtype=np.float32)
    for chunk in chunks:
        hidden[chunk.indices] = chunk.hidden
    return hidden


_WHOLE = {}


def whole(slide, model, pitch=None):
    """Places of a whole slide and their hidden vectors, predicted once."""
    key = slide.fingerprint, model.hash, pitch
    if key not in _WHOLE:
        one = session(slide, model, pitch=pitch)
        places = one.places()
        _WHOLE[key] = places, collect(one.stream(places), len(places), model.net.decoder.in_features)
    return _WHOLE[key]


def assert_same(a, b):
    """Windows of another shape sum in another order: the last digits of what is stored may differ."""
    assert np.array_equal(np.isnan(a), np.isnan(b))
    assert np.nanmax(np.abs(a - b)) <= 4e-3 * max(1.0, float(np.nanmax(np.abs(b))))


def test_folding_changes_nothing_inside():
    torch.manual_seed(0)
    net = ResNet18(4, 16, 1)
    for _ in range(3):
        net(torch.randn(2, 3, 128, 128))
    net.eval()
    pixels = torch.randint(0, 256, (1, 512, 512, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = net(normalise(pixels))
        found = folded(net)(pixels.permute(0, 3, 1, 2).float())
    rim = -(-net.receptive_radius // 16)
    inner = (..., slice(rim, -rim), slice(rim, -rim))
    assert torch.allclose(found[inner], expected[inner], atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize(("stride", "blocks"), [(16, 1), (16, 2), (32, 1)])
def test_without_padding_a_window_gives_the_inner_cells(stride, blocks):
    torch.manual_seed(0)
    net = folded(ResNet18(4, stride, blocks).eval())
    radius, cells = net.receptive_radius, 5
    rim = -(-radius // stride)
    pixels = torch.randint(0, 256, (1, 3, *[(cells + 2 * rim) * stride] * 2)).float()
    with torch.inference_mode():
        expected = net(pixels)[..., rim:-rim, rim:-rim]
        first, side = rim * stride - radius, (cells - 1) * stride + 1 + 2 * radius
        found = without_padding(net)(pixels[..., first : first + side, first : first + side])
    assert found.shape == expected.shape == (1, 32, cells, cells)
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def test_bands_are_exact(context, monkeypatch):
    runner = ModelRunner(context.net, torch.device("cpu"), "fp32")
    side = runner.window_side(16)
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    at_once = runner.encode_window(pixels, lambda: False)
    monkeypatch.setattr("napari_nh2st.engine.model_runner.BUFFER", 1)
    monkeypatch.setattr("napari_nh2st.model.stain._AT_ONCE", (1, 3))
    assert np.allclose(runner.encode_window(pixels, lambda: False), at_once, atol=1e-4 * np.abs(at_once).max())


def test_a_graphics_card_joins_what_a_processor_joins():
    net = load_model("her2st").net  # it has a kernel head
    runner = ModelRunner(net, torch.device("cpu"), "fp32")
    side = runner.window_side(4)
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    expected = runner.encode_window(pixels, lambda: False)
    channels = net.encoder.channels
    assert expected.shape[2] > channels  # otherwise there is nothing to join
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    joined = runner._with_stain(torch.from_numpy(expected[..., :channels]), image)
    assert np.allclose(joined.numpy(), expected, atol=1e-4 * np.abs(expected).max())


def test_answers_come_from_the_focus_outwards(slide, model):
    places, expected = whole(slide, model)
    one = session(slide, model)
    order = []
    hidden = np.full_like(expected, np.nan)
    for chunk in one.stream(places, focus=FOCUS):
        hidden[chunk.indices] = chunk.hidden
        order.append(chunk.indices)
    distance = np.hypot(*(places.centres - FOCUS).T)
    assert distance[order[0]].min() <= distance.min() + 300
    came = distance[np.concatenate(order)]
    assert came[: len(came) // 4].mean() < 0.8 * came[-len(came) // 4 :].mean()
    assert_same(hidden, expected)


def test_a_panned_view_gives_the_numbers_of_the_whole_slide(slide, context):
    places, expected = whole(slide, context, pitch=16)
    at = {tuple(g): i for i, g in enumerate(places.grid)}
    one = session(slide, context, pitch=16)
    for box in (Box(300, 200, 900, 700), Box(500, 300, 1100, 800), Box(1500, 900, 2300, 1500)):
        part = one.places(box)
        found = collect(one.stream(part, focus=(box.x0, box.y0)), len(part), expected.shape[1])
        assert_same(found, expected[[at[tuple(g)] for g in part.grid]])


def test_a_second_question_encodes_only_what_is_new(slide, context):
    one = session(slide, context)
    left, both = one.places(Box(0, 0, 1000, 1500)), one.places(Box(0, 0, 1400, 1500))
    assert not one.ready(left)
    assert sum(c.encoded for c in one.stream(left)) == len(left)
    assert one.ready(left)
    assert sum(c.encoded for c in one.stream(left)) == 0
    assert 0 < sum(c.encoded for c in one.stream(both)) <= len(both) - len(left) // 2


def test_a_quick_look_is_the_patch_alone(slide, context):
    one = session(slide, context)
    places = one.places(Box(300, 200, 900, 700))
    quick = one.preview(places).astype(np.float32)
    corners = np.round(places.centres / one.scale - context.card.patch / 2).astype(int)
    side = context.card.patch
    patches = np.stack([slide.read(x, y, side, side, one.scale) for x, y in corners.tolist()])
    alone = np.zeros((len(places), 9), dtype=bool)
    alone[:, SELF] = True
    with torch.inference_mode():
        cells = context.net.encode(normalise(torch.from_numpy(patches)))[:, :, 0, 0]
        expected = context.net.hidden_vectors(Seen(cells[:, None].expand(-1, 9, -1), torch.from_numpy(alone))).numpy()
    assert_same(quick, expected)


def encoded_by(monkeypatch, one):
    """Windows that a session encodes from now on."""
    encode, windows = one.embeddings.encode, []
    monkeypatch.setattr(
        one.embeddings, "encode", lambda window, *rest: (windows.append(window), encode(window, *rest))[1]
    )
    return windows


def test_only_entries_that_places_need_are_encoded(slide, context, monkeypatch):
    one = session(slide, context)
    windows = encoded_by(monkeypatch, one)
    places = one.places(Box(500, 300, 1500, 1200))
    list(one.stream(places))
    needed = one._layout.group(places, np.arange(len(places))).entries
    height, width = needed.max(axis=0) - needed.min(axis=0) + 1
    assert sum(w.shape[0] * w.shape[1] for w in windows) == height * width
    first = min(windows, key=lambda w: (w.top, w.left))
    assert (first.top % 16, first.left % 16) != (0, 0)  # not of whole blocks


@pytest.fixture
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_cores")
def test_on_two_cores_windows_are_read_and_encoded_side_by_side(slide, context, monkeypatch):
    places, expected = whole(slide, context)
    monkeypatch.setattr(block_encoder, "LARGEST", 2)
    both, threads = threading.Barrier(2), []
    maps = ModelRunner._maps

    def meeting(*args):
        threads.append((threading.current_thread().name, torch.get_num_threads()))
        if len(threads) <= 2:
            both.wait(20)  # the first window waits for the second
        return maps(*args)

    monkeypatch.setattr(ModelRunner, "_maps", meeting)
    one = session(slide, context)
    assert_same(collect(one.stream(places), len(places), expected.shape[1]), expected)
    assert {cores for _, cores in threads} == {1}
    assert len({name for name, _ in threads}) == 2
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_cores")
def test_what_goes_wrong_in_a_window_ends_a_run_on_two_cores(slide, context, monkeypatch):
    monkeypatch.setattr(block_encoder, "LARGEST", 2)
    one, encoding = session(slide, context), []

    def stop(*_):
        encoding.append(1)
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(one.runner, "encode_window", stop)
    with pytest.raises(Nh2stError, match="not enough memory"):
        list(one.stream(one.places()))
    begun = len(encoding)
    with pytest.raises(Cancelled):
        list(one.stream(one.places(), cancelled=lambda: True))
    assert len(encoding) == begun


def test_a_block_is_completed_by_later_runs_and_sessions(slide, context, monkeypatch, tmp_path):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path))
    everywhere, expected = whole(slide, context, 16)
    left, right = (np.flatnonzero((everywhere.centres[:, 0] < 1111) == side) for side in (True, False))
    count = 0
    for part in (left, right, right, left):
        one = session(slide, context, pitch=16, cache=True)  # another one each time: from the disk
        windows = encoded_by(monkeypatch, one)
        found = collect(one.stream(everywhere.select(part)), len(part), expected.shape[1])
        assert_same(found, expected[part])
        count += sum(w.shape[0] * w.shape[1] for w in windows)
    entries = one._layout.group(everywhere, np.arange(len(everywhere))).entries
    assert count == np.prod(entries.max(axis=0) - entries.min(axis=0) + 1)  # each once
    across = range(1, one.embeddings.shape[1] // 16 - 1)  # blocks that places need whole
    assert any(one.embeddings.cache.has((-1 - 2, c)) for c in across)  # a part of a block was kept
    assert all(one.embeddings.cache.has((2, c)) for c in across)  # and then the whole


def test_holes_in_the_tissue_cost_nothing(slide, context):
    mask = np.zeros((15, 23), dtype=bool)
    mask[:4, :4] = mask[-4:, -4:] = True
    one = session(slide, context, tissue=TissueMask.from_array(mask, slide.shape))
    places = one.places()
    assert 0 < len(places) < 30
    list(one.stream(places))
    encoded = len(one._encoder.fresh)
    grid = np.prod([-(-n // one.embeddings.block) for n in one.embeddings.shape])
    assert encoded < 0.5 * grid


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 64 bytes."),  # Windows
    RuntimeError("GET was unable to find an engine to execute this computation"),
    MemoryError(),
]


@pytest.mark.parametrize("error", NO_MEMORY)
def test_a_lack_of_memory_is_known_by_what_is_raised(error):
    assert out_of_memory(error)


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("error", [NO_MEMORY[1], NO_MEMORY[-1]])
def test_without_memory_windows_are_halved(slide, context, monkeypatch, error):
    everywhere, hidden = whole(slide, context)
    near = np.flatnonzero((everywhere.centres < 1000).all(axis=1))  # a few halvings are enough
    places, expected = everywhere.select(near), hidden[near]
    encode, sizes = ModelRunner.encode_window, []

    def hungry(self, pixels, cancelled):
        sizes.append(pixels.shape[0] * pixels.shape[1])
        if pixels.shape[0] * pixels.shape[1] > 600 * 600:
            raise error
        return encode(self, pixels, cancelled)

    monkeypatch.setattr(ModelRunner, "encode_window", hungry)
    one = session(slide, context)
    assert_same(collect(one.stream(places), len(places), expected.shape[1]), expected)
    assert max(sizes) > 600 * 600
    assert one._encoder.largest < block_encoder.LARGEST


@pytest.mark.usefixtures("quick_collections")
def test_no_memory_at_all_is_one_line(slide, context, monkeypatch):
    def hungry(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(ModelRunner, "encode_window", hungry)
    one = session(slide, context)
    with pytest.raises(Nh2stError, match="not enough memory"):
        list(one.stream(one.places()))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert not out_of_memory(RuntimeError("size mismatch"))
    assert not out_of_memory(ValueError("out of memory"))


def test_two_slides_at_once(slide, context, tmp_path):
    other = open_slide(tiff(tmp_path / "other.tif", picture(1500, 2300)[::-1].copy(), **MPP))
    expected = [whole(s, context)[1] for s in (slide, other)]
    found: dict[int, np.ndarray] = {}

    def work(i, s):
        one = session(s, context)
        places = one.places()
        found[i] = collect(one.stream(places), len(places), expected[i].shape[1])

    threads = [threading.Thread(target=work, args=(i, s)) for i, s in enumerate((slide, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in (0, 1):
        assert_same(found[i], expected[i])
    assert not np.allclose(expected[0], expected[1], atol=1e-2)


def test_a_waiting_question_hears_its_own_cancel(slide, context):
    one = session(slide, context)
    running = one.stream(one.places())
    next(running)
    with pytest.raises(Cancelled):
        next(one.stream(one.places(), cancelled=lambda: True))
    running.close()
    assert len(list(one.stream(one.places())))


def test_a_slide_that_becomes_shorter_while_it_is_read_is_an_error_not_white(tmp_path, context):
    path = tiff(tmp_path / "s.tif", picture(1500, 2300), **MPP)
    slide = open_slide(path)
    one = session(slide, context)
    places = one.places()
    os.truncate(path, 2000)
    with pytest.raises(SlideError, match=r"can no longer be read .*shorter"):
        list(one.stream(places))
    assert not slide.warnings  # the tiles are not damaged: the disk is


def test_a_disk_that_fails_is_one_line_and_a_return_is_noticed(tmp_path, context, monkeypatch):
    slide = open_slide(tiff(tmp_path / "s.tif", picture(1500, 2300), **MPP))
    one = session(slide, context)
    places = one.places()
    with monkeypatch.context() as patch:
        patch.setattr("napari_nh2st.slides.file._read_all", _gone)
        with pytest.raises(SlideError, match="Stale file handle"):
            list(one.stream(places))
    assert sum(len(c.indices) for c in one.stream(places)) == len(places)


def test_nothing_of_a_slide_that_was_replaced_is_predicted_or_kept(tmp_path, context, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    path, other = (tiff(tmp_path / f"{i}.tif", picture(1500, 2300, seed=i), **MPP) for i in (0, 1))
    content, replaced, reads = path.read_bytes(), threading.Event(), []
    with open_slide(path) as slide:
        one = session(slide, context, cache=True)
        read = one.embeddings.read

        def read_slowly(window):
            """Two windows, and no other before the file is replaced: a fast machine may read ahead to the end."""
            reads.append(window)
            assert len(reads) <= 2 or replaced.wait(60)
            return read(window)

        monkeypatch.setattr(one.embeddings, "read", read_slowly)
        places = one.places()
        stream = one.stream(places, focus=FOCUS)
        next(stream)
        path.write_bytes(other.read_bytes())
        replaced.set()
        with pytest.raises(SlideError, match="has changed since it was opened: open it again"):
            list(stream)
        assert len(reads) > 2
    path.write_bytes(content)
    found = []
    for cached in (True, False):
        with open_slide(path) as slide:
            one = session(slide, context, cache=cached)
            found.append(collect(one.stream(places), len(places), context.net.decoder.in_features))
    assert_same(*found)


def _gone(*_):
    raise OSError(116, "Stale file handle")


def test_hidden_is_the_stream_and_neighbours_can_be_taken_away(slide, model):
    one = session(slide, model)
    places = one.places()
    expected = collect(one.stream(places), len(places), model.net.decoder.in_features)
    assert_same(one.hidden(places), expected)
    rng = np.random.default_rng(0)
    absent = rng.random((len(places), 9)) < 0.5
    found = one.hidden(places, absent=absent)
    assert np.isfinite(found).all()
    if not model.net.dense:
        assert np.array_equal(found, one.hidden(places))
        return
    centres, present = neighbourhood(places, model.card, slide_box(slide), one.tissue)
    present &= ~absent
    present[:, SELF] = True
    at = np.clip(centres.reshape(-1, 2), 0, None)
    seen = one.embed(TileSet.at(at, scale=one.scale, pitch=model.card.pitch)).reshape(len(places), 9, -1)
    with torch.inference_mode():
        fresh = model.net.hidden_vectors(Seen(torch.from_numpy(seen), torch.from_numpy(present))).numpy()
    assert_same(found.astype(np.float32), fresh)


def test_embed_gives_what_is_encoded(slide, model):
    one = session(slide, model)
    places = one.places()
    embedded = one.embed(places)
    assert embedded.shape == (len(places), model.net.embedding_dim)
    assert np.isfinite(embedded).all()
    with pytest.raises(Cancelled):
        session(slide, model).embed(places, cancelled=lambda: True)
