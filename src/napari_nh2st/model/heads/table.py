"""The table of heads: what each is, what it needs of a slide, its options. No torch: cards and forms read it.

A head is one file beside this one, with a `HeadNetwork`, and one row in `HEADS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from napari_nh2st.model.heads.network import HeadNetwork

# Places of a slide's sample.
SAMPLE_PLACES = 256

Need = Literal["nine", "sample", "places"]


def imported(named: str) -> Any:
    """Import what "module:class" names: rows of tables name classes whose modules load torch."""
    module, _, name = named.partition(":")
    return getattr(import_module(module), name)


class HeadOptions(BaseModel):
    """Options of a head, a field each, with limits: a card may come from anywhere. A head without options has this."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Head:
    """A row of the table.

    Attributes
    ----------
    name : str
        As `Architecture.variant` has it.
    about : str
        A sentence for the list that a person chooses from: what it is, when to use it.
    cite : str
    network : str
        "module:class" of its `HeadNetwork`, loaded when a network is built.
    options : type of HeadOptions
        Of `Architecture.head_options`.
    needs : frozenset of str
        "nine": the embeddings of the eight places round the target. "sample": those of a fixed sample of the slide's
        tissue, `SAMPLE_PLACES` of them. "places": where target and sample lie, in µm.
    tokens : tuple of str
        Tokens that it gives to objectives, the target's first.
    objectives : mapping
        What it is trained with unless the settings say otherwise: objectives (`training/objectives/table.py`) with
        their options.
    dense : bool
        The encoder passes over windows of tissue and gives pooled embeddings. False: it takes patches one by one and
        the head reads their feature maps.
    folded : bool
        `FoldedHead` has a faster form of it for prediction.
    graph : bool
        It links the places of the slide's sample; `HeadNetwork.graph` says how.
    """

    name: str
    about: str
    cite: str
    network: str
    options: type[HeadOptions] = HeadOptions
    needs: frozenset[Need] = frozenset({"nine"})
    tokens: tuple[str, ...] = ("target", "near")
    objectives: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: {"info-nce": {}})
    dense: bool = True
    folded: bool = False
    graph: bool = False

    @property
    def looks_beyond(self) -> bool:
        """True if it looks beyond a place and its eight neighbours."""
        return bool(self.needs - {"nine"})

    def load(self) -> type[HeadNetwork]:
        """Import the class of its network, and torch with it."""
        network: type[HeadNetwork] = imported(self.network)
        return network


class TriplexOptions(HeadOptions):
    """Options of `triplex`."""

    near_layers: int = Field(default=1, ge=1, le=6, description="layers of attention among the nine places")
    slide_layers: int = Field(default=2, ge=1, le=6, description="layers of attention over the slide's sample")


class MergeOptions(HeadOptions):
    """Options of `merge`."""

    near: int = Field(default=5, ge=1, le=32, description="clusters of the slide's sample by where its places lie")
    alike: int = Field(default=5, ge=1, le=32, description="clusters of the slide's sample by how its places look")
    layers: int = Field(default=4, ge=1, le=8, description="layers of graph attention")
    edge_dropout: float = Field(default=0.2, ge=0, lt=1, description="part of the links left out in a step")


class SepalOptions(HeadOptions):
    """Options of `sepal`."""

    layers: int = Field(default=1, ge=1, le=6, description="layers of graph convolution over the nine places")


_HERE = "napari_nh2st.model.heads"

# In the order in which they are offered; the first is the default.
HEADS: dict[str, Head] = {
    head.name: head
    for head in (
        Head(
            name="context",
            about="A place and its eight neighbours: a hypergraph, then attention from the place to them. The default.",
            cite="Qu et al., MICCAI 2025, arXiv 2506.23827, with the changes of docs/models.md",
            network=f"{_HERE}.context:ContextHead",
            folded=True,
        ),
        Head(
            name="paper",
            about="NH2ST as it was published: predicts from a place alone, patch by patch. To compare with the paper.",
            cite="Qu et al., MICCAI 2025, arXiv 2506.23827",
            network=f"{_HERE}.paper:PaperHead",
            needs=frozenset(),
            objectives={"paper-contrast": {}},
            dense=False,
        ),
        Head(
            name="triplex",
            about="A place, its neighbours and a sample of the whole slide, joined. Where the kind of section matters.",
            cite="Chung et al. (TRIPLEX), CVPR 2024, arXiv 2403.07592",
            network=f"{_HERE}.triplex:TriplexHead",
            options=TriplexOptions,
            needs=frozenset({"nine", "sample", "places"}),
            tokens=("target", "near", "slide"),
            objectives={"distil": {}},
        ),
        Head(
            name="merge",
            about="A place, its neighbours, and clusters of the slide's tissue, near or alike, linked in a graph.",
            cite="Ganguly et al. (MERGE), CVPR 2025, arXiv 2412.02601",
            network=f"{_HERE}.merge:MergeHead",
            options=MergeOptions,
            needs=frozenset({"nine", "sample", "places"}),
            tokens=("target", "near", "slide"),
            graph=True,
        ),
        Head(
            name="sepal",
            about="A place alone, then a small correction by a graph of it and its neighbours. For few spots.",
            cite="Mejia et al. (SEPAL), ICCV workshops 2023, arXiv 2309.01036",
            network=f"{_HERE}.sepal:SepalHead",
            options=SepalOptions,
        ),
    )
}
