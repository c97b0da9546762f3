"""The page of a cohort, of slides whose answers are made up."""

from napari_nh2st.cohort.at_work import DONE, FAILED
from napari_nh2st.cohort.job import Job
from napari_nh2st.cohort.leftovers import cohort_table
from napari_nh2st.cohort.page import page_of
from napari_nh2st.cohort.run import SlideRun

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
