"""What training tissue looks like: what is usual, what is not, and the file."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from napari_nh2st.errors import ModelError, Nh2stError
from napari_nh2st.model.folder import load_reference, put_reference, save_model
from napari_nh2st.model.reference import (
    FEWEST,
    REFERENCE,
    UNLIKE,
    UNUSUAL,
    Part,
    fit_reference,
    read_reference,
    save_reference,
)
from support.models import small_model

DIM, CUT = 12, 8
MIX = np.random.default_rng(1).normal(size=(DIM, DIM))


def tiles(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated numbers, as embeddings are; `shift` moves one entry by so many of its standard deviations."""
    x = np.random.default_rng(seed).normal(size=(n, DIM)) @ MIX
    x[:, 3] += shift * np.linalg.norm(MIX[:, 3])
    return x


def fitted(n: int = 900, cut: int | None = CUT):
    side = int(n**0.5)
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 50.0
    two = np.concatenate([at, at])
    section = np.repeat([0, 1], len(at))
    colours = np.array([[0.4, 0.6, 0.3], [0.5, 0.7, 0.4]])
    return fit_reference(tiles(2 * len(at), 0), two, section, colours, patch=112, cut=cut)


def test_distance_is_mahalanobis_with_a_shrunk_covariance():
    x, reference = tiles(1800, 0), fitted(cut=None)
    z = (x - x.mean(0)) / x.std(0)
    precision = LedoitWolf(assume_centered=True).fit(z).precision_
    new = tiles(20, 5, shift=2)
    expected = [mahalanobis(row, np.zeros(DIM), precision) for row in (new - x.mean(0)) / x.std(0)]
    (part,) = reference.parts
    assert np.allclose(part.distance(new), expected, rtol=5e-3)
    assert np.allclose(reference.novelty(new), np.array(expected) / part.usual, rtol=5e-3)


def test_new_tiles_of_the_same_tissue_are_usual_and_others_are_not():
    reference = fitted()
    same = reference.novelty(tiles(4000, 7))
    assert 0.003 < (same > UNUSUAL).mean() < 0.03  # 1% of the training tiles that were held out
    assert (same > UNLIKE).mean() == 0
    assert (reference.novelty(tiles(400, 8, shift=10)) > UNLIKE).mean() > 0.95


def test_what_is_unlike_in_one_part_alone_is_found():
    reference = fitted()
    assert [(p.start, p.stop) for p in reference.parts] == [(0, CUT), (CUT, DIM)]
    odd = tiles(200, 9)
    odd[:, CUT:] *= 6
    assert (reference.novelty(odd) > UNUSUAL).mean() > 0.5
    assert (reference.parts[0].distance(odd) / reference.parts[0].usual > UNUSUAL).mean() < 0.05


def test_what_is_usual_is_settled_on_tiles_that_were_held_out():
    """Tissue that is another in every corner: judged by itself it would be usual, seen from the rest it is not."""
    side = 40
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 50.0
    own = tiles(len(at), 0)
    block = (at // 500).astype(int)
    own += np.random.default_rng(2).normal(size=(4, 4, DIM))[block[:, 1], block[:, 0]] * 20
    reference = fit_reference(own, at, np.zeros(len(at), int), np.ones((1, 3)), patch=112)
    assert np.percentile(reference.novelty(own), 99) < 0.9
    anywhere = np.random.default_rng(3).permutation(at)
    scattered = fit_reference(own, anywhere, np.zeros(len(at), int), np.ones((1, 3)), patch=1)
    assert np.percentile(scattered.novelty(own), 99) == pytest.approx(1, abs=0.05)


def test_too_little_tissue_says_nothing():
    assert (
        fit_reference(tiles(FEWEST - 1, 0), np.zeros((FEWEST - 1, 2)), np.zeros(FEWEST - 1, int), [], patch=1) is None
    )


def test_the_file_gives_the_same_answers_and_is_small(tmp_path):
    reference = fitted()
    save_reference(reference, tmp_path / REFERENCE)
    again = read_reference(tmp_path / REFERENCE)
    new = tiles(50, 3, shift=3)
    assert np.allclose(again.novelty(new), reference.novelty(new), rtol=1e-5)
    assert np.array_equal(again.colours, reference.colours)
    assert again.tiles == reference.tiles == 1800
    assert (tmp_path / REFERENCE).stat().st_size < 10_000


def test_a_model_folder_keeps_it(tmp_path):
    model = small_model(tmp_path)
    assert load_reference(model.path) is None
    before = (model.path / "model.safetensors").read_bytes()
    put_reference(fitted(), model.path)
    assert load_reference(model.path).dim == DIM
    assert (model.path / "model.safetensors").read_bytes() == before
    folder = save_model(model.net, model.card, tmp_path / "copy", reference=load_reference(model.path))
    assert load_reference(folder).tiles == 1800


def test_another_model_s_record_and_a_damaged_one_are_one_line(tmp_path):
    with pytest.raises(Nh2stError, match="not this model's"):
        fitted().novelty(np.zeros((3, DIM + 1)))
    (tmp_path / REFERENCE).write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="remove it, and the model works without it") as error:
        read_reference(tmp_path / REFERENCE)
    assert "\n" not in str(error.value)


def test_a_channel_that_never_woke_does_not_explode():
    x = tiles(1800, 0)
    x[:, 5] = 0
    at = np.random.default_rng(0).uniform(0, 3000, (1800, 2))
    reference = fit_reference(x, at, np.zeros(1800, int), np.ones((1, 3)), patch=112)
    new = tiles(100, 1)
    new[:, 5] = 0.01
    assert (reference.novelty(new) > UNLIKE).mean() < 0.05


def test_it_is_read_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None; from napari_nh2st.model.folder import load_reference, bundled_models;"
        "print([load_reference(m) is not None for m in bundled_models()])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "False" not in out


def test_a_part_takes_only_its_own_entries():
    part = Part(2, 4, np.zeros(2, np.float32), np.ones(2, np.float32), np.eye(2, dtype=np.float16), 1.0)
    assert part.distance(np.array([[9.0, 9.0, 3.0, 4.0, 9.0]])) == pytest.approx([5.0])
