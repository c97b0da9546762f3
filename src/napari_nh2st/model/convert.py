"""Turn checkpoints of the code released with NH2ST into model folders, and those of a ResNet-18 into encoder files.

The released code (github.com/MCPathology/NH2ST) saves Lightning checkpoints, and starts from a self-supervised
encoder (github.com/ozanciga/self-supervised-histopathology). The names of their layers are facts read off both.
Only tensors and plain values are read: objects in a checkpoint are refused, or left out if they are Lightning's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from napari_nh2st.errors import ModelError
from napari_nh2st.model.card import RELEASED, Architecture, Card
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import SUFFIX, WIDTHS, save_encoder
from napari_nh2st.model.folder import save_model
from napari_nh2st.model.gene_names import common_names, fold
from napari_nh2st.model.nh2st import build
from napari_nh2st.model.weights import check_finite, last_line, network_shapes
from napari_nh2st.provenance import versions
from napari_nh2st.reading import read_lines
from napari_nh2st.terminal import option

STRIDE: Final = 32
PITCH_UM = 200  # between the spots of the arrays that NH2ST was published on

# Names of the released layers, and ours. The encoder is a Sequential of ResNet-18's children.
_LAYERS = {
    "target_encoder.0.": "encoder.conv1.",
    "target_encoder.1.": "encoder.bn1.",
    "target_encoder.4.": "encoder.layer1.",
    "target_encoder.5.": "encoder.layer2.",
    "target_encoder.6.": "encoder.layer3.",
    "target_encoder.7.": "encoder.layer4.",
    "fc.": "head.target.",
    "neighbor_encoder.layer1.conv.": "head.image_graph.conv1.",
    "neighbor_encoder.layer2.conv.": "head.image_graph.conv2.",
    "decoder.fc1.": "head.to_hidden.",
    "decoder.fc2.": "decoder.",
}
# What its losses need and no prediction reads: an objective here (training/objectives/paper_contrast.py) has its own.
_FOR_LOSSES = ("exp_encoder", "neighbor_exp_encoder", "cross_encoder")
_ENCODER_LAYERS = {f"{name}.": f"{name}." for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")}

# Objects of these packages are bookkeeping of the training. They are not needed: none is built, and none of their code
# runs.
_BOOKKEEPING = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "lightning_utilities.", "argparse.Namespace")


def convert_checkpoint(
    checkpoint: str | Path,
    genes: str | Path | None,
    out: str | Path,
    *,
    mpp: float | None = None,
    pitch: int | None = None,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Turn a checkpoint of the released NH2ST code into a model folder, or one of a ResNet-18 into an encoder file.

    Parameters
    ----------
    checkpoint : path
        A Lightning checkpoint. Its shapes decide the width, the lengths of the tokens and the number of genes.
    genes : path or None
        A text file of gene symbols, one a line, in the order of the training labels. None for an encoder.
    out : path
        The model folder, which must not exist yet; for an encoder, a file that ends in ``.safetensors``.
    mpp : float, optional
        Micrometres per pixel of the training patches. Needed for a model, unless its settings have it.
    pitch : int, optional
        Pixels between neighbouring places; by default the multiple of 32 nearest to 200 um.
    name : str, optional
        The model's name; by default that of the checkpoint's file.
    progress : callable, optional
        Receives one sentence about the parts of the checkpoint that were left out.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ModelError
        If the checkpoint cannot be read without running its contents, comes from another network, or does not fit the
        genes. Nothing is then left at ``out``.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    state, settings = _read(checkpoint)
    if "target_encoder.0.weight" not in state:
        return _convert_encoder(state, checkpoint, out, progress)
    if genes is None:
        raise ModelError(
            f"{checkpoint} holds a whole model: say with {option('genes')} which genes it predicts, in their order"
        )
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ModelError(f"{out} exists already: give another {option('out')}")
    mpp = settings.get("mpp") if mpp is None else mpp
    if not isinstance(mpp, int | float):
        raise ModelError(
            f"{checkpoint} does not say its pixel size: give the micrometres per pixel with {option('mpp')}"
        )
    small = build(Architecture(variant="paper", encoder="resnet18", width=4, stride=STRIDE, dim=8, hidden=4), 1)
    ours = _renamed(state, _LAYERS, small, checkpoint, progress)
    flat = [name for name in ("decoder.weight", "head.target.weight", "head.to_hidden.weight") if ours[name].ndim != 2]
    if flat:
        raise ModelError(f"{checkpoint} comes from another network: {flat[0]} is not a matrix")
    _width(ours["encoder.conv1.weight"], checkpoint)
    symbols = _by_symbol(_read_genes(Path(genes), len(ours["decoder.weight"]), checkpoint), progress)
    card = _card(ours, symbols, float(mpp), pitch, name or checkpoint.stem, checkpoint.name)
    for layer, shape in network_shapes(card.architecture, len(symbols)).items():
        if layer in ours and tuple(ours[layer].shape) != shape:
            raise ModelError(
                f"{checkpoint} comes from another network than the published one: size mismatch for {layer}"
            )
    net = build(card.architecture, len(symbols))
    _load(net, ours, checkpoint)
    return save_model(net.eval(), card, out)


def _convert_encoder(
    state: dict[str, Tensor], checkpoint: Path, out: Path, progress: Callable[[str], None] | None
) -> Path:
    state = {k.removeprefix("resnet."): v for k, v in state.items()}
    if "conv1.weight" not in state:
        raise ModelError(f"{checkpoint} is neither a checkpoint of the released NH2ST nor one of a ResNet-18")
    if out.suffix != SUFFIX:
        raise ModelError(
            f"{checkpoint} holds an encoder alone: give an {option('out')} that ends in {SUFFIX}, not {out}"
        )
    encoder = ResNet18(_width(state["conv1.weight"], checkpoint), STRIDE)
    _load(encoder, _renamed(state, _ENCODER_LAYERS, encoder, checkpoint, progress), checkpoint)
    return save_encoder(encoder.eval(), out, source=checkpoint.name)


def _width(first: Tensor, checkpoint: Path) -> int:
    """Return the width of an encoder from its first layer, before anything of that width is made."""
    if first.ndim != 4 or not WIDTHS[0] <= len(first) <= WIDTHS[1] or first.shape[1:] != (3, 7, 7):
        shape = " x ".join(map(str, first.shape)) or "a single number"
        raise ModelError(f"{checkpoint} comes from another network: the encoder's first layer is {shape}")
    return len(first)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights without Lightning's prefix, float32, and the settings stored beside them."""
    if not path.is_file():
        raise ModelError(f"no checkpoint {path}")
    foreign = _foreign_objects(path)
    refused = [n for n in foreign if not n.startswith(_BOOKKEEPING)]
    if refused:
        raise ModelError(
            f"{path} holds pickled objects ({_some(refused)}), which are never loaded here: if you trust the file, "
            "open it where it was made and save torch.save({'state_dict': checkpoint['state_dict']}, 'weights.ckpt')"
        )
    # Each name gets a class of its own: old Lightning used classes as the keys of a dictionary.
    plain: list[Any] = [(type("Plain", (_Plain,), {}), n) for n in foreign]
    try:
        with torch.serialization.safe_globals(plain):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch lets the unpickler's own errors through, whatever is wrong with the file
        raise ModelError(
            f"{path} is not a checkpoint, or not one that can be read without running what is in it: give one that "
            "torch.load(..., weights_only=True) reads"
        ) from error
    checkpoint = checkpoint if isinstance(checkpoint, dict) else {}
    weights = checkpoint.get("state_dict", checkpoint)
    weights = weights if isinstance(weights, dict) else {}
    state = {
        str(k).removeprefix("model."): v.float() if v.is_floating_point() else v
        for k, v in weights.items()
        if isinstance(v, Tensor)
    }
    if not state:
        raise ModelError(f"{path} holds no weights (no state_dict): give a checkpoint that Lightning wrote")
    settings = checkpoint.get("hyper_parameters")
    return state, settings if isinstance(settings, dict) else {}


class _Plain:
    """Placeholder for one of Lightning's objects in a checkpoint: a dictionary of its values, without its code."""

    def __new__(cls, *_: object, **__: object) -> OrderedDict[str, Any]:  # type: ignore[misc]
        return OrderedDict()  # the one type into which torch puts both items and attributes


def _foreign_objects(path: Path) -> list[str]:
    """Name the classes and functions in a checkpoint other than tensors and plain values; nothing is loaded."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # no zip archive, or a damaged one: reading it says what is wrong
        return []


def _renamed(
    state: dict[str, Tensor],
    layers: dict[str, str],
    template: nn.Module,
    checkpoint: Path,
    progress: Callable[[str], None] | None,
) -> dict[str, Tensor]:
    """Give the weights our names: exactly those of `template`; other layers are left out.

    No prediction of the released code uses those. A surplus weight inside a used layer means another network, which is
    refused.
    """
    renamed, rest = {}, []
    for key, value in state.items():
        old = next((o for o in layers if key.startswith(o)), None)
        if old is None:
            rest.append(key)
        else:
            renamed[layers[old] + key[len(old) :]] = value
    wanted = template.state_dict()
    used = {old.split(".")[0] for old in layers}
    surplus = [k for k in rest if k.split(".")[0] in used] + [k for k in renamed if k not in wanted]
    if surplus:
        raise ModelError(
            f"{checkpoint} comes from another network: it has {_some(surplus)}, which the published one lacks"
        )
    absent = [k for k in wanted if k not in renamed and not k.endswith("num_batches_tracked")]
    if absent:
        raise ModelError(
            f"{checkpoint} is not complete or comes from another network: there is nothing for {_some(absent)}"
        )
    parts = sorted({k.split(".")[0] for k in rest})
    for said, these in (
        ("for its losses alone", [p for p in parts if p in _FOR_LOSSES]),
        ("no part of the network", [p for p in parts if p not in _FOR_LOSSES]),
    ):
        if these and progress is not None:
            progress(f"left out, {said}: {', '.join(these)}")
    return renamed


def _load(net: nn.Module, state: dict[str, Tensor], checkpoint: Path) -> None:
    try:
        check_finite(state)
        net.load_state_dict(state, strict=False)  # names were compared; very old checkpoints lack batch counters
    except ModelError as error:
        raise ModelError(f"{checkpoint}: {error}") from error
    except RuntimeError as error:
        raise ModelError(
            f"{checkpoint} comes from another network than the published one: {last_line(error)}"
        ) from error


def _read_genes(path: Path, rows: int, checkpoint: Path) -> list[str]:
    lines = read_lines(path, "the gene symbols (a text file, one a line)", ModelError)
    genes = [line.strip() for line in lines if line.strip()]
    if len(genes) != rows:
        raise ModelError(
            f"{path} has {len(genes)} genes, but {checkpoint} predicts {rows}: give the list it was made with"
        )
    return genes


def _by_symbol(genes: list[str], progress: Callable[[str], None] | None) -> list[str]:
    """Give genes that are listed by another name, such as HER2, their symbol, and say so."""
    others = common_names()
    named = {}
    for gene in genes:
        meant = others.symbols.get(fold(gene), [])
        if len(meant) == 1 and meant[0] != gene and gene not in others.of and meant[0] not in genes:
            named[gene] = meant[0]
    if named and progress is not None:
        progress(f"taken by their symbols: {', '.join(f'{name} as {symbol}' for name, symbol in named.items())}")
    return [named.get(gene, gene) for gene in genes]


def _card(state: dict[str, Tensor], genes: list[str], mpp: float, pitch: int | None, name: str, source: str) -> Card:
    try:
        return Card(
            name=name,
            description=f"Converted from {source}, a checkpoint of the code released with NH2ST.",
            architecture=Architecture(
                variant="paper",
                encoder="resnet18",
                width=len(state["encoder.conv1.weight"]),
                stride=STRIDE,
                dim=len(state["head.target.weight"]),
                hidden=len(state["head.to_hidden.weight"]),
                heads=8,
            ),
            mpp=mpp,
            pitch=max(1, round(PITCH_UM / mpp / STRIDE)) * STRIDE if pitch is None else pitch,
            genes=genes,
            gene_means=None,
            label_recipe=RELEASED,
            recipe={"converted_from": source},
            versions=versions(),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise ModelError(f"no model can be made of {source}: {where}: {first['msg']}".replace(": : ", ": ")) from error


def _some(names: Iterable[str]) -> str:
    """Name the first three."""
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
