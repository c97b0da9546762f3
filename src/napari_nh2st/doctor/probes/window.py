"""Probe: a Qt window and an OpenGL canvas in it, as napari's."""

from __future__ import annotations

import time

from napari_nh2st.doctor.child import tell

_SECONDS = 10.0


def probe() -> None:
    """Tell how far it gets: the Qt binding, a window, a canvas that has drawn, and what draws it."""
    import qtpy
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication, QMainWindow

    tell("binding", f"{qtpy.API_NAME} {qtpy.PYQT_VERSION or qtpy.PYSIDE_VERSION}")
    tell("qt", qtpy.QT_VERSION)
    application = QApplication([])
    tell("platform", application.platformName())
    screen = application.primaryScreen()
    if screen is not None:
        tell("screen", [screen.size().width(), screen.size().height(), screen.devicePixelRatio()])
    window = QMainWindow()
    window.resize(160, 120)
    window.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)  # somebody may be typing in another
    window.show()
    application.processEvents()
    tell("window", True)
    _draw(application, window)


def _draw(application: object, window: object) -> None:
    import numpy as np
    from qtpy.QtWidgets import QApplication
    from vispy import app
    from vispy.gloo import gl
    from vispy.scene import SceneCanvas
    from vispy.scene.visuals import Image

    app.use_app("pyside6" if "pyside6" in _binding() else "pyqt6")
    canvas = SceneCanvas(size=(120, 90), show=False)
    window.setCentralWidget(canvas.native)  # type: ignore[attr-defined]
    view = canvas.central_widget.add_view()
    Image(np.full((8, 8), 0.5, np.float32), parent=view.scene, clim=(0, 1))
    drawn: list[dict[str, object]] = []

    def note(event: object) -> None:
        drawn.append(
            {
                "version": str(gl.glGetParameter(gl.GL_VERSION)),
                "renderer": str(gl.glGetParameter(gl.GL_RENDERER)),
                "vendor": str(gl.glGetParameter(gl.GL_VENDOR)),
                "texture": int(gl.glGetParameter(gl.GL_MAX_TEXTURE_SIZE)),
            }
        )

    canvas.events.draw.connect(note, position="last")
    until = time.monotonic() + _SECONDS
    while not drawn and time.monotonic() < until:
        canvas.update()
        QApplication.processEvents()
        time.sleep(0.01)
    if drawn:
        tell("gl", drawn[0])


def _binding() -> str:
    import qtpy

    return str(qtpy.API)
