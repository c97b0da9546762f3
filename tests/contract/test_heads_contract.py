"""Every head of the table keeps the contract of `HeadNetwork`; a new row is tested here by being in the table."""

import dataclasses

import pytest
import torch

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture, Card
from napari_nh2st.model.folder import load_model, save_model
from napari_nh2st.model.heads.seen import Seen, SlideSample
from napari_nh2st.model.heads.table import HEADS, SAMPLE_PLACES
from napari_nh2st.model.nh2st import build_without_numbers
from napari_nh2st.training.objectives.table import checked
from support.heads import GENES, SLIDES, net_of, part_of, seen_by
from support.models import small_card

EVERY_HEAD = pytest.mark.parametrize("name", HEADS)


def with_sample(seen, **changes):
    return dataclasses.replace(seen, sample=dataclasses.replace(seen.sample, **changes))


def close(a, b):
    return torch.allclose(a, b, atol=2e-5 * float(b.abs().max()) + 1e-6)


@EVERY_HEAD
def test_the_row_says_what_it_is(name):
    row = HEADS[name]
    assert row.name == name
    assert row.about.endswith(".")
    assert row.cite
    assert row.tokens[:2] == ("target", "near")
    assert checked(row.objectives)
    for option in row.options.model_fields.values():
        assert option.description
        assert option.is_required() is False


@EVERY_HEAD
@torch.inference_mode()
def test_a_batch_of_one_equals_a_batch_of_many(name):
    net = net_of(name)
    seen = seen_by(net)
    together = net.hidden_vectors(seen)
    assert together.shape == (7, 12)
    assert together.std(0).min() > 1e-4
    for i in range(7):
        assert close(net.hidden_vectors(part_of(seen, [i])), together[i : i + 1])


@EVERY_HEAD
@torch.inference_mode()
def test_training_looks_as_prediction_does(name):
    net = net_of(name)
    seen = seen_by(net)
    hidden, tokens = net.look(seen)
    assert close(hidden, net.hidden_vectors(seen))
    for scale in net.arch.row.tokens:
        assert tokens.scale(scale).shape == (7, 16)
        assert tokens.scale(scale).std(0).max() > 1e-4, scale


@EVERY_HEAD
@torch.inference_mode()
def test_a_sample_that_was_digested_once_gives_the_same(name):
    net = net_of(name)
    seen = part_of(seen_by(net), [0, 2, 4])  # of the first slide
    first = SlideSample(*(t[:1] for t in vars(seen.sample).values()))
    if "sample" in net.needs:
        sample, digest = net.digest(first)
        once = dataclasses.replace(seen, sample=sample, digest=digest, slide=None)
        assert close(net.hidden_vectors(once), net.hidden_vectors(seen))


@EVERY_HEAD
@torch.inference_mode()
def test_order_does_not_matter(name):
    """Of the places asked for, of the eight round a place (training turns tissue), of the sample, and of slides."""
    net = net_of(name)
    seen = seen_by(net)
    expected = net.hidden_vectors(seen)
    order = torch.randperm(7)
    assert close(net.hidden_vectors(part_of(seen, order)), expected[order])
    turn = [2, 5, 8, 1, 4, 7, 0, 3, 6]  # a quarter turn; SELF stays
    turned = dataclasses.replace(seen, nine=seen.nine[:, turn], present=seen.present[:, turn])
    assert close(net.hidden_vectors(turned), expected)
    mixed = torch.randperm(SAMPLE_PLACES)
    each = {field: values[:, mixed] for field, values in vars(seen.sample).items()}
    assert close(net.hidden_vectors(with_sample(seen, **each)), expected)
    swapped = {field: values.flip(0) for field, values in vars(seen.sample).items()}
    assert close(net.hidden_vectors(dataclasses.replace(with_sample(seen, **swapped), slide=1 - seen.slide)), expected)


@EVERY_HEAD
@torch.inference_mode()
def test_what_is_not_needed_changes_nothing_and_what_is_does(name):
    net = net_of(name)
    seen = seen_by(net)
    expected = net.hidden_vectors(seen)
    others = seen.nine + torch.randn(seen.nine.shape)
    others[:, SELF] = seen.nine[:, SELF]
    changed = {
        "nine": dataclasses.replace(seen, nine=others),
        "sample": with_sample(seen, embeddings=torch.randn(seen.sample.embeddings.shape)),
        "places": dataclasses.replace(with_sample(seen, centres=3000 * torch.rand(SLIDES, SAMPLE_PLACES, 2))),
    }
    for need, other in changed.items():
        assert close(net.hidden_vectors(other), expected) is (need not in net.needs), need
    own = seen.nine.clone()
    own[:, SELF] += 1
    assert not close(net.hidden_vectors(dataclasses.replace(seen, nine=own)), expected)


@pytest.mark.parametrize("name", [name for name, row in HEADS.items() if row.dense])
@torch.inference_mode()
def test_a_head_that_is_told_to_leave_the_neighbours_out_does(name):
    net = net_of(name, neighbours=False)
    seen = seen_by(net)
    others = seen.nine + torch.randn(seen.nine.shape)
    others[:, SELF] = seen.nine[:, SELF]
    other = dataclasses.replace(seen, nine=others)
    for look in (net.hidden_vectors, lambda seen: net.look(seen)[0]):  # prediction, training
        assert close(look(other), net.hidden_vectors(seen))
    assert "nine" not in net.needs


@EVERY_HEAD
@torch.inference_mode()
def test_what_is_absent_changes_nothing(name):
    net = net_of(name)
    seen = seen_by(net)
    wild = seen.nine.clone()
    wild[~seen.present] = 50
    sample = seen.sample.embeddings.clone()
    sample[~seen.sample.present] = 50
    centres = seen.sample.centres.clone()
    centres[~seen.sample.present] = -1e5
    other = dataclasses.replace(with_sample(seen, embeddings=sample, centres=centres), nine=wild)
    assert close(net.hidden_vectors(other), net.hidden_vectors(seen))


@EVERY_HEAD
@torch.inference_mode()
def test_places_are_seen_from_the_target_not_from_the_slide_s_corner(name):
    net = net_of(name)
    seen = seen_by(net)
    moved = dataclasses.replace(with_sample(seen, centres=seen.sample.centres + 5000), centres=seen.centres + 5000)
    near = net.hidden_vectors(seen)
    assert (net.hidden_vectors(moved) - near).abs().max() < 1e-3 * near.abs().max()


@EVERY_HEAD
@torch.inference_mode()
def test_a_slide_of_which_nothing_is_known_has_an_answer(name):
    net = net_of(name)
    seen = seen_by(net)
    alone = torch.zeros_like(seen.present)
    alone[:, SELF] = True
    empty = with_sample(seen, present=torch.zeros_like(seen.sample.present))
    for other in (Seen(seen.nine, alone), dataclasses.replace(empty, present=alone)):
        assert net.hidden_vectors(other).isfinite().all()


@EVERY_HEAD
def test_every_parameter_gets_a_gradient(name):
    net = net_of(name).train()
    images = torch.randn(4, 3, 112, 112)
    maps = net.encode_learnt(images)[:, :, 0, 0] if net.dense else net.encoder(images)
    seen = part_of(seen_by(net), [0, 1, 2, 3])
    scaled = torch.rand(4, 9, *[1] * (maps.ndim - 1))
    hidden, tokens = net.look(dataclasses.replace(seen, nine=maps[:, None] * scaled))
    loss = net.learnt(hidden).square().mean()
    for scale in net.arch.row.tokens:
        loss = loss + tokens.scale(scale).square().mean()
    loss.backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@EVERY_HEAD
def test_save_and_load_to_the_byte(name, tmp_path):
    net, card = net_of(name), small_card(name)
    card = card.model_copy(update={"architecture": net.arch})
    model = load_model(save_model(net, card, tmp_path / "a"))
    again = load_model(save_model(model.net, model.card, tmp_path / "b"))
    assert again.hash == model.hash
    assert again.card.architecture == model.card.architecture == net.arch
    assert again.card.architecture.options == net.arch.options
    for key, values in net.state_dict().items():
        assert torch.equal(values, again.net.state_dict()[key]), key


@EVERY_HEAD
def test_shapes_are_known_before_memory_is_taken(name):
    net = net_of(name)
    shapes = {k: v.shape for k, v in build_without_numbers(net.arch, GENES).state_dict().items()}
    assert shapes == {k: v.shape for k, v in net.state_dict().items()}


def test_an_unknown_head_or_option_is_one_line():
    with pytest.raises(ValueError, match="no head 'nothing': choose one of context, paper"):
        Architecture(variant="nothing")
    with pytest.raises(ValueError, match=r"head context: option layers: .* \(it has none\)"):
        Architecture(head_options={"layers": 3})
    assert Card(name="c", mpp=1, pitch=144, genes=["A"]).architecture.head_options == {}
