"""`nh2st bench` where it measures nothing."""

from typer.testing import CliRunner

from napari_nh2st import cli
from napari_nh2st.errors import Cancelled


def test_a_row_that_does_not_exist_is_wrong_usage():
    done = CliRunner().invoke(cli.app, ["bench", "--rows", "dense_cost,nonsense"])
    assert done.exit_code == 2
    assert "nonsense" in done.output


def test_a_stop_is_one_line(monkeypatch, nh2st):
    def stopped(*_, **__):
        raise Cancelled("stopped")

    monkeypatch.setattr("napari_nh2st.bench.run.bench", stopped)
    status, out, err = nh2st("bench")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == "error: stopped; nothing was written"
