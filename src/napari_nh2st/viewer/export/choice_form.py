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
    words : callable
        Says what will be written; raises an Nh2stError of one line where nothing can be.
    """

    changed = Signal()

    def __init__(self, base: M, suffixes: Mapping[str, str], words: Callable[[M], str]) -> None:
        self.draft = Draft(base)
        self._suffixes, self._words = suffixes, words
        self._formats = {suffix: name for name, suffix in suffixes.items()}
        if "TIFF" in suffixes:
            self._formats[".tif"] = "TIFF"
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
        if not isinstance(file, Path) or not file.name or file.is_dir() or file.suffix.lower() in self._formats:
            return choice
        suffix = self._suffixes[str(self.draft.value("format"))]
        return choice.model_copy(update={"file": file.with_name(file.name + suffix)})

    def _settle(self) -> None:
        """Give the file the ending of another format, or take over the format of another ending."""
        file, chosen = self.draft.value("file"), self.draft.value("format")
        ending = self._formats.get(file.suffix.lower()) if isinstance(file, Path) else None
        another, self._format = chosen != self._format, chosen
        if isinstance(file, Path) and ending is not None and ending != chosen:
            if another:
                self.draft.change("file", file.with_suffix(self._suffixes[str(chosen)]))
            else:
                self._format = ending
                self.draft.change("format", ending)
        self.changed.emit()
