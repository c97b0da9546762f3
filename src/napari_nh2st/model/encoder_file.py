"""An image encoder in a file of its own: a ResNet's weights as safetensors, its width, stride and depth as metadata.

`nh2st pretrain` writes it, and `nh2st convert` makes it from a published encoder. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_nh2st.atomic import finished_file
from napari_nh2st.errors import ModelError
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.weights import put_weights, read_weights

SUFFIX = ".safetensors"
WIDTHS = (4, 64)


def save_encoder(encoder: ResNet18, path: str | Path, **facts: str) -> Path:
    """Write an encoder's weights, completely or not at all.

    Parameters
    ----------
    encoder : ResNet18
    path : path
        The file, ending in ``.safetensors``; an existing one is replaced.
    **facts : str
        Further metadata, such as ``source``. Width, stride and blocks are always there.

    Raises
    ------
    ModelError
        If the name does not end in ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ModelError(f"{path}: an encoder is one file; give a name that ends in {SUFFIX}")
    state = {k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    metadata = {
        **facts,
        "width": str(encoder.channels // 8),
        "stride": str(encoder.stride),
        "blocks": str(encoder.blocks),
    }
    with finished_file(path) as draft:
        draft.write_bytes(save(state, metadata))  # not save_file, which writes for the owner alone
    return path


def load_encoder(path: str | Path) -> ResNet18:
    """Read an encoder that `save_encoder` wrote.

    Returns
    -------
    ResNet18
        In eval mode on the CPU, in float32 whatever the file's precision.

    Raises
    ------
    ModelError
        If the file is missing or does not hold such an encoder.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no encoder file {path}")
    facts = encoder_facts(path)
    try:
        width, stride, blocks = int(facts["width"]), int(facts["stride"]), int(facts.get("blocks", 2))
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path} does not say an encoder's width and stride: is it a model's weights?") from error
    if not WIDTHS[0] <= width <= WIDTHS[1] or stride not in (16, 32) or blocks not in (1, 2):
        raise ModelError(
            f"{path} says it holds an encoder of width {width}, stride {stride}, {blocks} blocks: there is none"
        )
    try:
        # The widest layer as well, so that nothing is made that is larger than the file.
        shapes = {"conv1.weight": (width, 3, 7, 7), "layer4.0.conv2.weight": (8 * width, 8 * width, 3, 3)}
        state, _ = read_weights(path, shapes)
        encoder = ResNet18(width, stride, blocks)
        put_weights(encoder, state)
    except ModelError as error:
        raise ModelError(f"{path} does not hold the encoder it says it holds: {error}") from error
    return encoder.eval()


def encoder_facts(path: str | Path) -> dict[str, str]:
    """Read what a file says of itself, such as its width.

    Raises
    ------
    ModelError
        If it is no safetensors file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path} is not a {SUFFIX} file: nh2st convert makes one of a checkpoint") from error


def encoder_hash(path: str | Path) -> str:
    """BLAKE2b of an encoder file's weights, 32 hex digits; its metadata does not count."""
    with Path(path).open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))  # the header's length, the header, the weights
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
