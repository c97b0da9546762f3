"""NH2ST in LazySlide's `tl.feature_prediction`: what our encoder and its neighbours say of a tile becomes genes.

wsi = open_wsi("slide.svs")
zs.pp.find_tissues(wsi), zs.pp.tile_tissues(wsi, 256, mpp=0.5)
model = NH2ST("her2st")
model.add_features(wsi)               # wsi.tables["nh2st_tiles"]
zs.tl.feature_prediction(wsi, model)  # wsi.tables["nh2st-her2st_tiles"]: a column for each gene
"""

import numpy as np
from wsidata.io import add_features

from napari_nh2st import load_model, open_slide
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.geometry import TileSet


class NH2ST:
    features_model_name = "nh2st"
    get_transform = try_compile = lambda self, **_: None

    def __init__(self, model):
        self.model = load_model(model)
        self.name = f"nh2st-{self.model.card.name}"

    def add_features(self, wsi, tile_key="tiles"):
        mpp, card, centres = wsi.properties.mpp, self.model.card, wsi[tile_key].centroid
        at = TileSet.at(np.stack([centres.x, centres.y], axis=1), scale=card.scale_on(mpp), pitch=card.patch)
        with open_slide(wsi.reader.file, mpp=mpp) as slide:
            prediction, _ = predict_places(slide, self.model, at)
        add_features(wsi, f"{self.features_model_name}_{tile_key}", tile_key, prediction.hidden.astype(np.float32))

    def to(self, device):
        return self

    def predict(self, features, coords=None):
        genes = self.model.card.genes
        return dict(zip(genes, self.model.decoder(np.asarray(features), range(len(genes))).T, strict=True))
