"""A report of one slide: what it says, that it opens by itself, and that it is there as a whole or not at all."""

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from napari_nh2st import Nh2stError, Nh2stWarning, Prediction
from napari_nh2st.errors import Cancelled, UnknownGene
from napari_nh2st.model.card import PredictorFacts
from napari_nh2st.report import pdf, write
from napari_nh2st.report.pdf import lines_of, width_of
from napari_nh2st.report.regions import read_regions
from napari_nh2st.report.tissue import MOST, Likeness, likeness_of
from napari_nh2st.slides import open_slide
from support.models import small_model
from support.predictions import prediction
from support.slides import picture, tiff

NASTY = "<script>alert(1)</script> & $x^2$"


@pytest.fixture
def made():
    invented = Prediction.of(prediction(slide_path=f"/data/{NASTY}.svs"))
    return replace(invented, provenance={**invented.provenance, "command": "nh2st predict a.svs"})


@pytest.fixture
def regions(tmp_path):
    square = [[[0, 0], [700, 0], [700, 500], [0, 500], [0, 0]]]
    off = [[[9000, 9000], [9001, 9000], [9001, 9001], [9000, 9000]]]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": shape}, "properties": {"name": name}}
        for shape, name in ((square, NASTY), (off, "off the tissue"))
    ]
    file = tmp_path / "regions.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def test_the_page_says_everything_and_opens_by_itself(made, regions, tmp_path):
    shares = []
    path = write.write_report(made, tmp_path / "r.html", ["HER2", "IGKC"], regions=regions, progress=shares.append)
    page = path.read_text(encoding="utf-8")
    text = unescape(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))
    for said in (
        f"{NASTY}.svs", "not a measurement", "ERBB2", "held-out PCC 0.40 (0.30 to 0.50)", "0.30 to 0.50",
        "not evaluated", "PCC: correlation of predicted with measured values", "Synthetic tissue: drawn by a computer.",
        "Not checked: the slide is not there.", "Drawn without tissue", "nh2st predict a.svs", "test-model", "Licence",
        "No predicted tile in off the tissue",
    ):  # fmt: skip
        assert said in text, said
    inside = made.places.centres[made.done]
    inside = inside[(inside[:, 0] < 700) & (inside[:, 1] < 500)]
    assert re.search(rf"ERBB2\s+{700 * 500 * 0.25e-6:.3g}\s+{len(inside)}\s", text)
    assert not re.search(r"<script|<link|src=\"(?!data:image/png;base64,)|url\(|@import|https?:", page)
    assert page.count("data:image/png;base64,") == 3  # the slide and two maps
    assert page.count("@media (prefers-color-scheme: dark)") == page.count("@media print") == 1
    assert (shares[0], shares[-1], shares) == (0, 1, sorted(shares))


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_pdf_has_pages_and_no_line_leaves_them(made, regions, tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "DPI", 80)
    path = write.write_report(made, tmp_path / "r.pdf", ["ERBB2", "CD74", "IGKC"], regions=regions)
    data = path.read_bytes()
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", data)) >= 2
    for text in ("word " * 60, "/a/path/without/blanks" * 20, "日本 " * 40, ""):
        for size in (8.0, 16.0):
            assert max(width_of(line, size) for line in lines_of(text, 80, size)) <= 81


def test_what_means_nothing_is_said_first(made, tmp_path):
    real = Prediction.of(made)
    real.slide["synthetic"] = False
    with pytest.warns(Nh2stWarning, match="means nothing"):
        path = real.report(tmp_path / "r.html", "ERBB2", check_tissue=False)
    page = path.read_text(encoding="utf-8")
    assert 0 < page.index('role="alert"') < page.index("means nothing") < page.index("<h2>")
    assert "No genes were named" not in page


def test_nothing_is_left_of_a_report_that_was_stopped_or_cannot_be(made, tmp_path):
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 2

    for name in ("r.html", "r.pdf"):
        asked.clear()
        with pytest.raises(Cancelled):
            write.write_report(made, tmp_path / name, cancelled=cancelled)
    with pytest.raises(Nh2stError, match=r"ends in \.html or \.pdf"):
        write.write_report(made, tmp_path / "r.docx")
    with pytest.raises(UnknownGene, match=r"ERB2 \(did you mean ERBB2\?\)"):
        write.write_report(made, tmp_path / "r.html", ["ERB2"])
    with pytest.raises(Nh2stError, match="on the lattice"):
        write.write_report(prediction(lattice=False), tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_regions_that_are_none_are_refused_in_one_line(tmp_path):
    file = tmp_path / "r.geojson"
    for text, says in (
        ("{", "regions"),
        ('{"type": "FeatureCollection"}', "no GeoJSON"),
        ("[]", "holds no region"),
    ):
        file.write_text(text)
        with pytest.raises(Nh2stError, match=says):
            read_regions(file)


@pytest.mark.filterwarnings("ignore:The model 'small-context'")
def test_tiles_are_compared_with_the_training_tissue(tmp_path, monkeypatch):
    """Of more tiles than are looked at, some are drawn by chance; what is not possible is said."""
    from napari_nh2st.api.predict import predict
    from napari_nh2st.model import folder
    from napari_nh2st.report import tissue

    class Reference:
        """Finds a third of the tiles unusual, and half of those far from all."""

        def novelty(self, embeddings):
            return np.resize(np.float32([0.5, 0.5, 1.2, 0.5, 0.5, 2.0]), len(embeddings))

    model = small_model(tmp_path)
    with open_slide(tiff(tmp_path / "a.tif", picture(900, 900) // 2), mpp=1.0) as slide:
        made = predict(slide, model).only_done()
        assert "keeps no record" in likeness_of(made, slide, model.path)
        assert "was not named" in likeness_of(made, slide)
        assert "another one" in likeness_of(made, slide, "demo")
        monkeypatch.setattr(folder, "load_reference", lambda path: Reference())
        monkeypatch.setattr(tissue, "MOST", 12)
        assert likeness_of(made, slide, model.path) == Likeness(12, 4, 2, len(made))
    assert len(made) < MOST


def test_someone_elses_model_is_named_by_its_version_and_its_accuracy_is_unknown(made, tmp_path):
    facts = PredictorFacts(version="7.1", unit="log share", tile=112)
    card = made.card.model_copy(update={"predictor": facts, "evaluation": None, "synthetic": False})
    slide = tiff(tmp_path / "s.tif", picture(300, 300), resolution=(1e4, 1e4), resolutionunit=3)
    with open_slide(slide) as opened:
        said = likeness_of(replace(made, card=card), opened)
    assert said == "Not checked: this model keeps no record of its training tissue."
    page = write.write_report(replace(made, card=card), tmp_path / "r.html", ["HER2"]).read_text(encoding="utf-8")
    text = unescape(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))
    assert re.search(r"Version\s+7\.1", text)
    assert "log share" in text
    assert "no held-out accuracy is known for this model" in text
