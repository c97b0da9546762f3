"""JSON and YAML within limits: no key twice, no endless nesting, no numbers without end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_nh2st.errors import Nh2stError, one_line
from napari_nh2st.reading.files import MB, contents, told
from napari_nh2st.reading.text import read_text, text_of

DEEPEST = 50
_JSON_LIMIT = 64 * MB
_YAML_LIMIT = 1 * MB
_YAML_NODES = 100_000


def parse_json(text: bytes | str, *, infinite: bool = False, repeated: bool = False) -> Any:
    """Parse JSON.

    Parameters
    ----------
    text : bytes or str
        UTF-8, or with a byte order mark.
    infinite : bool
        Whether NaN and Infinity are taken, as Python writes them.
    repeated : bool
        Whether of a key that is named twice the last value counts.

    Raises
    ------
    ValueError
        If it is none, names a key twice, is nested too deeply, or has a number that no computer number can be.
    """
    text = text_of(text) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    try:
        hook = None if repeated else _once
        if infinite:
            value = json.loads(text, object_pairs_hook=hook)
        else:
            value = json.loads(text, object_pairs_hook=hook, parse_float=_finite, parse_constant=_finite)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a letter (a lone surrogate)") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise _twice(name for name, _ in pairs)
    return entries


def _twice(names: Iterable[str]) -> ValueError:
    earlier: set[str] = set()
    name = next((n for n in names if n in earlier or earlier.add(n)), "")  # type: ignore[func-returns-value]
    return ValueError(f"it names {one_line(name, 60)!r} twice: remove one of the two")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text[:20]} instead of a number")
    return value


def read_json(
    path: str | Path,
    what: str = "",
    error: type[Nh2stError] = Nh2stError,
    *,
    most: int = _JSON_LIMIT,
    infinite: bool = False,
) -> Any:
    """Read a JSON file; one line of the house if it is none. Parameters as in `told`, `contents` and `parse_json`."""
    with told(path, what, error):
        return parse_json(contents(path, most), infinite=infinite)


def read_yaml(path: str | Path, what: str = "", error: type[Nh2stError] = Nh2stError) -> Any:
    """Read a YAML file of plain values; one line of the house if it is none."""
    text = read_text(path, what, error, most=_YAML_LIMIT)
    with told(path, what, error):
        return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """Parse YAML of plain values.

    Raises
    ------
    ValueError
        If it is none, names a key twice, is nested too deeply, or grows without end by its own references.
    """
    import yaml

    loader = None
    try:
        loader = _loader()(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, [])
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ValueError(f"it is not valid YAML: {where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"it is not valid YAML: {one_line(error, 200)}") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()


def _loader() -> Any:
    """Return PyYAML's safe loader, which stops at deep nesting and at a key that stands twice."""
    import yaml

    class Loader(yaml.SafeLoader):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > DEEPEST:
                raise ValueError("it is nested too deeply")
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= 1

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [(k.tag, k.value) for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
            if len(set(keys)) < len(keys):
                raise _twice(value for _, value in keys)
            return super().construct_mapping(node, deep)

    return Loader


def _count(node: Any, counted: dict[int, int], open_nodes: list[int]) -> int:
    """Count the nodes of a document with every reference written out."""
    if id(node) in open_nodes:
        raise ValueError("it refers to itself: write the values out")
    if id(node) not in counted:
        value = node.value if isinstance(node.value, list) else []
        children = [child for entry in value for child in (entry if isinstance(entry, tuple) else (entry,))]
        open_nodes.append(id(node))
        counted[id(node)] = 1 + sum(_count(child, counted, open_nodes) for child in children)
        open_nodes.pop()
    if counted[id(node)] > _YAML_NODES:
        raise ValueError("its references (&, *) make it far too large: write the values out")
    return counted[id(node)]
