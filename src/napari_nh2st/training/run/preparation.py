"""Preparation of a run before its first step, kept in its folder: a pretrained encoder, embedded tissue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.model.card import Card
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import load_encoder, save_encoder
from napari_nh2st.model.folder import Model
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.data.embedded import EmbeddedSection, embed_sections
from napari_nh2st.training.data.embedded_file import load_embedded, origin_of, save_embedded
from napari_nh2st.training.network.setup import TrainingSetup, set_up_training
from napari_nh2st.training.network.starting_point import StartingPoint
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.run.begin import wait_until_ready
from napari_nh2st.training.run.control import RunControl
from napari_nh2st.training.run.record import RunSettings
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.sections.section import Section
from napari_nh2st.training.trainer import is_first_process


@dataclass(frozen=True, eq=False)
class Preparation:
    """Prepares each thing once for a run, however often the run is resumed.

    Attributes
    ----------
    folder : RunFolder
    settings : RunSettings
    sections : list of Section
        Trained on.
    base : Model or None
    control : RunControl
    """

    folder: RunFolder
    settings: RunSettings
    sections: list[Section]
    base: Model | None
    control: RunControl

    def set_up(self, card: Card, *, again: bool = False) -> TrainingSetup:
        """Set up a training on the spots that are not held out just now.

        Parameters
        ----------
        card : Card
        again : bool
            For the second training, before which the blocks that were scored are released: they are pretrained on, too.

        Raises
        ------
        Cancelled
        """
        first, folder = is_first_process(), self.folder
        ready = folder.ready_again if again else folder.ready
        if not first:
            wait_until_ready(ready, self.control.requests.should_stop)
        encoder = self._encoder(card, folder.encoder_again if again else folder.encoder)
        file = folder.embedded_again if again and encoder is not None else folder.embedded
        setup = set_up_training(
            self.sections,
            card,
            self.settings.config,
            self.settings.seed,
            start=StartingPoint(self.base, encoder),
            embed=lambda net, card: self._embedded(net, card, self.sections, self.settings.config, file),
            cancelled=self.control.requests.should_stop,
        )
        if first:
            ready.touch()
        return setup

    def embed_held_out(self, setup: TrainingSetup, sections: list[Section]) -> list[EmbeddedSection] | None:
        """Embed held-out sections as they are, where the head alone is trained.

        Raises
        ------
        Cancelled
        """
        if setup.embedded is None or not sections:
            return None
        plain = self.settings.config.model_copy(update={"views": 0})
        return self._embedded(setup.net, setup.card, sections, plain, self.folder.embedded_held_out)

    def _encoder(self, card: Card, file: Path) -> ResNet18 | None:
        """Pretrain the encoder where the settings say so, once; None where it comes from elsewhere."""
        config = self.settings.config
        pretrains = config.pretrain_steps and config.encoder_start is None and card.architecture.row.dense
        if not pretrains or self.base is not None:
            return None
        if not file.is_file():
            encoder = pretrain_on_sections(
                self.sections,
                card.architecture,
                config,
                self.settings.seed,
                cancelled=self.control.requests.should_stop,
                progress=self.control.stage("pretraining the encoder", "steps"),
            )
            save_encoder(encoder, file)
        return load_encoder(file)

    def _embedded(
        self, net: NH2ST, card: Card, sections: list[Section], config: TrainingConfig, file: Path
    ) -> list[EmbeddedSection]:
        origin = origin_of(net, sections, card, config)
        embedded = load_embedded(file, origin)
        if embedded is None:
            stop, progress = self.control.requests.should_stop, self.control.stage("looking at the tissue", "views")
            seed = self.settings.seed
            embedded = embed_sections(net, sections, card, config, seed, cancelled=stop, progress=progress)
            save_embedded(embedded, file, origin)
        return embedded
