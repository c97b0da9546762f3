"""A TorchScript model of tiles, in a folder as WSInfer has them: `config.json` and `torchscript_model.pt`."""

import json
from pathlib import Path

from napari_nh2st import Predictor, Tiles


class TorchScriptTiles(Predictor):
    version, unit = "1", "ln1p-cp10k"

    def __init__(self, folder):
        self.files = [folder / "config.json", folder / "torchscript_model.pt"]
        config = json.loads(self.files[0].read_text("utf-8"))
        self.name, self.genes, self.transform = folder.name, config["class_names"], config["transform"]
        self.needs = Tiles(size=config["patch_size_pixels"], mpp=config["spacing_um_px"])

    def load(self, device):
        import torch

        self.device = device
        self.net = torch.jit.load(self.files[1], map_location=device).eval()

    def predict(self, batch):
        import torch

        tiles = torch.from_numpy(batch.inputs).to(self.device).permute(0, 3, 1, 2).float() / 255  # ToTensor
        for step in self.transform:
            how = step.get("arguments", {})
            if step["name"] == "Resize":
                size = (how["size"], how["size"])
                tiles = torch.nn.functional.interpolate(tiles, size, mode="bilinear", antialias=True)
            elif step["name"] == "Normalize":
                mean, std = (torch.tensor(how[k], device=self.device)[:, None, None] for k in ("mean", "std"))
                tiles = (tiles - mean) / std
        with torch.inference_mode():
            return self.net(tiles).float().cpu().numpy()


predictor = TorchScriptTiles(Path(__file__).with_name("tile-genes"))
