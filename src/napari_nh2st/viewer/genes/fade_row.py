"""The slider that fades whatever lies on the tissue."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Label
from napari_nh2st.viewer.predict.workspace import Workspace

KEY = "H"  # free in napari's viewer and in every mode of its layers
_TIP = f"Fade maps, domains and measured spots to see the tissue; {KEY} hides them and brings them back"


class FadeRow(QWidget):
    """A slider from the tissue alone to everything on it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._fade = workspace.fade
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setToolTip(_TIP)
        column(self).addLayout(row(Label("tissue"), self.slider, Label("map"), label="Fade", stretch=1))
        self.slider.valueChanged.connect(lambda value: self._fade.fade(value / 100))
        self._fade.changed.connect(self._show)
        workspace.when_closing(lambda: self._fade.changed.disconnect(self._show))
        self._show()

    def _show(self) -> None:
        with signals_blocked(self.slider):
            self.slider.setValue(round(100 * self._fade.shown))
