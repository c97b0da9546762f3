"""The page of a cohort, of slides whose answers are made up."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from napari_nh2st.cohort.at_work import DONE, FAILED
from napari_nh2st.cohort.job import Job
from napari_nh2st.cohort.leftovers import cohort_table
from napari_nh2st.cohort.page import page_of
from napari_nh2st.cohort.run import SlideRun
from napari_nh2st.cohort.summary import jpeg_text

OF_THE_MODEL, OF_THE_SLIDE = "It was trained on five sections.", "The stain is redder."


def done(path, patient, *warnings):
    row = {"tissue_mm2": 7.4, "tiles_total": 1326, "seconds": 2.5, "unlike": 0.25, "warnings": list(warnings)}
    answer = {"row": row, "genes": {"unit": "counts"}, "pictures": {"thumbnail": "", "maps": {}}}
    return SlideRun(Job(path, None, "", patient, None), DONE, answer)


def written(*slides):
    return page_of(slides, cohort_table(slides), {"model": "m", "command": "nh2st predict /far/away"})


def test_what_is_said_of_all_slides_stands_there_once():
    page = written(done("/x/a.svs", "P1", OF_THE_MODEL), done("/x/b.svs", "P2", OF_THE_SLIDE, OF_THE_MODEL))
    assert page.count(OF_THE_MODEL) == 1
    assert f"All slides: {OF_THE_MODEL}" in page
    assert f'<td class="words">{OF_THE_SLIDE}</td>' in page
    assert '<td class="tiles number" data-value="1326.0">1,326</td>' in page
    assert '<td class="patient">P2</td>' in page


def test_a_failure_names_the_file_and_a_column_without_values_is_left_out():
    failed = SlideRun(Job("/x/b.svs", None, "", "", None), FAILED, {"error": "/x/b.svs: there is no tissue"})
    page = written(done("/x/a.svs", "", OF_THE_MODEL), failed)
    assert "<li><b>b</b>: b.svs: there is no tissue</li>" in page
    assert '<td class="state">failed</td>' in page
    assert "Patient" not in page
    assert f'<td class="words">{OF_THE_MODEL}</td>' in page


@pytest.mark.parametrize(("many", "side", "genes"), [((2, 2), 160, ["A", "B"]), ((1, 1), 80, ["A"])])
def test_of_very_many_slides_the_page_has_smaller_pictures_and_fewer_genes(monkeypatch, many, side, genes):
    monkeypatch.setattr("napari_nh2st.cohort.page._LARGE", many)
    slides = [done("/x/a.svs", ""), done("/x/b.svs", "")]
    slides[0].answer["pictures"]["thumbnail"] = jpeg_text(Image.fromarray(np.full((120, 160, 3), 200, np.uint8)))
    for slide in slides:
        slide.answer["pictures"]["maps"] = {"A": {}, "B": {}}
    text = written(*slides)
    pictures = json.loads(text.partition('id="pictures">')[2].partition("</script>")[0])
    assert Image.open(io.BytesIO(base64.b64decode(pictures["a"]["thumbnail"]))).size == (side, side * 3 // 4)
    assert pictures["b"]["thumbnail"] == ""
    assert list(pictures["a"]["maps"]) == genes
