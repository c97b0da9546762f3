"""Every objective of the table keeps the contract of `Objective`, with every head."""

import dataclasses

import pytest
import torch

from napari_nh2st.geometry import SELF
from napari_nh2st.model.heads.table import HEADS
from napari_nh2st.training.objectives.table import OBJECTIVES, checked
from support.heads import GENES, net_of, seen_by
from support.models import step_of

EVERY_OBJECTIVE = pytest.mark.parametrize("name", OBJECTIVES)


def objective_of(name, net):
    torch.manual_seed(2)
    row = OBJECTIVES[name]
    return row.load()(row.options(), net.arch, GENES)


def labelled(net, n=7):
    torch.manual_seed(3)
    seen = seen_by(net, n)
    known = torch.rand(n, 9) > 0.3
    known[:, SELF] = True
    return step_of(net, seen, torch.randn(n, 9, GENES), known)


@EVERY_OBJECTIVE
def test_the_objective_s_row_says_what_it_is(name):
    row = OBJECTIVES[name]
    assert row.name == name
    assert row.about.endswith(".")
    assert row.cite
    assert all(field.description for field in row.options.model_fields.values())
    assert checked({name: None})[name] == row.options().model_dump(mode="json")


@EVERY_OBJECTIVE
@pytest.mark.parametrize("head", HEADS)
def test_an_objective_teaches_the_head_and_itself(name, head):
    """With every head of the table: one finite number, and a gradient for each parameter of its own."""
    net = net_of(head).train()
    objective, step = objective_of(name, net), labelled(net)
    loss = objective(step)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    assert [n for n, p in objective.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in net.head.parameters())


@EVERY_OBJECTIVE
def test_unknown_labels_change_no_loss(name):
    net = net_of("context")
    objective, step = objective_of(name, net).eval(), labelled(net)
    other = torch.where(step.known[..., None], step.expression, step.expression + 9)
    assert torch.allclose(objective(step), objective(dataclasses.replace(step, expression=other)), atol=1e-5)


@EVERY_OBJECTIVE
def test_a_step_of_one_spot_is_no_trouble(name):
    net = net_of("context").train()
    loss = objective_of(name, net)(labelled(net, 1))
    assert loss.isfinite()


def test_an_unknown_objective_is_one_line():
    with pytest.raises(ValueError, match="no objective 'mse': choose among info-nce"):
        checked({"mse": {}})
    with pytest.raises(ValueError, match=r"objective info-nce: wide: .* \(it has spot, near\)"):
        checked({"info-nce": {"wide": 1}})
