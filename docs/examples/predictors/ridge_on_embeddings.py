"""Scikit-learn on embeddings of NH2ST. The fit is kept as plain arrays in `ridge.npz`: a pickle could run any code."""

from pathlib import Path

import numpy as np

from napari_nh2st import Embeddings, Predictor


class RidgeOnEmbeddings(Predictor):
    name, version, unit = "ridge", "1", "ln1p-cp10k"
    about = "Ridge regression of genes on the embeddings of her2st"
    needs = Embeddings("her2st")
    files = (Path(__file__).with_name("ridge.npz"),)
    batch_size = 4096

    def __init__(self):
        with np.load(self.files[0], allow_pickle=False) as kept:
            self.genes, self.fitted = kept["genes"].tolist(), (kept["coef"], kept["intercept"])

    def load(self, device):
        from sklearn.linear_model import Ridge

        self.ridge = Ridge()
        self.ridge.coef_, self.ridge.intercept_ = self.fitted

    def predict(self, batch):
        return self.ridge.predict(batch.inputs)


def save(ridge, genes, file):
    """Keep a fitted Ridge."""
    np.savez(file, genes=np.array(genes, dtype=str), coef=ridge.coef_, intercept=ridge.intercept_)


predictor = RidgeOnEmbeddings
