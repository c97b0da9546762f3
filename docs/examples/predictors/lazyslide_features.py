"""A feature-prediction model of LazySlide, here Path2Space: its encoder's features of a tile become genes.

`genes.txt` beside this file names those that you want, one a line. LazySlide fetches the weights, the first time.
"""

from pathlib import Path

import numpy as np

from napari_nh2st import Predictor, Tiles


class LazySlideFeatures(Predictor):
    name, version = "path2space", "1"
    about = "Path2Space on CTransPath features, through LazySlide"
    tissue, licence = "breast tumours", "Apache-2.0; its encoder GPL-3.0"
    cite = "Shulman et al., Cell 2026, doi:10.1016/j.cell.2026.04.023"
    unit = "normalised expression (Path2Space)"
    needs = Tiles(size=224, mpp=0.5)
    files = (Path(__file__).with_name("genes.txt"),)
    genes = files[0].read_text("utf-8").split()

    def load(self, device):
        from lazyslide_models import MODEL_REGISTRY

        self.model = MODEL_REGISTRY[self.name]().to(device)
        self.encoder = MODEL_REGISTRY[self.model.features_model_name]().to(device)
        self.device = device

    def predict(self, batch):
        import torch

        transform = self.encoder.get_transform()
        with torch.inference_mode():
            tiles = torch.stack([transform(tile) for tile in batch.inputs]).to(self.device)
            values = self.model.predict(self.encoder.encode_image(tiles))  # {gene: (n,)}
        return np.stack([np.asarray(values[gene], dtype=np.float32) for gene in self.genes], axis=1)


predictor = LazySlideFeatures
