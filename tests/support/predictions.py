"""Small predictions made without a network."""

import numpy as np

from napari_nh2st.engine.prediction import Decoder, Prediction
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.card import Card, Evaluation, GeneTrust
from napari_nh2st.model.intervals import Intervals

GENES = ["ERBB2", "CD74", "IGKC", 'Weird,"gene"']


def card(**changes):
    values = {
        "name": "test-model",
        "synthetic": True,
        "mpp": 0.5,
        "pitch": 112,
        "genes": GENES,
        "gene_means": [1.0, 2.0, 3.0, 4.0],
        "ensembl": ["ENSG00000141736", "ENSG00000019582", None, None],
        "evaluation": Evaluation(
            kind="synthetic", samples=["S1"], pcc_mean=0.4, genes={"ERBB2": GeneTrust(pcc=0.4, low=0.3, high=0.5)}
        ),
    }
    return Card(**(values | changes))


def prediction(
    *, slide_path=None, size=(900, 1400), scale=1.0, lattice=True, undone=3, fingerprint=None, intervals=False
):
    """A prediction over a slide of `size` (height, width); the last `undone` places are not predicted."""
    rng = np.random.default_rng(0)
    height, width = size
    if lattice:
        places = TileSet.lattice(Box(0, 0, width, height), scale=scale, pitch=112, patch=112)
    else:
        places = TileSet.at(rng.uniform(60, min(size) - 60, size=(20, 2)), scale=scale, pitch=112)
    hidden = rng.normal(size=(len(places), 6)).astype(np.float16)
    if undone:
        hidden[-undone:] = np.nan
    decoder = Decoder(
        rng.normal(size=(len(GENES), 6)).astype(np.float32), rng.normal(size=len(GENES)).astype(np.float32)
    )
    slide = {
        "path": None if slide_path is None else str(slide_path),
        "fingerprint": fingerprint,
        "mpp": 0.5 / scale,
        "mpp_source": "user",
        "shape": list(size),
        "synthetic": True,
    }
    provenance = {"model_hash": "abc", "device": "cpu", "precision": "fp32", "versions": {"torch": "2.13.0"}}
    of = card(gene_stds=[1.0, 2.0, 1.0, 0.5], intervals=half_widths(len(GENES))) if intervals else card()
    return Prediction(places, hidden, decoder, of, slide, provenance)


def half_widths(genes):
    """Intervals of so many genes, wider where less is predicted."""
    rows = [[0.5 + level + i for i in range(genes)] for level in (0.8, 0.9, 0.95)]
    range_ = {"slope": -0.5, "centre": 0.1, "low": -2.0, "high": 2.0}
    known = {"held_out": "sections", "spots": 300, "panel": genes, "levels": [0.8, 0.9, 0.95], **range_}
    return Intervals(**known, widths=rows, spreads=[[1.5] * genes] * 3)
