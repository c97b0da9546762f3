"""The section *Several genes*: pinned ones as layers, three in one image, and the score of a set."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.layout import column, rule
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.composite_part import CompositePart
from napari_nh2st.viewer.several.pinned_part import PinnedPart
from napari_nh2st.viewer.several.signature_part import SignaturePart


class SeveralSection(QWidget):
    """Three parts, one below the other."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        layout = column(self, spacing=8)
        self.pinned = PinnedPart(workspace)
        self.composite = CompositePart(workspace)
        self.signature = SignaturePart(workspace)
        for part in (self.pinned, rule(), self.composite, rule(), self.signature):
            layout.addWidget(part)
