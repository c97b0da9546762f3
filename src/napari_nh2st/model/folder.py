"""The model folder: weights, card, a README for people, and a reference of the training tissue if there is one.

Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from napari_nh2st.atomic import finished_file, finished_folder
from napari_nh2st.errors import ModelError
from napari_nh2st.markup import markdown_text
from napari_nh2st.model.card import Card, GeneTrust
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.model.reference import REFERENCE, Reference, read_reference, save_reference
from napari_nh2st.reading import expanded, read_json

if TYPE_CHECKING:
    from napari_nh2st.model.nh2st import NH2ST

CARD_LIMIT = 64 * 10**6  # bytes
WEIGHTS, CARD, README = "model.safetensors", "card.json", "README.md"
_FREE = ("schema_version", "name", "description", "licence", "tissue", "citation", "recipe", "versions")
"""Entries of a card that anyone may edit."""
# Of an architecture, defaults that have changed since cards are sealed: a seal counts from the first ones.
_FIRST_DEFAULTS = {"dim": 256, "hidden": 256, "dropout": 0.5}


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A network with its card.

    Attributes
    ----------
    card : Card
    net : NH2ST
        In eval mode, float32, on the CPU.
    hash : str
        BLAKE2b of the weights file, 32 hex digits; it names the model in provenance and caches.
    path : Path
        The folder it was read from.
    """

    card: Card
    net: NH2ST
    hash: str
    path: Path

    def __repr__(self) -> str:
        return f"Model({self.card!r}, {str(self.path)!r})"

    @cached_property
    def decoder(self) -> Decoder:
        """The last linear layer as NumPy arrays."""
        return decoder_of(self.net)

    @cached_property
    def reference(self) -> Reference | None:
        """The reference of the training tissue, None if there is none."""
        return read_reference(self.path / REFERENCE)


def _bundled_root() -> Path:
    return Path(str(resources.files("napari_nh2st"))) / "demo" / "models"


def bundled_models() -> list[str]:
    """Names of the models that come with the package.

    Examples
    --------
    >>> bundled_models()
    ['demo', 'demo-paper', 'her2st']
    """
    root = _bundled_root()
    return sorted(p.parent.name for p in root.glob(f"*/{CARD}")) if root.is_dir() else []


def find_model(name_or_path: str | Path) -> Path:
    """Turn a bundled model's name or a folder's path into the folder.

    Raises
    ------
    ModelError
        If there is no such model; the message lists the bundled ones.
    """
    bundled = _bundled_root() / str(name_or_path)
    if str(name_or_path) in bundled_models():
        return bundled
    folder = expanded(name_or_path)
    if folder.is_file():
        raise ModelError(f"{folder} is a file: give a model folder; nh2st convert makes one of a checkpoint")
    if not folder.is_dir():
        names = ", ".join(bundled_models()) or "none"
        raise ModelError(f"no model {str(name_or_path)!r}: give a model folder or a bundled model ({names})")
    missing = [f for f in (CARD, WEIGHTS) if not (folder / f).is_file()]
    if missing:
        raise ModelError(f"{folder} is not a model folder: it has no {' and no '.join(missing)}")
    return folder


def load_card(name_or_path: str | Path) -> Card:
    """Read a model's card, without torch.

    Raises
    ------
    ModelError
        If there is no such model or its card is not valid.
    """
    folder = find_model(name_or_path)
    document = read_json(folder / CARD, "the model's card", ModelError, most=CARD_LIMIT)
    seal = document.pop("seal", None) if isinstance(document, dict) else None
    try:
        card = Card.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "card"
        said = first["msg"].removeprefix("Value error, ")
        raise ModelError(f"{folder / CARD} is not a valid card: {where}: {said}") from error
    if card.predictor is not None:
        raise ModelError(f"{folder / CARD} is of a model without a folder: nothing can be loaded from it")
    if seal is not None and seal != _seal(card):
        raise ModelError(
            f"{folder / CARD} was changed after it was saved: its genes, scale or figures may not be the weights'. "
            'Get the model from its source again. If you meant the change, delete the entry "seal"'
        )
    return card


def _seal(card: Card) -> str:
    """Checksum of what gives the weights their meaning and their figures; names and descriptions may change.

    Values that are the default do not count, so that a field that comes with a later version breaks no older card.
    """
    meaning = card.model_dump(mode="json", exclude=set(_FREE), exclude_defaults=True)
    of_network = meaning.pop("architecture", {})
    for name, first in _FIRST_DEFAULTS.items():
        value = getattr(card.architecture, name)
        of_network = {k: v for k, v in of_network.items() if k != name} | ({} if value == first else {name: value})
    meaning |= {"architecture": of_network} if of_network else {}
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _document(card: Card) -> str:
    """Write the card as it stands in the folder, sealed."""
    card = Card.model_validate(card.model_dump(mode="json"))  # as it will be read: 1 and 1.0 are one value
    return json.dumps({**card.model_dump(mode="json"), "seal": _seal(card)}, indent=1, ensure_ascii=False) + "\n"


def weights_hash(folder: Path) -> str:
    """BLAKE2b of the weights file, 32 hex digits."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def load_model(name_or_path: str | Path) -> Model:
    """Read a model: a bundled one by name, or a model folder.

    Returns
    -------
    Model
        Its network is in eval mode on the CPU, in float32 whatever the file's precision.

    Raises
    ------
    ModelError
        If the folder is incomplete, or its weights do not fit its card.

    Examples
    --------
    >>> from napari_nh2st import load_model
    >>> load_model("her2st").card.unit
    'ln(1 + counts per 10,000)'
    """
    from napari_nh2st.model.nh2st import build
    from napari_nh2st.model.weights import names_today, network_shapes, put_weights, read_weights

    folder = find_model(name_or_path)
    card = load_card(folder)
    try:
        arch = card.architecture
        shapes = network_shapes(arch, len(card.genes))
        state, _ = read_weights(folder / WEIGHTS, shapes, lambda found: names_today(found, arch))
        net = build(arch, len(card.genes))
        put_weights(net, state)
    except ModelError as error:
        raise ModelError(f"the weights in {folder} do not fit its card: {error}") from error
    return Model(card, net.eval(), weights_hash(folder), folder)


def load_reference(name_or_path: str | Path) -> Reference | None:
    """Read the reference of a model's training tissue, without torch; None if there is none.

    Raises
    ------
    ModelError
        If there is no such model, or the file cannot be read.
    """
    return read_reference(find_model(name_or_path) / REFERENCE)


def put_reference(reference: Reference, folder: Path) -> None:
    """Put the reference of the training tissue into a model folder."""
    with finished_file(folder / REFERENCE) as draft:
        save_reference(reference, draft)
        draft.chmod((folder / CARD).stat().st_mode)  # safetensors writes for the owner alone


def save_model(
    net: NH2ST, card: Card, folder: str | Path, *, half: bool = False, reference: Reference | None = None
) -> Path:
    """Write a model folder, completely or not at all.

    Parameters
    ----------
    net : NH2ST
    card : Card
    folder : path
        An existing model there is replaced.
    half : bool
        Store floating-point weights as float16: half the size, for models that are shipped.
    reference : Reference, optional
        Of the training tissue.
    """
    from safetensors.torch import save_file

    state = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    if half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    folder = Path(folder)
    with finished_folder(folder, overwrite=True) as parts:
        save_file(state, parts / WEIGHTS)
        (parts / CARD).write_text(_document(card), "utf-8")
        (parts / README).write_text(readme(card), "utf-8")
        (parts / WEIGHTS).chmod((parts / CARD).stat().st_mode)  # safetensors writes for the owner alone
        if reference is not None:
            put_reference(reference, parts)
    return folder


def save_card(card: Card, folder: Path) -> None:
    """Replace the card of a model folder, and the README made from it; the weights stay."""
    for name, text in ((CARD, _document(card)), (README, readme(card))):
        with finished_file(folder / name) as draft:
            draft.write_text(text, "utf-8")


def decoder_of(net: NH2ST) -> Decoder:
    """Return the last linear layer as NumPy arrays, so that genes switch without torch."""
    return Decoder(net.decoder.weight.detach().float().cpu().numpy(), net.decoder.bias.detach().float().cpu().numpy())


def readme(card: Card) -> str:
    """Write the model card that people and the Hugging Face hub read."""
    said = {name: markdown_text(getattr(card, name) or "") for name in ("name", "description", "citation")}
    licence = card.licence.lower() if re.fullmatch(r"[\w.+ -]+", card.licence) else json.dumps(card.licence.lower())
    warning = "\nTrained on procedural tissue with invented genes: it says nothing about real slides.\n"
    citation = f"- data: {said['citation']}\n" if card.citation else ""
    return (
        f"---\nlibrary_name: napari-nh2st\nlicense: {licence}\n"
        f"tags: [histology, spatial-transcriptomics]\n---\n\n# {said['name']}\n\n{said['description']}\n"
        f"{warning if card.synthetic else ''}\n"
        f"- predicts {len(card.genes)} genes in {card.unit}\n"
        f"- NH2ST, variant {card.architecture.variant}; {card.mpp:.4g} um per pixel, patches of {card.patch} px, "
        f"neighbours {card.pitch} px apart\n"
        f"- trained on {_training_words(card)}\n{citation}- held out: {_held_out_words(card)}\n"
        f"{_best_genes(card)}\n"
        "Predictions, not measurements. For research use only.\n"
    )


def _training_words(card: Card) -> str:
    if not card.training:
        return (
            "tissue that was not recorded"
            if card.tissue is None
            else f"{markdown_text(card.tissue)}; sections not recorded"
        )
    each = ", ".join(f"{t.sample} (patient {t.patient}, {t.spots} spots)" for t in card.training)
    tissue = "" if card.tissue is None else f", {card.tissue}"
    return f"{card.trained_on}{markdown_text(tissue)}: {markdown_text(each)}"


def _held_out_words(card: Card) -> str:
    if card.evaluation is None:
        return "not evaluated"
    e = card.evaluation
    return f"mean PCC {e.pcc_mean:.3f} over {len(e.genes)} genes on {markdown_text(', '.join(e.samples))} ({e.kind})"


def _best_genes(card: Card, n: int = 10) -> str:
    """Write a table of the best predicted genes; nothing if no gene was evaluated."""
    figures = card.evaluation.genes if card.evaluation else {}
    best = [gene for gene in card.by_trust() if gene in figures][:n]
    if card.evaluation is None or not best:
        return ""
    intervals = [t for t in figures.values() if t.low is not None]
    above = sum(not t.chance for t in intervals)
    counted = f"The interval lies above 0 for {above} of {len(intervals)} genes. " if intervals else ""
    rows = "".join(f"| {_cell(gene)} | {figures[gene].pcc:.2f} | {_interval(figures[gene])} |\n" for gene in best)
    return (
        f"\n## Held out, {card.evaluation.kind_words}\n\n{counted}The {len(best)} best, chosen on that same tissue, "
        "so that their figures are on the high side:\n\n"
        f"| gene | PCC | 95% interval |\n|---|---|---|\n{rows}"
    )


def _cell(gene: str) -> str:
    return markdown_text(gene).replace("|", "\\|")


def _interval(trust: GeneTrust) -> str:
    return "not known" if trust.low is None or trust.high is None else f"{trust.low:.2f} to {trust.high:.2f}"
