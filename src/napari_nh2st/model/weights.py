"""Weights of a safetensors file: sizes first, from its header, then the numbers. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from napari_nh2st.errors import ModelError, one_line
from napari_nh2st.model.card import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int | None, ...]  # None is any size


def network_shapes(arch: Architecture, n_genes: int) -> dict[str, Shape]:
    """Return the shapes of the tensors that fix how large a network becomes.

    With these compared first, a card can make nothing larger than the file of its weights is.
    """
    rank = arch.kernel_rank if arch.landmarks and arch.variant == "context" else 0
    shapes: dict[str, Shape] = {
        "encoder.conv1.weight": (arch.width, 3, 7, 7),
        "cross.to_kv.weight": (2 * arch.dim, arch.dim),
        "decoder.weight": (n_genes, arch.hidden + rank),
        "gene_encoder.0.weight": (arch.dim, n_genes),
    }
    if arch.variant == "paper":
        return {**shapes, "target.weight": (arch.dim, 8 * arch.width * 49)}
    if arch.landmarks:
        shapes |= {"kernel_head.landmarks": (arch.landmarks, None), "kernel_head.project": (None, arch.kernel_rank)}
    return shapes


def read_weights(path: Path, shapes: Mapping[str, Shape]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors, floating-point ones as float32, and its metadata.

    Parameters
    ----------
    path : Path
    shapes : mapping
        Shapes that some tensors must have; they are compared before any number is read.

    Raises
    ------
    ModelError
        Saying what is wrong with the file, but not its name.
    """
    _refuse_no_weights(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            for name, expected in shapes.items():
                _compare(name, tuple(file.get_slice(name).get_shape()) if name in names else None, expected)
            state = {name: file.get_tensor(name) for name in names}
            facts = dict(file.metadata() or {})
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise ModelError(last_line(error)) from error
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, facts


_NO_WEIGHTS = (
    (b"version https://git-lfs", "is a git-lfs pointer and not the file itself: run `git lfs pull`"),
    (b"<", "is a web page, probably a server's error message: download it again"),
    (b"PK\3\4", "is a PyTorch checkpoint, not a safetensors file: nh2st convert makes a model folder of one"),
    (b"\x80", "is a pickle, which is never opened: ask for a safetensors file"),
)


def _refuse_no_weights(path: Path) -> None:
    """Say what stands in a file that is no safetensors file, where that is known."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError:
        return  # the reader says why
    if not head.strip(b"\0"):
        raise ModelError(f"{path.name} is empty: the download or copy did not finish")
    if head[8:9] != b"{":
        for begins, said in _NO_WEIGHTS:
            if head.startswith(begins):
                raise ModelError(f"{path.name} {said}")


def _compare(name: str, shape: tuple[int, ...] | None, expected: Shape) -> None:
    if shape is None:
        raise ModelError(f"there is no {name}")
    if len(shape) != len(expected) or any(e not in (None, n) for n, e in zip(shape, expected, strict=True)):
        wanted = " x ".join("any" if n is None else str(n) for n in expected)
        raise ModelError(f"{name} is {' x '.join(map(str, shape))}, not {wanted}")


def put_weights(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network its weights: all of them, of the right kind, and finite.

    Raises
    ------
    ModelError
        Saying what is wrong, but not the file's name.
    """
    own = net.state_dict()
    kinds = [n for n in own if n in state and own[n].is_floating_point() != state[n].is_floating_point()]
    if kinds:
        raise ModelError(f"{kinds[0]} is {str(state[kinds[0]].dtype).removeprefix('torch.')}, not a real number")
    check_finite(state)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(last_line(error)) from error


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are no numbers, and variances below 0: every prediction would be none."""
    wrong: Iterable[str] = (
        name
        for name, value in state.items()
        if value.is_floating_point()
        and not (bool(value.isfinite().all()) and not (name.endswith("running_var") and bool((value < 0).any())))
    )
    name = next(iter(wrong), None)
    if name is not None:
        raise ModelError(f"{one_line(name, 80)} holds values that no weight can have (NaN, infinite or below 0)")


def last_line(error: Exception) -> str:
    """Return the last line of a library's error, where torch says what is wrong."""
    lines = str(error).strip().splitlines()
    return one_line(lines[-1], 400) if lines else type(error).__name__
