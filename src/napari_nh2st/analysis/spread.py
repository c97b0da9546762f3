"""Spread of answers for the same places: between models, or between views of one model.

Spread is not error. All views, and all models of the same data, can agree and be wrong: docs/results.md has the
measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.decoder import Decoder

VIEWS = (0, 3, 5, 6)
"""The default views (see `engine.options.PredictionOptions`): tissue as it lies, turned by 180, 90 and 270 degrees."""

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer of one model, or of one view of it, for some places.

    Attributes
    ----------
    name : str
    genes : sequence of str
        In the order of the decoder's rows.
    decoder : Decoder
    hidden : (n, h) float16
        NaN where there is no answer.
    """

    name: str
    genes: Sequence[str]
    decoder: Decoder
    hidden: npt.NDArray[np.float16]

    def values(self, gene: str) -> F32:
        """Decode a gene: (n,) in the label's unit.

        Raises
        ------
        Nh2stError
            If this model does not predict it.
        """
        if gene not in self.genes:
            raise Nh2stError(f"{self.name} does not predict {gene}")
        return self.decoder(self.hidden, [self.genes.index(gene)])[:, 0]

    def followed_by(self, other: Answer) -> Answer:
        """Return this answer followed by that for further places."""
        return Answer(self.name, self.genes, self.decoder, np.concatenate([self.hidden, other.hidden]))


def shared_genes(answers: Sequence[Answer]) -> list[str]:
    """Genes that all answers have, in the order of the first one's panel."""
    return [gene for gene in answers[0].genes if all(gene in a.genes for a in answers)] if answers else []


def spread_over(answers: Sequence[Answer], gene: str) -> F32:
    """Return the standard deviation of a gene's predictions over answers, at every place.

    Genes are decoded on request, so a place needs few bytes and another gene appears at once.

    Parameters
    ----------
    answers : sequence of Answer
        At least two, for the same places.
    gene : str

    Returns
    -------
    (n,) float32
        In the label's unit, with n - 1 in the denominator; NaN where an answer is missing.

    Raises
    ------
    Nh2stError
        If there are fewer than two, or one does not predict the gene.
    """
    if len(answers) < 2:
        raise Nh2stError("spread needs at least two answers: choose another view or model")
    out: F32 = np.std([answer.values(gene) for answer in answers], axis=0, ddof=1)
    return out
