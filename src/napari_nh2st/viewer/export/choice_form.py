"""A draft of what is to be written: its file ends as its format does, and it says what it will be. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from psygnal import Signal
from pydantic import BaseModel

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.kit.model_draft import Draft

M = TypeVar("M", bound=BaseModel)


class ChoiceForm(Generic[M]):
    """Choices while a person makes them.

    Parameters
    ----------
    base : BaseModel
        With the fields `format` and `file`.
    suffixes : mapping
        Of the formats.
    others : mapping
        Other endings -> the format that they mean.
    words : callable
        Says what will be written; raises an Nh2stError of one line where nothing can be.
    """

    changed = Signal()

    def __init__(
        self, base: M, suffixes: Mapping[str, str], words: Callable[[M], str], others: Mapping[str, str] | None = None
    ) -> None:
        self.draft = Draft(base)
        self._suffixes, self._words = suffixes, words
        self._formats = {suffix: name for name, suffix in suffixes.items()} | dict(others or {})
        self._format = self.draft.value("format")
        touched = self.draft.touched.events
        for told in (touched.added, touched.changed, touched.removed):
            told.connect(self._settle)

    @property
    def problem(self) -> str:
        """Why nothing can be written, in one line; empty where it can."""
        if self.draft.problem:
            return self.draft.problem
        try:
            self._words(self.result())
        except Nh2stError as error:
            return str(error)
        return ""

    @property
    def preview(self) -> str:
        """A sentence about the file to be written; empty if nothing can be written."""
        return "" if self.problem else self._words(self.result())

    def result(self) -> M:
        """Return what was chosen; the file ends as its format does.

        Raises
        ------
        pydantic.ValidationError
            If a value is wrong.
        """
        choice = self.draft.result()
        file = self.draft.value("file")
        if not isinstance(file, Path) or not file.name or file.is_dir() or self._ending(file):
            return choice
        suffix = self._suffixes[str(self.draft.value("format"))]
        return choice.model_copy(update={"file": file.with_name(file.name + suffix)})

    def _ending(self, file: Path) -> str:
        """Return the ending of a file as it is written there; empty if it means no format."""
        ending = next((ending for ending in self._formats if file.name.lower().endswith(ending)), "")
        return file.name[len(file.name) - len(ending) :]

    def _settle(self) -> None:
        """Give the file the ending of another format, or take over the format of another ending."""
        file, chosen = self.draft.value("file"), self.draft.value("format")
        ending = self._ending(file) if isinstance(file, Path) else ""
        another, self._format = chosen != self._format, chosen
        if isinstance(file, Path) and ending and self._formats[ending.lower()] != chosen:
            if another:
                stem = file.name.removesuffix(ending)
                self.draft.change("file", file.with_name(stem + self._suffixes[str(chosen)]))
            else:
                self._format = self._formats[ending.lower()]
                self.draft.change("format", self._format)
        self.changed.emit()
