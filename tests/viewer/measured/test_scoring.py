"""With what the fold "Measured" predicts at the spots."""

from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.analysis.measured import Frame
from napari_nh2st.expression.detect import MeasurementFiles
from napari_nh2st.viewer.measured.measurement import SlideMeasurement, compare_at_spots
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from viewer.fakes import GENES, FakeServices, FakeSlide


@pytest.mark.parametrize(("precision", "painted", "opened"), [
    ("fp32", None, 0), ("bf16", None, 1), ("fp32", "a mask", 1),
])  # fmt: skip
def test_figures_are_in_fp32_whatever_the_map_was_made_in(precision, painted, opened):
    services, slide = FakeServices(), FakeSlide()
    model = services.load_model("her2st")
    session = services.session(slide, model, pitch=112, tissue=None)
    session.precision = precision
    shown = PredictedMap(services.describe(slide), model.card, services.decoder(model), scale=2.0, pitch=112)
    inputs = SimpleNamespace(slide=slide, model=model, map=shown, session=session, tissue=painted)
    rng = np.random.default_rng(0)
    data = ad.AnnData(sp.csr_matrix(rng.poisson(9, (40, 4)), dtype=np.float32))
    data.var_names, data.obsm["spatial"] = GENES, rng.uniform(200, 800, (40, 2))
    measurement = SlideMeasurement(
        MeasurementFiles("C9", "h5ad", Path("C9.h5ad")), data, 50.0, "", Frame(), settled=True
    )
    found = compare_at_spots(measurement, services, "cpu", inputs, lambda done, total: None, lambda: False)
    assert len(found.scored.truth) == 40
    assert [how["scoring"] for how in services.sessions[1:]] == [True] * opened
