"""The kernel head in closed form and stain statistics, against scikit-learn and written-out sums."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from napari_nh2st.geometry import SELF
from napari_nh2st.model import stain
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import build
from napari_nh2st.model.stain import STAIN_FEATURES, stain_maps
from napari_nh2st.training.network.kernel import ALPHA, GAMMA, LINEAR, KernelPart, fit_kernel, join_parts, split_parts

ARCH = {"width": 4, "dim": 16, "hidden": 12, "heads": 4}


def net(landmarks, rank, **more):
    torch.manual_seed(0)
    return build(Architecture(landmarks=landmarks, kernel_rank=rank, **ARCH, **more), 5).eval()


SIZES = (2 * STAIN_FEATURES, 2 * 8 * 4)  # stain statistics and embeddings of a place and its neighbours


def data(n=40, genes=5):
    dim = sum(SIZES)
    rng = np.random.default_rng(0)
    raw = rng.normal(2, 0.3, (n, dim)).astype(np.float32)
    return raw, (np.tanh(raw[:, :genes] - 2) + 0.1 * rng.normal(size=(n, genes))).astype(np.float32)


def test_the_maps_are_moments_of_optical_density():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (1, 3, 160, 176)).astype(np.float32)
    maps = stain_maps(torch.from_numpy(pixels), 16).numpy()
    assert maps.shape == (1, STAIN_FEATURES, 4, 5)
    density = -np.log((pixels[0] + 1) / 256)
    row, column = 2, 1  # round the place ((1 + 3) * 16, (2 + 3) * 16)
    square = density[:, (row + 3) * 16 - 56 : (row + 3) * 16 + 56, (column + 3) * 16 - 56 : (column + 3) * 16 + 56]
    assert np.allclose(maps[0, :3, row, column], square.mean(axis=(1, 2)), atol=1e-5)
    assert np.allclose(maps[0, 3:6, row, column], square.std(axis=(1, 2)), atol=1e-4)
    wide = density[:, (row + 3) * 16 - 57 : (row + 3) * 16 + 57, (column + 3) * 16 - 57 : (column + 3) * 16 + 57]
    nine = np.mean([wide[:, i : i + 112, j : j + 112] for i in range(3) for j in range(3)], axis=0)
    assert np.allclose(maps[0, 6:9, row, column], np.abs(square - nine).mean(axis=(1, 2)), atol=1e-5)


@pytest.mark.parametrize("stride", [16, 32])
def test_the_fast_maps_are_the_plain_ones_away_from_borders(stride, monkeypatch):
    monkeypatch.setattr(stain, "_AT_ONCE", (2, 5))
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (12 * stride, 15 * stride, 3), dtype=np.uint8)
    pixels[: 5 * stride] = rng.normal(225, 4, (5 * stride, *pixels.shape[1:])).clip(0, 255)  # pale tissue
    pixels[:, : 3 * stride] = pixels[:, : 3 * stride].mean(axis=2, keepdims=True, dtype=np.float32)
    plain = stain_maps(torch.from_numpy(pixels).permute(2, 0, 1)[None], stride)[0].permute(1, 2, 0).numpy()
    rim = stride // 2 - stain.STAIN_MARGIN  # the first whole cell begins half a cell inside
    rows, columns = 10, 13
    inner = pixels[rim : rim + rows * stride + 8, rim : rim + columns * stride + 8]
    found = stain.stain_inside(inner, stride)
    assert found.shape == (rows - 6, columns - 6, STAIN_FEATURES)
    expected = plain[1 : 1 + rows - 6, 1 : 1 + columns - 6]
    assert np.allclose(found, expected, atol=2e-5)


def test_even_colour_has_no_spread_and_no_texture():
    maps = stain_maps(torch.full((1, 3, 160, 160), 100.0), 16)
    assert torch.allclose(maps[:, :3], torch.full((), -np.log(101 / 256), dtype=torch.float32))
    assert maps[:, 3:].max() < 5e-3  # what single precision leaves of equal squares


@pytest.mark.parametrize("weights", [None, np.random.default_rng(3).uniform(0.2, 2, 40)], ids=["equal", "weighed"])
def test_with_all_spots_as_landmarks_it_is_kernel_ridge_regression(weights):
    raw, targets = data()
    model = net(40, 5)
    rows = fit_kernel(model, raw, targets, 0, weights).columns
    new = data(n=12)[0] + 0.1
    mean, std = raw.mean(axis=0), raw.std(axis=0)
    z, z_new = ((v - mean) / std for v in (raw, new))
    z_new = z_new.clip(-5, 5)

    def kernel(a, b):
        total, start = 0.0, 0
        for n in SIZES:
            u, v = a[start : start + n], b[start : start + n]
            total += np.exp(-GAMMA / n * ((u - v) ** 2).sum()) + LINEAR * (u @ v) / n
            start += n
        return total / len(SIZES)

    expected = KernelRidge(alpha=ALPHA, kernel=kernel).fit(z, targets, sample_weight=weights).predict(z_new)
    found = (model.kernel_head(torch.from_numpy(new)) @ rows.T).numpy()
    assert np.allclose(found, expected, atol=2e-3)


def test_what_is_left_of_a_spot_is_its_error_in_a_fit_without_it():
    raw, targets = data()
    weights = np.random.default_rng(3).uniform(0.2, 2, 40)
    model = net(40, 5)
    left = fit_kernel(model, raw, targets, 0, weights).left
    features = model.kernel_head.features(model.kernel_head.standardise(torch.from_numpy(raw))).double().numpy()
    sizes = np.repeat(SIZES, SIZES) * len(SIZES) / LINEAR
    gram = (features[:, : len(sizes)] / sizes) @ features[:, : len(sizes)].T + features[:, len(sizes) :]
    others = np.arange(1, 40)
    fit = KernelRidge(alpha=ALPHA, kernel="precomputed")
    fit.fit(gram[np.ix_(others, others)], targets[others], sample_weight=weights[others])
    assert np.allclose(left[0], targets[0] - fit.predict(gram[:1, others])[0], atol=2e-3)
    assert (left**2).sum() > ((targets - gram @ KernelRidge(alpha=ALPHA, kernel="precomputed")
        .fit(gram, targets, sample_weight=weights).dual_coef_) ** 2).sum()  # fmt: skip


def test_fewer_landmarks_come_close_and_a_low_rank_keeps_what_varies():
    raw, targets = data(n=200)
    full, few = net(200, 5), net(60, 5)
    exact = full.kernel_head.forward
    rows = fit_kernel(full, raw, targets, 0).columns
    near = fit_kernel(few, raw, targets, 0).columns
    a, b = (exact(torch.from_numpy(raw)) @ rows.T).numpy(), (few.kernel_head(torch.from_numpy(raw)) @ near.T).numpy()
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9
    low = net(200, 2)
    thin = fit_kernel(low, raw, targets, 0).columns
    c = (low.kernel_head(torch.from_numpy(raw)) @ thin.T).numpy()
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    assert np.allclose(c, (u[:, :2] * s[:2]) @ vt[:2], atol=2e-3)


def test_an_artefact_does_not_run_away():
    raw, targets = data()
    model = net(40, 5)
    rows = fit_kernel(model, raw, targets, seed=0).columns
    wild = torch.full((1, raw.shape[1]), 1e6)
    assert torch.isfinite(model.kernel_head(wild)).all()
    assert (model.kernel_head(wild) @ rows.T).abs().max() < 20


def test_parts_are_joined_and_parted_again():
    raw, targets = data()
    model = net(40, 5)
    split_parts(model, 1.0)
    rows = fit_kernel(model, raw, targets, seed=0).columns
    learnt = torch.randn(3, 12)
    stain = model.kernel_head(torch.from_numpy(raw[:3]))
    alone = model.learnt(learnt).detach()
    join_parts(model, KernelPart(rows, 0.8, 0.2))
    both = model.decoder(torch.cat([learnt, stain], dim=1))
    assert torch.allclose(both, 0.2 * alone + 0.8 * stain @ rows.T, atol=1e-5)
    split_parts(model, 0.2)
    assert torch.allclose(model.decoder(torch.cat([learnt, stain], dim=1)), alone, atol=1e-5)


def test_a_place_without_neighbours_has_its_own_description_for_theirs():
    model = net(8, 5)
    channels, size = model.encoder.channels, model.embedding_dim
    own, nodes = torch.randn(2, size), torch.randn(2, 9, size)
    present = torch.zeros(2, 9, dtype=torch.bool)
    present[:, 4] = True
    present[1, 0] = present[1, 1] = True
    stain, twice, learnt, beside = model.around(own, nodes, present).split(
        [STAIN_FEATURES, STAIN_FEATURES, channels, channels], dim=1
    )
    assert torch.equal(stain, own[:, channels:])
    assert torch.equal(learnt, own[:, :channels])
    assert torch.equal(twice[0], own[0, channels:])
    assert torch.allclose(beside[1], nodes[1, :2, :channels].mean(0))
    assert torch.equal(net(8, 5, neighbours=False, kernel_on="stain").around(own, nodes, present), own[:, channels:])


@pytest.mark.parametrize("neighbours", [True, False])
def test_neighbours_change_a_prediction_only_where_the_model_looks_at_them(neighbours):
    model = net(8, 5, neighbours=neighbours)
    with torch.no_grad():
        model.kernel_head.gamma.fill_(0.1)
        model.kernel_head.project.normal_()
    size = model.embedding_dim
    nodes, present = torch.randn(2, 9, size), torch.ones(2, 9, dtype=torch.bool)
    other = nodes + torch.randn(2, 9, size)
    other[:, SELF] = nodes[:, SELF]
    same = torch.allclose(model.hidden_vectors(Seen(nodes, present)), model.hidden_vectors(Seen(other, present)))
    assert same is not neighbours
