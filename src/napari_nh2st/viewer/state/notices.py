"""Sentences for the person at the dock. No Qt."""

from __future__ import annotations

from psygnal import Signal

from napari_nh2st.viewer.kit.phrases import error_words


class Notices:
    """Passes sentences on to whoever shows them."""

    said = Signal(str)

    def say(self, text: str) -> None:
        """Say a sentence."""
        self.said.emit(text)

    def complain(self, error: Exception | str) -> None:
        """Say what went wrong."""
        self.said.emit(error if isinstance(error, str) else error_words(error))
