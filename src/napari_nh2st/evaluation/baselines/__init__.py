"""Baselines, to compare every claim with: each is one file here and one line in this table."""

from napari_nh2st.evaluation.baselines.baseline import Baseline
from napari_nh2st.evaluation.baselines.colour import COLOUR
from napari_nh2st.evaluation.baselines.coordinates import COORDINATES
from napari_nh2st.evaluation.baselines.depth_only import DEPTH_ONLY
from napari_nh2st.evaluation.baselines.encoder_ridge import ENCODER_RIDGE
from napari_nh2st.evaluation.baselines.mean_profile import MEAN_PROFILE
from napari_nh2st.evaluation.baselines.nh2st import (
    CONTEXT,
    KERNEL,
    LEARNT,
    OTHER_HEADS,
    OTHER_OBJECTIVES,
    PAPER,
    TARGET,
)
from napari_nh2st.evaluation.baselines.retrieval import RETRIEVAL
from napari_nh2st.evaluation.baselines.small_cnn import SMALL_CNN

# In the order in which they are fitted.
BASELINES: dict[str, Baseline] = {
    b.name: b
    for b in (
        *(MEAN_PROFILE, COORDINATES, DEPTH_ONLY, COLOUR, ENCODER_RIDGE, RETRIEVAL, SMALL_CNN),
        *(KERNEL, TARGET, PAPER, *OTHER_HEADS, *OTHER_OBJECTIVES, CONTEXT, LEARNT),
    )
}
