"""Write what the bundled models predict for a few patches, for `nh2st doctor` to hold a machine against."""

from __future__ import annotations

import json

import torch

from napari_nh2st.doctor.known_answers import GENES, answers_file
from napari_nh2st.doctor.probes.model import predict_patches
from napari_nh2st.model.folder import bundled_models, load_model

if __name__ == "__main__":
    table = {}
    for name in bundled_models():
        model = load_model(name)
        values = predict_patches(model, torch.device("cpu"))[:, :GENES]
        table[model.hash] = json.dumps([[round(float(v), 4) for v in row] for row in values])
    lines = ",\n".join(f'"{key}": {rows}' for key, rows in table.items())
    answers_file().write_text(f"{{\n{lines}\n}}\n", "utf-8")
    print(answers_file())
