"""Weights of a safetensors file: sizes first, from its header, then the numbers. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from napari_nh2st.errors import ModelError, one_line
from napari_nh2st.model.card import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int | None, ...]  # None is any size


def network_shapes(arch: Architecture, n_genes: int) -> dict[str, Shape]:
    """Return the shape of every tensor of a network; no memory is taken for it.

    With these compared first, a card can make nothing larger than the file of its weights is.
    """
    from napari_nh2st.model.nh2st import build_without_numbers

    net = build_without_numbers(arch, n_genes)
    return {name: tuple(values.shape) for name, values in net.state_dict().items()}


# Parts of the head in files from before heads were a table, and what was kept there for training alone.
_OF_HEAD = ("token.", "image_graph.", "cross.", "to_hidden.", "target.")
_FOR_TRAINING = ("gene_encoder.", "gene_graph.")


def names_today(names: Iterable[str], arch: Architecture) -> dict[str, str]:
    """Return today's name of each tensor in a model's file; those of an older file that are not read are left out."""
    names = list(names)
    if not any(name.startswith(_FOR_TRAINING) for name in names):
        return {name: name for name in names}
    left_out = _FOR_TRAINING if arch.row.dense else (*_FOR_TRAINING, "cross.")
    kept = [name for name in names if not name.startswith(left_out)]
    return {name: f"head.{name}" if name.startswith(_OF_HEAD) else name for name in kept}


def read_weights(
    path: Path,
    shapes: Mapping[str, Shape],
    names: Callable[[Iterable[str]], Mapping[str, str]] | None = None,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors, floating-point ones as float32, and its metadata.

    Parameters
    ----------
    path : Path
    shapes : mapping
        Shapes that some tensors must have; they are compared before any number is read.
    names : callable, optional
        From the names in the file to those that they get; others are not read.

    Raises
    ------
    ModelError
        Saying what is wrong with the file, but not its name.
    """
    _refuse_no_weights(path)
    try:
        with safe_open(path, framework="pt") as file:
            found = list(file.keys())
            there = dict(zip(found, found, strict=True))
            if names is not None:
                there = {ours: theirs for theirs, ours in names(found).items()}
            for name, expected in shapes.items():
                _compare(name, tuple(file.get_slice(there[name]).get_shape()) if name in there else None, expected)
            state = {name: file.get_tensor(theirs) for name, theirs in there.items()}
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
