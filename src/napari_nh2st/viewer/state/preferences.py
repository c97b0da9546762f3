"""What the dock remembers for the next start, kept by napari: Preferences > NH2ST shows the same and changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_nh2st.viewer.kit.connections import Connections

PLUGIN = "napari-nh2st"


@dataclass(frozen=True)
class Choice:
    """One thing that is remembered.

    Attributes
    ----------
    chosen : tuple of signals
        They fire when a person chooses, not when the program does.
    read, use : callable
        What is chosen now, and choosing it; what is no longer there is left alone.
    """

    chosen: tuple[Any, ...]
    read: Callable[[], Any]
    use: Callable[[Any], None]


def stored() -> Any:
    """Return the values that napari keeps for the dock, None where this plugin is not among its plugins."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN).dock
    except KeyError:
        return None


class Preferences:
    """Remembers choices and takes them up again, at the start and when they are changed in napari's Preferences.

    Parameters
    ----------
    choices : dict of Choice
        By their names in `napari.yaml`.
    connections : Connections
        Ends with the dock.
    """

    def __init__(self, choices: dict[str, Choice], connections: Connections) -> None:
        self._choices, self._values = choices, stored()
        if self._values is None:
            return
        for name, choice in choices.items():
            self._take_up(name)
            for signal in choice.chosen:
                signal.connect(lambda *_, name=name: self._remember(name))
            connections.add(getattr(self._values.events, name), lambda event, name=name: self._take_up(name))

    def _take_up(self, name: str) -> None:
        choice, value = self._choices[name], getattr(self._values, name)
        if value != choice.read():
            choice.use(value)

    def _remember(self, name: str) -> None:
        value = self._choices[name].read()
        if value != getattr(self._values, name):
            setattr(self._values, name, value)


def of_combo(combo: Any, names: list[Any]) -> Choice:
    """Return the choice of a combo box whose entries have these names, in their order."""

    def use(value: Any) -> None:
        if value in names:
            combo.setCurrentIndex(names.index(value))

    return Choice((combo.activated,), lambda: names[max(0, combo.currentIndex())], use)


def of_check(box: Any) -> Choice:
    """Return the choice of a check box."""
    return Choice((box.clicked,), box.isChecked, box.setChecked)


def dock_choices(dock: Any) -> dict[str, Choice]:
    """Return what the NH2ST dock remembers."""
    models, where, genes, result = dock.models, dock.where, dock.genes, dock.result

    def use_model(name: str) -> None:
        if models.combo.findData(name) >= 0:  # else its folder is gone
            models.use(name)

    def use_where(name: str) -> None:
        dock.state.where = name

    limits = [genes.limits.itemText(i) for i in range(genes.limits.count())]
    colours = [genes.colours.itemData(i) for i in range(genes.colours.count())]
    return {
        "model": Choice((models.combo.activated, models.folder.clicked), lambda: models.model, use_model),
        "device": Choice((result.devices.activated,), lambda: result.device, result.use_device),
        "where": Choice(tuple(b.clicked for b in where.buttons.values()), lambda: dock.state.where, use_where),
        "detail": of_combo(where.detail, ["coarse", "fine"]),
        "colormap": of_combo(genes.colours, colours),
        "percentiles": of_combo(genes.limits, limits),
        "lock": of_check(genes.lock),
        "smooth": of_check(genes.smooth),
    }
