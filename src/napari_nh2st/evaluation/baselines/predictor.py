"""Someone else's model as a competitor: it is not fitted to the training sections, and scored beside what is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict, places
from napari_nh2st.expression import Sample
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.predictor_model import PredictorModel
from napari_nh2st.slides import open_slide
from napari_nh2st.training.sections.section import Section


def competitor(model: PredictorModel, samples: Sequence[Sample]) -> Baseline:
    """Return the line of a report for someone else's model.

    Genes of the panel that it does not predict are given their training means, which no correlation rewards.

    Parameters
    ----------
    model : PredictorModel
    samples : sequence of Sample
        All sections: it reads their slides at its own scale.
    """
    by_name, card = {sample.sample: sample for sample in samples}, model.card

    def fit(fitting: Fitting) -> Predict:
        options = PredictionOptions(device=fitting.config.device, cancelled=fitting.cancelled).for_scoring()
        panel = {gene: column for column, gene in enumerate(fitting.card.genes)}
        own = [gene for gene in card.genes if gene in panel]

        def predict(section: Section) -> Array:
            out = np.tile(np.asarray(fitting.card.gene_means, dtype=np.float32), (len(section.centres), 1))
            sample = by_name[section.name]
            with open_slide(sample.slide, mpp=sample.mpp) as slide:
                mpp = slide.require_mpp()
                at = places(section, fitting.card) / mpp
                spots = TileSet.at(at, scale=card.scale_on(mpp), pitch=card.pitch)
                prediction, _ = predict_places(slide, model, spots, options)
            if own:
                found, columns = prediction.matrix(own), [panel[gene] for gene in own]
                out[:, columns] = np.where(np.isfinite(found), found, out[:, columns])  # not where the file is damaged
            return out

        return predict

    return Baseline(card.name, _about(model), seeded=False, fit=fit)


def _about(model: PredictorModel) -> str:
    facts = model.card.predictor
    assert facts is not None
    unit = "" if model.card.answers_in_target else f" In {facts.unit}: compare its PCC, not its errors."
    return f"Not of NH2ST, version {facts.version}, as it is: nothing is fitted to the training sections.{unit}"
