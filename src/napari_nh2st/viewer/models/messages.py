"""Messages of the fold "Several models". No Qt: they are tested as text."""

from __future__ import annotations

from collections.abc import Sequence

from napari_nh2st.model.trust_words import PCC_MEANS
from napari_nh2st.viewer.kit.phrases import count, signed

NO_SLIDE = "Open a slide first."
NOTHING_YET = "No model has predicted this slide yet. Press Predict, then choose another model and press Predict again."
ONLY_ONE = "Only {} has predicted this slide. Choose another model above and press Predict."
ONE_TICKED = "Tick two models or more."
LIST_TIP = "The models that have predicted this slide. Tick those to compare"

SIDE_BY_SIDE_TIP = "Show the slide once for each ticked model, with the same gene. They move together"
SAME_LIMITS_TIP = (
    "Off: each map spans its own model's values, so you compare where a gene is high and low. "
    "On: the same colour means the same value, and one colour bar stands for all"
)
OTHER_UNITS = "These models predict in different units: the same colours would mean nothing"
LAYING_OUT = "Laying the models side by side…"
SLIDES_FIRST = "Leave the slides side by side first."
OWN_LIMITS_SAID = "Each map has its model's own limits: compare where it is high and low, not the values"
SAME_LIMITS_SAID = "The same colour means the same value in all maps."
LEAVE_SAID = "The live view pauses here and goes on when you leave."

COMPARE_TIP = "Work out how far the ticked models agree about each gene, on the tiles that all of them have predicted"
DISAGREEMENT_TIP = (
    "Draw how far the models differ, each measured by what is usual for it on this slide (in standard deviations)"
)
COMPARE_FIRST = "Press Compare first"
MORE_SINCE = "More was predicted since: press Compare again."
NOT_ACCURACY = "Agreement is not accuracy: models can agree and be wrong."
TOO_MANY_TILES = "There are too many tiles to keep copies of. Choose coarse detail."
TABLE_TIPS = {
    "PCC": "Correlation of the models across the common tiles. 1 is perfect, 0 is none. Of more than two, the mean of "
    "all pairs",
    "lowest": "PCC of the two models that agree least",
    "apart": "Share of the tiles where they differ by more than one standard deviation",
    "tiles": "Tiles that all have predicted. Neighbours are alike: this is no number of independent observations",
}

RIGHT_TIP = "Predict at the measured spots with each ticked model, and see which is nearer to the measured value"
NO_MEASUREMENT = "To see which model is right where, load the slide's measurement in Measured."
NOT_SETTLED = "Measured asks something about this measurement. Answer it first."
NO_MODEL_HERE = "{} was opened from a file: its model is not at hand. Predict with it here, or untick it."
UNTRAINED = "This says something only if none of these models was trained on this section."
LAYER_TIP = "Draw each spot in the colour of the model that is nearer there; pale where it makes little difference"
MEASURED_TIP = "Each model's PCC. " + PCC_MEANS


def model_words(name: str, tiles: int, genes: int) -> str:
    """Say what a model has predicted here."""
    return f"{name}: {count(tiles, 'tile')}, {count(genes, 'gene')}"


def common_words(genes: int) -> str:
    """Say how many genes can be compared."""
    return f"{count(genes, 'gene')} in common." if genes else "They have no gene in common."


def own_limits_words(spans: Sequence[tuple[str, str]]) -> str:
    """Say that each map has limits of its own, and which: names of models with what their colours span."""
    return f"{OWN_LIMITS_SAID} ({', '.join(f'{name} {span}' for name, span in spans)})."


def still_shows(name: str, gene: str, other: str) -> str:
    """Say that a model lacks the gene that is shown."""
    return f"{name} does not predict {gene}: its map still shows {other}."


def agreement_words(gene: str, pcc: float, apart: float, tiles: int) -> str:
    """Say how far the models agree about a gene; figures are not numbers where one predicts it the same everywhere."""
    if pcc != pcc:
        return f"One of the models predicts {gene} the same everywhere: there is nothing to compare."
    return (
        f"{gene}: PCC {pcc:z.2f} between the models, across {count(tiles, 'tile')}. "
        f"They differ by more than one standard deviation at {apart:.0%} of them."
    )


def point_words(gene: str, names: Sequence[str], values: Sequence[float], far: float) -> str:
    """Say what models predict of a gene at one place, and how far they differ (standard deviations)."""
    each = ", ".join(f"{name} {value:z.2f}" for name, value in zip(names, values, strict=True))
    apart = f"difference {signed(far)}" if len(names) == 2 else f"farthest apart {far:z.2f}"
    return f"{gene} {each}" + ("" if far != far else f" · {apart} standard deviations")


def lacking_words(gene: str, names: Sequence[str]) -> str:
    """Say that not all models predict a gene."""
    return f"{' and '.join(names)} {'do' if len(names) > 1 else 'does'} not predict {gene}."


def trained_words(names: Sequence[str], section: str, trained_as: Sequence[str]) -> str:
    """Say which models were trained on the measured section; empty where none was."""
    trained = [name for name, of in zip(names, trained_as, strict=True) if of]
    if not trained:
        return ""
    return (
        f"{' and '.join(trained)} {'were' if len(trained) > 1 else 'was'} trained on {section}. Which model is right "
        "here says nothing about new slides."
    )


def right_words(gene: str, names: Sequence[str], pccs: Sequence[float], shares: Sequence[float], spots: int) -> str:
    """Say which model is right about a gene, and at how many of the spots."""
    each = ", ".join(
        f"{name} PCC {pcc:z.2f} (nearer at {share:.0%})" for name, pcc, share in zip(names, pccs, shares, strict=True)
    )
    return f"{gene}, {count(spots, 'spot')}: {each}."


def nearer_tips(names: Sequence[str]) -> dict[str, str]:
    """Explain the columns of the table of which model is right."""
    return {
        **dict.fromkeys(names, MEASURED_TIP),
        "difference": f"PCC of {names[-1]} less that of {names[0]}",
        "nearer": f"Share of the spots where {names[-1]} is nearer to the measured value",
        "spots": "Spots that all models have predicted",
    }


def disagreement_key(names: Sequence[str], lower: str, higher: str) -> tuple[tuple[str, str | None], ...]:
    """Return the lines on the canvas that say which colour belongs to which of two models ("#rrggbb")."""
    return ((f"{names[1]} predicts more", higher), (f"{names[0]} predicts more", lower))
