"""One model on measured sections under several recipes of scoring (`label_recipes`): the table, its page, its lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.predict import provenance
from napari_nh2st.engine.seen_sections import SeenSections
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.label_recipes import RECIPES, SHUFFLES, MeasuredSpots, score_recipe
from napari_nh2st.evaluation.protocol import Scored, model_name, predict_spots, split_kind
from napari_nh2st.evaluation.report import dump, table
from napari_nh2st.evaluation.report_words import NONE, number, with_interval
from napari_nh2st.evaluation.seen_in_training import seen_warning
from napari_nh2st.expression import Sample, samples_of
from napari_nh2st.model.models import AnyModel, load_model
from napari_nh2st.targets import LN1P_CP10K, SpotCounts

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.model.card import Card

HEAD = (
    "recipe", "what it is", "this model", "mean profile", "shuffled spots", "one number a spot", "what to mind"
)  # fmt: skip
NO_SKILL = (
    "The predictions are the same in every row; only labels, genes and the way correlations are averaged change. "
    "The mean profile gives every spot the training mean of each gene; shuffled spots have the model's own answers for "
    f"other spots (mean of {SHUFFLES} orders). Neither knows anything of the tissue: what they reach, the recipe gives "
    "away. One number a spot, the mean of the model's answers there, for every gene: what they share, as depth is."
)


def evaluate_recipes(
    sheet: str | Path | pd.DataFrame | Sequence[Sample],
    model: str | Path | AnyModel,
    recipes: Sequence[str],
    *,
    options: PredictionOptions | None = None,
    progress: Callable[[str], Any] = lambda said: None,
) -> dict[str, Any]:
    """Score a model on every section of a sheet under each recipe.

    Parameters
    ----------
    sheet : path, DataFrame or list of Sample
    model : name, path or Model
        It predicts ln(1 + counts per 10,000).
    recipes : sequence of str
        Keys of `RECIPES`.
    options : PredictionOptions, optional
    progress : callable
        Called with a sentence before each section.

    Returns
    -------
    dict
        ``model``, ``sections`` with their kind and spots, ``genes``, ``recipes`` (a row each, see `score_recipe`),
        ``warnings`` and ``provenance``.

    Raises
    ------
    Nh2stError, SampleError, MppNeeded, ModelError
        One line that says what to do.
    """
    model = load_model(model) if isinstance(model, str | Path) else model
    options = (PredictionOptions() if options is None else options).for_scoring()
    card = model.card
    if card.target is not LN1P_CP10K:
        raise Nh2stError(
            f"{card.name} predicts {card.target.unit}: the recipes are about models that predict {LN1P_CP10K.unit}"
        )
    seen, scored, warnings, sections = SeenSections.of_model(model), [], [], []
    for sample in samples_of(sheet):
        progress(f"{sample.sample}: reading and predicting")
        found = predict_spots(sample, model, options)
        trained_as = seen.find(found.descriptor, sample.sample, sample.patient)
        warnings += [f"{sample.sample}: {doubt}" for doubt in found.doubts]
        warnings += [] if trained_as is None else [seen_warning(sample, trained_as)]
        kind = split_kind(card, sample) if trained_as is None else "same-patient"
        sections.append({"sample": sample.sample, "kind": kind, "n_spots": len(found.truth)})
        scored.append(found)
    genes = [gene for gene in card.genes if all(gene in s.genes for s in scored)]
    if len(genes) < len(card.genes):
        warnings.append(f"{len(card.genes) - len(genes)} genes of the panel were not measured: no row has them")
    if not genes:
        raise Nh2stError("no gene of the panel was measured in all sections")
    spots = [_spots_of(s, genes) for s in scored]
    profile = _profile(card, genes)
    return {
        "model": {"name": model_name(card), "train": [t.sample for t in card.training]},
        "sections": sections,
        "genes": len(genes),
        "recipes": [_row(name, score_recipe(RECIPES[name], spots, profile)) for name in recipes],
        "warnings": list(dict.fromkeys(warnings)),
        "provenance": provenance(model, options),
    }


def _spots_of(scored: Scored, genes: Sequence[str]) -> MeasuredSpots:
    assert scored.counted is not None
    columns = [scored.genes.index(gene) for gene in genes]
    counted = SpotCounts(scored.counted.counts[:, columns], scored.counted.depth)
    return MeasuredSpots(counted, scored.centres, scored.predicted[:, columns])


def _profile(card: Card, genes: Sequence[str]) -> list[float] | None:
    if card.gene_means is None:
        return None
    means = dict(zip(card.genes, card.gene_means, strict=True))
    return [means[gene] for gene in genes]


def _row(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    recipe = RECIPES[name]
    said = {"about": recipe.about, "cite": recipe.cite, "warning": recipe.warning}
    return {"name": name, **said, **{key: _rounded(value) for key, value in figures.items()}}


def _rounded(value: Any) -> Any:
    return value if value is None else np.round(value, 5).tolist()


def lines(report: Mapping[str, Any]) -> list[str]:
    """Lay the rows out for a terminal."""
    out = [f"{'recipe':14} {'this model':>10} {'interval':>15} {'mean profile':>12} {'shuffled':>8} {'one number':>10}"]
    for row in report["recipes"]:
        low, high = row["ci"]
        profile = "-" if row["mean_profile"] is None else f"{row['mean_profile']:z.3f}"
        interval = f"{low:z.3f} to {high:z.3f}"
        out.append(
            f"{row['name']:14} {row['figure']:z10.3f} {interval:>15} {profile:>12} {row['shuffled']:z8.3f} "
            f"{row['one_number']:z10.3f}"
        )
    return [*out, "", *(f"{row['name']}: {row['about']}{_owes(row)}" for row in report["recipes"])]


def _owes(row: Mapping[str, Any]) -> str:
    return f". Mind: {row['warning']}" if row["warning"] else ""


def recipes_table(report: Mapping[str, Any]) -> str:
    """Lay the rows out as a Markdown table."""
    rows = [
        [
            f"`{row['name']}`",
            f"{row['about']} ({row['cite']})",
            with_interval(row["figure"], row["ci"]),
            NONE if row["mean_profile"] is None else number(row["mean_profile"]),
            number(row["shuffled"]),
            number(row["one_number"]),
            row["warning"] or "nothing",
        ]
        for row in report["recipes"]
    ]
    return table(list(HEAD), rows)


def markdown(report: Mapping[str, Any]) -> str:
    """Write the page of a report."""
    where = ", ".join(f"{s['sample']} ({s['kind']}, {s['n_spots']} spots)" for s in report["sections"])
    model = report["model"]
    trained = f", trained on {', '.join(model['train'])}" if model["train"] else ""
    parts = [
        f"# {model['name']} under {len(report['recipes'])} recipes",
        f"{where}; {report['genes']} genes{trained}. PCC with its 95% interval.",
        recipes_table(report),
        NO_SKILL,
        *(f"- {warning}" for warning in report["warnings"]),
    ]
    return "\n\n".join(parts) + "\n"


def write_recipes(report: Mapping[str, Any], out: Path) -> list[Path]:
    """Write R.json and, beside it, the page R.md; each appears only when it is complete."""
    page = out.with_name(f"{out.stem if out.suffix.lower() == '.json' else out.name}.md")
    for path, text in ((out, dump(report)), (page, markdown(report))):
        with finished_file(path) as draft:
            draft.write_text(text, "utf-8")
    return [out, page]
