"""Small untrained models: the numbers mean nothing, the paths are the real ones."""

from pathlib import Path

import torch

from napari_nh2st.model.card import Architecture, Card, TrainingSample
from napari_nh2st.model.folder import Model, load_model, save_model
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import build
from napari_nh2st.training.objectives.objective import Step


def small_card(variant: str = "context", n_genes: int = 6, **more) -> Card:
    arch = Architecture(variant=variant, width=4, stride=16, dim=16, hidden=12, heads=4)
    facts = {
        "name": f"small-{variant}",
        "architecture": arch,
        "mpp": 1.0,
        "pitch": 144,
        "genes": [f"G{i}" for i in range(n_genes)],
        "gene_means": [0.5] * n_genes,
        "training": [TrainingSample(sample="T1", patient="P1", spots=10)],
    }
    return Card(**{**facts, **more})


def small_model(folder: Path, variant: str = "context", **more) -> Model:
    """Write an untrained model and load it; batch statistics are set so that the map is not constant."""
    torch.manual_seed(3)
    card = small_card(variant, **more)
    net = build(card.architecture, len(card.genes))
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net.encoder(torch.randn(2, 3, 224, 224))
    return load_model(save_model(net.eval(), card, folder / f"small-{variant}"))


def step_of(net, seen: Seen, expression, known) -> Step:
    """Look at places as a training step does: expression (B, 9, G), known (B, 9)."""
    hidden, tokens = net.look(seen)
    sections = torch.zeros(len(known), dtype=torch.long)
    return Step(tokens, hidden, net.learnt(hidden), net.learnt, expression, known, seen.present, sections)
