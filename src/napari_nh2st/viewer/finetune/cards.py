"""Cards of models, as the fine-tune dock reads them. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card


class Cards(Protocol):
    """Reads cards, as `Services` does."""

    def load_card(self, model: str) -> Card:
        """Read a model's card; quick, without torch."""
