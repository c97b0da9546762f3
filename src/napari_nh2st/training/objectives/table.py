"""The table of objectives: what each is, its options. No torch: settings and forms read it.

An objective is one file beside this one, with an `Objective`, and one row in `OBJECTIVES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_nh2st.model.heads.table import imported

if TYPE_CHECKING:
    from napari_nh2st.training.objectives.objective import Objective


class ObjectiveOptions(BaseModel):
    """Options of an objective, weights among them: a field each, with default, limits and description."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class ObjectiveRow:
    """A row of the table.

    Attributes
    ----------
    name : str
        As the settings have it.
    about : str
        A sentence for a person.
    cite : str
    module : str
        "module:class" of its `Objective`, loaded when a training is set up.
    options : type of ObjectiveOptions
    """

    name: str
    about: str
    cite: str
    module: str
    options: type[ObjectiveOptions]

    def load(self) -> type[Objective]:
        """Import its class, and torch with it."""
        objective: type[Objective] = imported(self.module)
        return objective


class ContrastOptions(ObjectiveOptions):
    """Weights of the two contrasts."""

    spot: float = Field(default=0.1, ge=0, description="weight of the match of a spot's image with its own expression")
    near: float = Field(
        default=0.05, ge=0, description="weight of the match of a spot's surroundings with their expression"
    )


class PublishedContrastOptions(ContrastOptions):
    """The same with the published weights."""

    spot: float = Field(default=1.0, ge=0, description="weight of the spot's loss")
    near: float = Field(default=0.5, ge=0, description="weight of the neighbourhood's loss")


class DistilOptions(ObjectiveOptions):
    """Weights of what the scales learn by themselves."""

    weight: float = Field(default=1.0, ge=0, description="weight of the loss of all scales")
    soft: float = Field(
        default=0.3, ge=0, le=1, description="part that a scale learns from the joint prediction, not from the labels"
    )


class GeneDMLOptions(ObjectiveOptions):
    """Options of `gene-dml`."""

    weight: float = Field(default=0.1, ge=0, description="weight of the whole")
    group: float = Field(default=0.8, ge=0, description="weight of the match with groups, beside that of spots")
    groups: int = Field(default=10, ge=2, le=1000, description="groups of a step's spots, fewer in a small step")
    temperature: float = Field(default=0.07, gt=0, le=10, description="what is smaller tells more spots apart")


class MGCNOptions(ObjectiveOptions):
    """Options of `mgcn`."""

    weight: float = Field(default=0.5, ge=0, description="weight of the loss")
    keep: float = Field(default=0.95, gt=0, le=1, description="part of a spot's own token in its mixed view")


_HERE = "napari_nh2st.training.objectives"

OBJECTIVES: dict[str, ObjectiveRow] = {
    row.name: row
    for row in (
        ObjectiveRow(
            name="info-nce",
            about="Matches the image of a spot, and of its surroundings, with their expression among those of a step.",
            cite="Oord et al., arXiv 1807.03748; Qu et al., arXiv 2506.23827",
            module=f"{_HERE}.info_nce:InfoNCE",
            options=ContrastOptions,
        ),
        ObjectiveRow(
            name="paper-contrast",
            about="The contrast as it was published with NH2ST: after cross-attention, from image to genes only.",
            cite="Qu et al., MICCAI 2025, arXiv 2506.23827",
            module=f"{_HERE}.paper_contrast:PaperContrast",
            options=PublishedContrastOptions,
        ),
        ObjectiveRow(
            name="distil",
            about="Lets every scale of a head predict by itself, from the labels and from the joint prediction.",
            cite="Chung et al. (TRIPLEX), CVPR 2024, arXiv 2403.07592",
            module=f"{_HERE}.distil:Distil",
            options=DistilOptions,
        ),
        ObjectiveRow(
            name="gene-dml",
            about="Matches images with genes as softly as spots are alike, and with groups of spots, at each scale.",
            cite="after Song et al. (Gene-DML), arXiv 2507.14670",
            module=f"{_HERE}.gene_dml:GeneDML",
            options=GeneDMLOptions,
        ),
        ObjectiveRow(
            name="mgcn",
            about="Keeps the columns of a spot's token from repeating one another.",
            cite="after MGCN (docs/models.md); Zbontar et al., ICML 2021, arXiv 2103.03230",
            module=f"{_HERE}.mgcn:MGCN",
            options=MGCNOptions,
        ),
    )
}


def checked(chosen: Mapping[str, Mapping[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """Check the names and options of objectives, and return them with all options written down.

    Raises
    ------
    ValueError
        Naming the first that is wrong.
    """
    out = {}
    for name, options in chosen.items():
        if name not in OBJECTIVES:
            raise ValueError(f"there is no objective {name!r}: choose among {', '.join(OBJECTIVES)}")
        try:
            out[name] = OBJECTIVES[name].options.model_validate(options or {}).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors()[0]
            where, known = ".".join(map(str, first["loc"])), ", ".join(OBJECTIVES[name].options.model_fields)
            raise ValueError(f"objective {name}: {where}: {first['msg']} (it has {known})") from error
    return out
