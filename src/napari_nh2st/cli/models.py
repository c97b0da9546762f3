"""`nh2st models`: the models that can be named, ours and other people's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.options import JsonOption
from napari_nh2st.cli.output import print_json
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card


def models(
    add: Annotated[
        Path | None, typer.Option("--add", metavar="FILE.py", help="List the model in this Python file from now on.")
    ] = None,
    remove: Annotated[
        Path | None, typer.Option("--remove", metavar="FILE.py", help="List the model in this Python file no longer.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the models that --model takes by name: bundled ones, and other people's that are installed or were added."""
    from napari_nh2st.errors import Nh2stError
    from napari_nh2st.model.folder import bundled_models, load_card
    from napari_nh2st.model.predictors import find_predictor, list_predictors, name_file

    if add is not None:
        name_file(add)
        find_predictor(str(add))  # an error says why it does not work; it stays on the list
    if remove is not None:
        name_file(remove, forget=True)
    rows, troubles = [], []
    for name in bundled_models():
        try:
            rows.append(_row(load_card(name), "napari-nh2st"))
        except Nh2stError as error:
            troubles.append(str(error))
    for one in list_predictors():
        if one.model is None:
            troubles.append(one.trouble)
        else:
            rows.append(_row(one.model.card, one.source))
    for trouble in troubles:
        say(f"warning: {trouble}")
    if as_json:
        print_json({"models": rows, "warnings": troubles})
        return
    print(f"{'model':24} {'genes':>6}  {'needs':34} trust")
    for row in rows:
        print(f"{row['name']:24} {row['genes']:6,}  {row['needs']:34} {row['trust']}")


def _row(card: Card, source: str) -> dict[str, Any]:
    facts = card.predictor
    return {
        "name": card.name,
        "version": None if facts is None else facts.version,
        "source": source,
        "genes": len(card.genes),
        "unit": card.unit,
        "outputs": {name: output.unit for name, output in card.outputs.items()},
        "needs": _needs(card),
        "about": card.description,
        "tissue": card.tissue,
        "licence": card.licence,
        "cite": card.citation,
        "trust": card.accuracy,
    }


def _needs(card: Card) -> str:
    """Say what a model looks at: 'tiles of 256 px at 0.5 um, whole slide'."""
    tiles = f"tiles of {card.patch} px at {card.mpp:.3g} um"
    facts = card.predictor
    needs = f"embeddings of {facts.encoder}" if facts is not None and facts.encoder else tiles
    more = ["neighbours"] * card.sees_neighbours
    more += ["whole slide"] * (facts is not None and facts.whole_slide)
    return ", ".join([needs, *more])
