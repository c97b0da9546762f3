"""Services that the docks need from the package. Loaded on demand, off the GUI thread; replaced in tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_nh2st.errors import Nh2stError


class Services:
    """The engine, the models and the exporters, as the controller needs them."""

    def prepare(self) -> None:
        """Load the engine, and leave a processor to the viewer: with all of them at work, panning stutters."""
        import napari_nh2st.slides.find_tissue  # first: napari needs scipy, too, for the first layer of a session

        # isort: split
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
        import napari_nh2st.engine.session
        import napari_nh2st.slides.slide  # noqa: F401

    def prepare_shapes(self) -> None:
        """Load what napari needs for the first shapes of a session: else the window stops when a person draws."""
        import numpy as np
        from napari.layers import Shapes

        Shapes(np.array([[[0, 0], [0, 1], [1, 1]]]), shape_type="polygon")

    def calibrate(self, device: str, cancelled: Callable[[], bool]) -> None:
        """Try what the machine is fastest with; remembered, so slow only the first time.

        Raises
        ------
        Cancelled
            If that is asked for before the trial is done.
        """
        from napari_nh2st.engine.calibration import try_out
        from napari_nh2st.engine.device import choose_device

        try_out(choose_device(device), cancelled)

    def models(self) -> list[str]:
        """Names of the bundled models."""
        from napari_nh2st.model.folder import bundled_models

        return bundled_models()

    def others(self) -> list[str]:
        """Names of other people's models that `find_others` has found and that work; quick."""
        from napari_nh2st.model.predictors import working_predictors

        return working_predictors()

    def find_others(self) -> list[Any]:
        """Look for other people's models and import them; return those that do not work. Slow."""
        from napari_nh2st.model.predictors import list_predictors

        return [listed for listed in list_predictors() if listed.model is None]

    def add_file(self, file: str) -> str:
        """Put the Python file of a model on the user's list, if it works, and return its name. Runs it; slow."""
        from napari_nh2st.model.predictors import find_predictor, name_file

        found = find_predictor(file)
        if found is None:
            raise Nh2stError(f"{file} is no Python file of a model")
        name_file(Path(file))
        return found.card.name

    def load_card(self, model: str) -> Any:
        """Read a model's card; quick, without torch."""
        from napari_nh2st.model.models import load_card

        return load_card(model)

    def stamp(self, model: str) -> int:
        """Return a number that changes when a model's folder gets other weights; quick."""
        from napari_nh2st.model.models import stamp_of

        return stamp_of(model)

    def load_model(self, model: str) -> Any:
        """Load a model and its weights."""
        from napari_nh2st.model.models import load_model

        return load_model(model)

    def decoder(self, model: Any) -> Any:
        """Return the model's last layer as NumPy: genes are decoded with it, without torch."""
        return model.decoder

    def lattice_for(self, slide: Any, card: Any, **where: Any) -> Any:
        """Return the tiles with tissue in a region."""
        from napari_nh2st.engine.places import lattice_for

        return lattice_for(slide, card, **where)

    def session(
        self, slide: Any, model: Any, *, pitch: int, tissue: Any, device: str, view: int = 0, scoring: bool = False
    ) -> Any:
        """Open a slide with a model: what is encoded stays at hand for the next question. Slow.

        With `scoring`, in the precision of scores whatever the machine is fastest with.
        """
        from napari_nh2st.engine.open_session import open_session
        from napari_nh2st.engine.options import PredictionOptions
        from napari_nh2st.engine.stain_check import measure_stain

        _wait_for_no_trial(device)
        if slide.tissue_at_hand:
            measure_stain(slide)  # so that warnings_for knows its stain
        options = PredictionOptions(device=device, tissue=tissue, view=view)
        return open_session(slide, model, pitch=pitch, options=options.for_scoring() if scoring else options)

    def warnings_for(self, slide: Any, card: Any, model: str | None = None) -> list[str]:
        """Return what is wrong with this slide, or with this model for it; quick, without torch.

        Of the stain nothing is said before a session was opened, nor where the model's name or folder is not given.
        """
        from napari_nh2st.engine.places import problems_of
        from napari_nh2st.errors import ModelError

        try:
            return problems_of(slide, card, None if model is None else self.reference(model))
        except ModelError as error:
            return [*problems_of(slide, card), str(error)]

    def not_h_and_e(self, slide: Any) -> str:
        """Say that a slide is no H&E in bright light; quick, and empty before a session was opened."""
        from napari_nh2st.engine.stain_check import not_h_and_e, stain_if_measured

        stain = stain_if_measured(slide)
        return "" if stain is None else not_h_and_e(stain)

    def reference(self, model: str) -> Any:
        """Return what the tissue that a model was trained on looks like, None where that is not recorded; quick."""
        from napari_nh2st.model.models import load_reference

        return load_reference(model)

    def limits_for(self, slide: Any, card: Any) -> list[str]:
        """Return how far the model's training reaches, seen from this slide; quick, without torch."""
        from napari_nh2st.engine.places import limits_of

        return limits_of(slide, card)

    def describe(self, slide: Any) -> dict[str, Any]:
        """Return what a prediction keeps of its slide."""
        from napari_nh2st.engine.predict import slide_facts

        return slide_facts(slide)

    def provenance(self, request: Any, model: Any) -> dict[str, Any]:
        """Return where a prediction comes from; the command is the line that "Copy command line" gives."""
        from napari_nh2st.engine.options import PredictionOptions
        from napari_nh2st.engine.predict import provenance

        _wait_for_no_trial(request.device)
        facts = provenance(model, PredictionOptions(device=request.device))
        return facts | {"command": request.command or facts["command"]}

    def open_slide(self, path: str) -> Any:
        """Open a slide that another reader has drawn."""
        from napari_nh2st.slides import open_slide

        return open_slide(path)

    def export(
        self,
        prediction: Any,
        name: str,
        path: str,
        genes: Sequence[str] = (),
        display: Any = None,
        progress: Callable[[float], None] | None = None,
        regions: Any = None,
    ) -> Any:
        """Write all genes, or some, to a file in one of the formats of `formats.EXPORTERS`, with how they are shown."""
        from napari_nh2st.formats import export

        return export(prediction, name, path, genes or None, progress, display=display, regions=regions)

    def devices(self) -> list[str]:
        """Names of the devices that torch finds here, best first. Imports torch: call it off the GUI thread."""
        import torch

        found = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            found.append("mps")
        return [*found, "cpu"]


def _wait_for_no_trial(device: str) -> None:
    """Compute with a guess where the machine has not been tried yet: a person waits."""
    from napari_nh2st.engine.calibration import guess
    from napari_nh2st.engine.device import choose_device

    guess(choose_device(device))
