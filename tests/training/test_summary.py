"""A run's summary, by whatever names its folder."""

from napari_nh2st.training.run.summary import Summary, SummaryLine, read_summary, write_summary


def test_a_summary_is_read_by_a_text_and_by_a_path(tmp_path):
    line = SummaryLine(name="colour ridge", about="colours alone", pcc=0.1, low=0.0, high=0.2)
    summary = Summary(kind="cross-patient", held_out=["B"], spots=10, genes=2, lines=[line])
    write_summary(summary, tmp_path)
    assert read_summary(str(tmp_path)) == read_summary(tmp_path) == summary
    assert read_summary(str(tmp_path / "nowhere")) is None
