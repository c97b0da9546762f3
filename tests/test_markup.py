"""Names from elsewhere in pages, tables and figures: only text."""

import csv
import io

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_nh2st.evaluation.report import markdown
from napari_nh2st.markup import figure_text, markdown_text, untagged
from napari_nh2st.model.folder import readme
from napari_nh2st.reading import plain_cell, written_frame
from support.models import small_card

HOSTILE = '<img src=x onerror="a()"> [a](http://b) `c` *d* & e\n# f | g'


@pytest.mark.parametrize("mark", "<>[]`*&\\")
def test_no_mark_of_markdown_stands_free(mark):
    said = markdown_text(HOSTILE)
    assert f"\\{mark}" in said or mark not in HOSTILE
    assert all(said[at - 1] == "\\" for at, letter in enumerate(said) if letter == mark and mark != "\\")
    assert "\n" not in said
    assert markdown_text("# heading") == "\\# heading"
    assert markdown_text("Breast cancer, HER2-positive (5 µm)") == "Breast cancer, HER2-positive (5 µm)"


def test_the_readme_of_a_model_and_a_report_hold_names_as_text():
    page = readme(small_card(name=HOSTILE, description=HOSTILE, licence="mit\nevil: yes", citation=HOSTILE))
    scores = {"pcc_mean": 0.5, "genes": {HOSTILE: {"pcc": 0.5}}}
    report = {"splits": [{"test": [HOSTILE], "models": {HOSTILE: scores}}], "warnings": [HOSTILE]}
    for text in (page, markdown(report, picture="a b.png")):
        assert "\\<img" in text
        assert "<img" not in text.replace("\\<img", "")
        assert "\n# f" not in text
    assert "\nevil" not in page
    assert "](a%20b.png)" in markdown(report, picture="a b.png")


@pytest.mark.parametrize("name", ["$\\frac$", "a$b$c", "$", "\\$1$", "A_1"])
def test_a_figure_shows_a_name_as_it_is(name):
    figure = Figure()
    text = figure.text(0, 0, figure_text(name))
    FigureCanvasAgg(figure).draw()
    assert text._preprocess_math(text.get_text()) == (name, False)


def test_a_table_for_excel_runs_nothing_and_keeps_its_numbers():
    frame = pd.DataFrame({"=name": ["=1+1", "@x", "B"], "fold": [-1.5, 2.0, -0.0], "n": [1, -2, 3]})
    file = io.StringIO()
    written_frame(frame).to_csv(file, index=False)
    head, *rows = csv.reader(io.StringIO(file.getvalue()))
    assert not any(cell.startswith(("=", "@")) for row in [head, *rows] for cell in row)
    assert [row[1:] for row in rows] == [["-1.5", "1"], ["2.0", "-2"], ["-0.0", "3"]]
    assert [plain_cell(row[0]) for row in rows] == ["=1+1", "@x", "B"]


def test_a_name_for_napari_has_no_tag_and_is_else_the_same():
    assert untagged("<b>x</b> <!-- <?xml </") == "‹b>x‹/b> ‹!-- ‹?xml ‹/"
    assert untagged("PCC < 0.5, a<1, HLA-A") == "PCC < 0.5, a<1, HLA-A"
