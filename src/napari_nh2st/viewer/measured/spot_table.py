"""The table of spots in the form in which napari-spatialdata finds it with a layer. No Qt."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_nh2st.analysis.measured import Comparison

_REGION, _REGION_KEY, _SPOT = "measured spots", "region", "spot"


def spot_table(comparison: Comparison) -> dict[str, Any]:
    """Return what napari-spatialdata looks for in a layer's metadata: its *View* then colours spots by any gene.

    X is measured, the layer ``predicted`` predicted. The arrays are the comparison's own, not copies.
    """
    import anndata  # loaded by whoever read the measurement
    import pandas as pd

    scored, spots = comparison.scored, np.arange(len(comparison.scored.centres))
    obs = pd.DataFrame({_REGION_KEY: pd.Categorical([_REGION] * len(spots)), _SPOT: spots}, index=spots.astype(str))
    table = anndata.AnnData(
        scored.truth,
        obs=obs,
        var=pd.DataFrame(index=pd.Index(scored.genes, dtype=object)),
        obsm={"spatial": scored.centres},
        layers={"predicted": scored.predicted},
        uns={"spatialdata_attrs": {"region": _REGION, "region_key": _REGION_KEY, "instance_key": _SPOT}},
    )
    # No "name": with one, it takes the layer for an element of a SpatialData object, and fails when it is removed.
    return {"adata": table, "region_key": _REGION_KEY, "instance_key": _SPOT, "indices": spots.tolist()}
