"""A dialog for what is to be written: the form, what it will be in words, and why not where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDialog, QWidget

from napari_nh2st.viewer.export.choice_form import ChoiceForm
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.model_form import ModelForm
from napari_nh2st.viewer.kit.texts import Sentence

_WIDTH = 480  # room for a path


class ChoiceDialog(QDialog):
    """Shows a form and hands on what was chosen.

    Parameters
    ----------
    parent : QWidget
    title : str
    form : ChoiceForm
    save : callable
        Gets the model that was chosen.
    """

    def __init__(self, parent: QWidget, title: str, form: ChoiceForm[Any], save: Callable[[Any], None]) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.form, self._save = form, save
        self.fields = ModelForm(form.draft, {title: list(form.draft.fields)})
        self.sentence = Sentence()
        self.save = action_button("Save", "Write the file", self._accepted)
        self.save.setDefault(True)
        self.cancel = action_button("Cancel", "Write nothing", self.reject)
        layout = column(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.fields, 1)
        layout.addWidget(self.sentence)
        layout.addLayout(row(QWidget(), self.cancel, self.save, stretch=0))
        form.changed.connect(self._show)
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        """Have room for all rows, now that they have the window's theme and font."""
        super().showEvent(event)
        self.fields.setMinimumHeight(self.fields.widget().sizeHint().height())
        self.resize(max(self.width(), _WIDTH), self.sizeHint().height())

    def _show(self) -> None:
        problem = self.form.problem
        self.sentence.say(problem or self.form.preview)
        self.save.set_reason_off(problem)

    def _accepted(self) -> None:
        if not self.form.problem:
            self._save(self.form.result())
            self.accept()
