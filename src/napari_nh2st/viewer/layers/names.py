"""Names of layers: slide first, so that a list of many layers is read at a glance. Every name is made here."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_nh2st.markup import untagged
from napari_nh2st.slide_path import split_picture
from napari_nh2st.viewer.layers.roles import Kind, MapRole, Role, layer_of_slide, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_NUMBER = re.compile(r" \[\d+\]$")  # napari's, behind a name that is taken
_GIVEN: WeakKeyDictionary[Layer, tuple[str, str]] = WeakKeyDictionary()  # the name that we wanted and the one we got


def slide_name(path: Path) -> str:
    """Name a slide after its file; a further picture of it has its number."""
    file, number = split_picture(path)
    return file.name.split(".")[0] + ("" if number is None else f" #{number}")


def name_for(role: Role, viewer: ViewerModel | None = None) -> str:
    """Name a layer by its role: "C4 · ERBB2 · predicted".

    The model follows in brackets where maps of several models lie on the slide.
    """
    slide = _slide_name(viewer, role)
    return _name(role, slide, with_model=viewer is not None and len(_models(viewer, role)) > 1)


def name_layers(viewer: ViewerModel) -> None:
    """Bring the names of our layers in step with the slides, models and genes in the window.

    A name that the user changed stays. Call it when layers come or go, when one shows something else, and when a slide
    gets another name.
    """
    for layer in viewer.layers:
        role = role_of(layer)
        if role is None or not role.title or not _is_ours(viewer, layer, role):
            continue
        wanted = name_for(role, viewer)
        if _GIVEN.get(layer, ("", ""))[0] != wanted:
            if _NUMBER.sub("", layer.name) != wanted:
                layer.name = wanted
            _GIVEN[layer] = wanted, layer.name


def _is_ours(viewer: ViewerModel, layer: Layer, role: Role) -> bool:
    """Return True if a layer has the name that we gave it, or that it was made with."""
    if layer in _GIVEN:
        return bool(layer.name == _GIVEN[layer][1])
    slides = {_slide_name(viewer, role), _slide_name(None, role)}
    made = {_name(role, slide, with_model=with_model) for slide in slides for with_model in (False, True)}
    return _NUMBER.sub("", layer.name) in made


def _name(role: Role, slide: str, *, with_model: bool) -> str:
    details = []
    if isinstance(role, MapRole):
        of_one = role.kind is not Kind.DISAGREEMENT  # of several models; its title names them
        details = [role.map.card.name] * (with_model and of_one) + ["fine"] * (role.map.fine and of_one)
        details += [role.map.correction] * bool(role.map.correction)
    title = f"{role.title} ({', '.join(details)})" if details else role.title
    return untagged(f"{slide} · {title}" if slide else title)


def _slide_name(viewer: ViewerModel | None, role: Role) -> str:
    """Return the name of the slide that a layer lies on, by its layer or its file; empty where it is unknown."""
    layer = None if viewer is None else layer_of_slide(viewer, role.fingerprint)
    if layer is not None:
        return str(layer.name)
    path = role.map.slide.get("path") if isinstance(role, MapRole) else None
    return slide_name(Path(str(path))) if path else ""


def _models(viewer: ViewerModel, role: Role) -> set[str]:
    """Return the names of the models whose maps lie on the slide of a layer."""
    names = defaultdict(set)
    if isinstance(role, MapRole):
        names[role.fingerprint].add(role.map.card.name)
    for layer in viewer.layers:
        other = role_of(layer)
        if isinstance(other, MapRole):
            names[other.fingerprint].add(other.map.card.name)
    return names[role.fingerprint]
