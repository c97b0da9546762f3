"""The check of the installation from the dock: a report off the GUI thread, to be copied and saved."""

import pytest

from napari_nh2st.doctor.child import Answer
from napari_nh2st.doctor.examination import Probes
from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.export import installation_check
from napari_nh2st.viewer.export.installation_check import LOOKING, InstallationCheck
from support import doctor, slides


class View:
    def __init__(self):
        self.said, self.report = [], ""

    def say(self, text):
        self.said.append(text)

    def show_report(self, text):
        self.report = text


class Later:
    """Threads that work when they are told to."""

    def __init__(self):
        self.waiting = []

    def call(self, function, *args, then, failed):
        self.waiting.append((function, args, then, failed))

    def work(self):
        for function, args, then, failed in self.waiting:
            try:
                value = function(*args)
            except Exception as error:
                failed(error)
            else:
                then(value)


@pytest.fixture
def view(monkeypatch):
    monkeypatch.setattr(installation_check, "Probes", doctor.probes)
    monkeypatch.setenv("DISPLAY", ":9")
    return View()


def test_the_report_is_counted_shown_and_saved(view, tmp_path):
    threads = Later()
    with open_slide(slides.tiff(tmp_path / "Huber.tif", slides.picture(70, 60)), mpp=0.5) as slide:
        check = InstallationCheck(threads, view, slide)
    check.start()
    assert view.said == [LOOKING]
    threads.work()
    assert " 0 faults." in view.said[-1]
    assert "Slide <slide>" in view.report
    assert "Huber" not in view.report
    check.save(tmp_path / "report.txt")
    assert (tmp_path / "report.txt").read_text("utf-8") == view.report
    assert view.said[-1] == "Saved: report.txt"


def test_a_dialog_that_was_closed_is_told_nothing(view):
    threads = Later()
    check = InstallationCheck(threads, view)
    check.start()
    check.stop()
    threads.work()
    assert view.said == [LOOKING]
    assert not view.report


def test_a_probe_that_dies_is_a_fault_in_the_report(view, monkeypatch):
    dead = Answer(ended="ended with signal 11 (SIGSEGV)")
    monkeypatch.setattr(installation_check, "Probes", lambda: Probes(lambda *_, **__: dead))
    threads = Later()
    InstallationCheck(threads, view).start()
    threads.work()
    assert "FAULT    torch cannot be imported: ended with signal 11 (SIGSEGV)" in view.report


@pytest.mark.pyqt6
@pytest.mark.viewer
def test_copied_in_a_window(make_napari_viewer, qtbot, view):
    from qtpy.QtWidgets import QApplication, QWidget

    from napari_nh2st.viewer.export.check_dialog import CheckDialog

    threads, parent = Later(), QWidget()
    qtbot.addWidget(parent)
    dialog = CheckDialog(parent, threads)
    dialog.show()
    assert not dialog.copy.isEnabled() or "not there yet" in dialog.copy.toolTip()
    threads.work()
    dialog.copy.click()
    assert QApplication.clipboard().text() == dialog.text.toPlainText()
    assert "Installation" in dialog.text.toPlainText()
    dialog.reject()
