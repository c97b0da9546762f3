"""What the learnt head sees of an embedding: main directions and stain, in units of their own."""

import torch

from napari_nh2st.model.head_inputs import HeadInputs

CHANNELS, STAIN = 12, 3


def embeddings(n=400):
    """Two directions carry nearly all of twelve channels of unlike size; one channel never varies."""
    torch.manual_seed(0)
    hidden = torch.randn(n, 2) * torch.tensor([3.0, 1.0])
    values = (hidden @ torch.randn(2, CHANNELS) + 0.01 * torch.randn(n, CHANNELS)) * torch.logspace(-2, 2, CHANNELS)
    values[:, 5] = 7.0
    return torch.cat([values + 4, torch.randn(n, STAIN) * 0.1 + 0.5], dim=1), hidden


def fitted(columns=4):
    inputs = HeadInputs(CHANNELS + STAIN, columns + STAIN)
    values, hidden = embeddings()
    inputs.fit(values, STAIN)
    return inputs, values, hidden


def test_columns_have_no_mean_and_stand_in_the_order_of_what_they_carry():
    inputs, values, _ = fitted()
    seen = inputs(values)
    assert seen.shape == (400, 4 + STAIN)
    assert seen.mean(0).abs().max() < 1e-3
    spread = seen.std(0, unbiased=False)
    assert torch.allclose(spread[0], torch.tensor(2.0), atol=0.05)  # less what is clipped in the fit
    assert (spread[:4].diff() <= 1e-4).all()
    assert spread[2] < 0.05  # nothing but noise is left
    assert torch.allclose(spread[4:], torch.ones(STAIN), atol=1e-3)


def test_the_first_columns_tell_what_the_channels_hide():
    inputs, values, hidden = fitted()
    seen = inputs(values)[:, :2]
    left = hidden - seen @ torch.linalg.lstsq(seen, hidden).solution
    assert left.var() < 0.01 * hidden.var()


def test_a_channel_that_never_varied_is_not_seen():
    inputs, values, _ = fitted()
    changed = values.clone()
    changed[:, 5] += 100
    assert torch.equal(inputs(values), inputs(changed))
    assert torch.isfinite(inputs.project.half()).all()  # models are shipped in 16 bits


def test_of_fewer_spots_than_columns_there_are_fewer_directions():
    inputs = HeadInputs(CHANNELS + STAIN, 6 + STAIN)
    inputs.fit(embeddings()[0][:3], STAIN)
    assert torch.equal(inputs.project[3:6], torch.zeros(3, CHANNELS + STAIN))
    assert torch.isfinite(inputs(embeddings()[0])).all()
