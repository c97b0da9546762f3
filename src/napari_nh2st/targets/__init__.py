"""Targets: what a model learns to predict, with its unit, and how labels are made from counts. NumPy only.

A new target is a file here and a name in the table; settings, cards, the dock and the contract tests read it. The card
keeps the facts of the training spots, so that the labels of a new section are made as those of the training were.
"""

from napari_nh2st.targets.counts import COUNTS
from napari_nh2st.targets.delta import DELTA
from napari_nh2st.targets.ln1p_cp10k import LN1P_CP10K
from napari_nh2st.targets.pearson_residuals import PEARSON_RESIDUALS
from napari_nh2st.targets.target import Facts, SpotCounts, Target

TARGETS: dict[str, Target] = {target.name: target for target in (LN1P_CP10K, PEARSON_RESIDUALS, COUNTS, DELTA)}

__all__ = ["LN1P_CP10K", "TARGETS", "Facts", "SpotCounts", "Target"]
