import math

import torch

from napari_nh2st.training.objectives.contrast import TEMPERATURE, info_nce, paper_contrast


def test_collapse_is_not_rewarded_by_info_nce():
    same = torch.ones(8, 16)
    assert info_nce(same, same).item() >= math.log(8) - 1e-5


def test_the_published_contrast_rewards_collapse():
    """Kept for parity: this is why `context` does not use it (cosine 1 over the temperature is 20, the rest is 2)."""
    same = torch.ones(8, 16)
    expected = math.log(1 + 7 * math.exp(-0.9 / TEMPERATURE))
    assert abs(paper_contrast(same, same).item() - expected) < 1e-6


def test_info_nce_is_small_for_matching_pairs_and_symmetric():
    torch.manual_seed(0)
    a, b = torch.randn(6, 32), torch.randn(6, 32)
    assert info_nce(a, a).item() < 0.01
    assert torch.isclose(info_nce(a, b), info_nce(b, a))


def test_info_nce_by_hand():
    image, gene = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    logits = torch.tensor([[1.0, 1.0], [0.0, 0.0]]) / TEMPERATURE

    def entropy(rows):
        return sum(-math.log(math.exp(r[i]) / (math.exp(r[0]) + math.exp(r[1]))) for i, r in enumerate(rows)) / 2

    expected = (entropy(logits.tolist()) + entropy(logits.T.tolist())) / 2
    assert abs(info_nce(image, gene).item() - expected) < 1e-4
