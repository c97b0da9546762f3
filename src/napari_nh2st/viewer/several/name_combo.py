"""A combo box in which a name may be typed."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit

from napari_nh2st.viewer.kit.combo import NarrowCombo


class NameCombo(NarrowCombo):
    """A list of names with a field for another one, which is not added to the list."""

    def __init__(self, tooltip: str, placeholder: str) -> None:
        super().__init__(tooltip)
        self.setEditable(True)
        self.setInsertPolicy(NarrowCombo.InsertPolicy.NoInsert)
        self.field.setPlaceholderText(placeholder)

    @property
    def field(self) -> QLineEdit:
        """The field for a name."""
        field = self.lineEdit()
        assert field is not None
        return field

    def choose(self, name: str) -> None:
        """Show a name of the list."""
        self.setCurrentIndex(max(0, self.findText(name)))
        self.field.setCursorPosition(0)  # of a long name, the beginning is seen
