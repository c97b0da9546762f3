"""All settings of a run: a form that is made of `TrainingConfig`, its limits and its descriptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.viewer.finetune.panel_choice import PANEL_NAMES
from napari_nh2st.viewer.finetune.settings_presenter import GROUPS, SettingsPresenter
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.model_form import ModelForm
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.kit.texts import Banner, Sentence

_WIDTH, _HEIGHT, _AROUND = 500, 680, 90  # pixels; what a window's frame and a panel of the desktop take


class SettingsDialog(QDialog):
    """The form, what is wrong with it in one line, and the ways out.

    Parameters
    ----------
    presenter : SettingsPresenter
    open_file : callable
        Opens the settings file where the person edits it by hand.
    parent : QWidget
    """

    def __init__(self, presenter: SettingsPresenter, open_file: Callable[[Path], None], parent: QWidget) -> None:
        super().__init__(parent)
        self.presenter, self._open_file = presenter, open_file
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("All settings of the run")
        self.form = ModelForm(presenter.draft, GROUPS, presenter.reasons_off, {"panel_kind": PANEL_NAMES})
        self.problem = Banner()
        self.problem.setVisible(False)
        self.yaml = action_button(
            "Edit as YAML…", "Save, and open the file with every setting and a word on it", self._edit_yaml
        )
        self.cancel = action_button("Cancel", "Close, and leave the settings as they were", self.reject)
        self.save = action_button("Save", "Use these settings when the run starts", self._save)
        self._lay_out()
        presenter.draft.touched.events.connect(self._check)

    def _lay_out(self) -> None:
        layout = column(self)
        layout.setContentsMargins(8, 8, 8, 8)
        hint = Sentence("Bold: not the default; ↺ brings the default back. Point at a setting to read what it does.")
        buttons = row(self.yaml, self.cancel, self.save)
        buttons.insertStretch(1, 1)
        for button in (self.yaml, self.cancel, self.save):
            button.setAutoDefault(False)  # Enter in a field takes its value over, and no more
        layout.addWidget(hint)
        layout.addWidget(self.form, 1)
        layout.addWidget(self.problem)
        layout.addLayout(buttons)
        screen = self.screen().availableGeometry()
        self.resize(max(_WIDTH, self.form.sizeHint().width() + 16), min(_HEIGHT, screen.height() - _AROUND))

    def _check(self) -> None:
        problem = self.presenter.draft.problem
        self.problem.say(problem)
        for button in (self.save, self.yaml):
            button.set_reason_off(problem)

    def _save(self) -> None:
        if self._written(self.presenter.save) is not None:
            self.accept()

    def _edit_yaml(self) -> None:
        path = self._written(self.presenter.save_as_yaml)
        if path is not None:
            self.accept()
            self._open_file(path)

    def _written(self, write: Callable[[], Path]) -> Path | None:
        """Write the settings; where that fails, say why and keep what was chosen."""
        try:
            return write()
        except OSError as error:
            self.problem.say(f"The run's folder cannot be used ({error.strerror or error})")
        except Nh2stError as error:
            self.problem.say(error_words(error))
        return None
