"""An engine whose answers depend on the view, and a record of the training that half of the slide is unlike."""

from __future__ import annotations

import numpy as np

from napari_nh2st.errors import Cancelled
from viewer.fakes import FakeServices, FakeSession, card

OTHER = ["KRT8", "ERBB2", "XIST"]  # another panel, in another order


class ViewedSession(FakeSession):
    """Answers that depend on the view: 0.1 more a view in the first number."""

    def __init__(self, services, view: int, genes: int) -> None:
        super().__init__(services)
        self.view = view

    def stream(self, places, *, focus=None, cancelled):
        for chunk in super().stream(places, focus=focus, cancelled=cancelled):
            chunk.hidden[:, 0] += np.float16(0.1 * self.view)
            yield chunk

    def embed(self, places, *, cancelled=None):
        if self.services.gate is not None:
            while not self.services.gate.wait(0.01):
                if cancelled():
                    raise Cancelled("stopped")
        return super().embed(places, cancelled=cancelled)


class FakeReference:
    """Half of the slide is unlike: what lies right of 0.64 (in the unit of `hidden_at`), far right of 1."""

    def novelty(self, embeddings):
        x = embeddings[:, 0]
        return np.where(x > 1.0, 2.0, np.where(x > 0.64, 1.2, 0.4)).astype(np.float32)


class TrustServices(FakeServices):
    def __init__(self) -> None:
        super().__init__()
        self.known = FakeReference()
        self.cards["other"] = card("other", genes=OTHER, gene_means=[0.0] * 3, mpp=1.3, evaluation=None)
        self.cards["demo"] = card("demo", genes=["MADE"], gene_means=[0.0])

    def reference(self, model):
        return self.known

    def session(self, slide, model, *, view=0, **how):
        self.sessions.append({**how, "view": view, "model": model.card.name})
        return ViewedSession(self, view, len(model.card.genes))

    def decoder(self, model):
        made = super().decoder(model)
        if model.card.name == "other":
            made = type(made)(made.weight[[1, 0, 3]] * 2, made.bias[:3])
        return made
