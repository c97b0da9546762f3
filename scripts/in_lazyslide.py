"""LazySlide from a slide to 250 genes, as a process of its own, in its own environment (scripts/bench_peers.sh).

Tissue, tiles that touch, features of each, and a linear map from features to genes in `tl.feature_prediction`; the
table is saved as h5ad. The last line on standard output is a JSON document. With ``--search`` it tries settings of
the feature extraction instead, one after another, and prints the fastest.
"""

import argparse
import json
import sys
import time
import types
from pathlib import Path

GENES = 250
WORKERS, BATCHES = (1, 2), (16, 64)
DEFAULTS = {"batch_size": 32, "num_workers": 0, "amp": False}


def main(argv=None):
    """Run once, or search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--encoder", default="resnet18", help="a model of timm, untrained; or one of ours, a folder")
    parser.add_argument("--tile", type=int, default=224, help="pixels")
    parser.add_argument("--tile-um", type=float, required=True)
    parser.add_argument("--settings", type=json.loads, default={}, help="batch_size, num_workers, amp")
    parser.add_argument("--without-operators", action="store_true", help="torchvision is built for another torch")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(argv)
    if chosen.without_operators:
        # torchvision's own operators (boxes of detectors) do not load; transforms need none of them
        name = "torchvision._meta_registrations"
        sys.modules[name] = types.ModuleType(name)
    print(json.dumps(search(chosen) if chosen.search else run(chosen)))


def run(chosen):
    """Go from the file to genes; returns the number of tiles, and the seconds of each step."""
    clock = Clock()
    import lazyslide

    clock.tick("imports")
    wsi = tiles_of(chosen, clock)
    extract(wsi, chosen, {**DEFAULTS, **chosen.settings})
    clock.tick("features")
    width = wsi.tables["encoder_tiles"].shape[1]
    lazyslide.tl.feature_prediction(wsi, linear(width), feature_key="encoder", pbar=False)
    clock.tick("genes")
    table = wsi.tables["linear_tiles"]
    if chosen.out is not None:
        table.write_h5ad(chosen.out)
        clock.tick("saving")
    return {"tiles": table.shape[0], "genes": table.shape[1], "features": width, "steps": clock.steps, **versions()}


def search(chosen):
    """Try workers, then bfloat16, then batches on half of the tiles; return the fastest, and all trials."""
    wsi = tiles_of(chosen, Clock())
    wsi.shapes["tiles"] = wsi.shapes["tiles"].iloc[::2].reset_index(drop=True)
    best, trials = dict(DEFAULTS), []

    def seconds(settings):
        start = time.perf_counter()
        extract(wsi, chosen, settings)
        trials.append({**settings, "seconds": round(time.perf_counter() - start, 3)})
        return trials[-1]["seconds"]

    fastest = seconds(best)
    for name, values in (("num_workers", WORKERS), ("amp", (True,)), ("batch_size", BATCHES)):
        for value in values:
            took = seconds({**best, name: value})
            if took < fastest:
                fastest, best = took, {**best, name: value}
    return {"best": best, "trials": trials, **versions()}


def tiles_of(chosen, clock):
    """Open the slide, find its tissue and lay tiles over it."""
    import lazyslide
    from wsidata import open_wsi

    wsi = open_wsi(chosen.slide)
    clock.tick("opening")
    lazyslide.pp.find_tissues(wsi)
    clock.tick("tissue")
    lazyslide.pp.tile_tissues(wsi, chosen.tile, mpp=chosen.tile_um / chosen.tile)
    clock.tick("tiles")
    return wsi


def extract(wsi, chosen, settings):
    """Extract features with LazySlide's own function, into the table `encoder_tiles`."""
    import lazyslide
    import torch

    lazyslide.tl.feature_extraction(
        wsi,
        ours(Path(chosen.encoder)) if Path(chosen.encoder).is_dir() else theirs(chosen.encoder),
        **settings,
        autocast_dtype=torch.bfloat16,
        key_added="encoder_tiles",
        pbar=False,
    )


def theirs(name):
    """Make LazySlide's own wrapper of a model of timm, untrained: its weights would have to be fetched."""
    from lazyslide_models import TimmModel

    class Float(TimmModel):
        def encode_image(self, image):
            return super().encode_image(image).float()  # LazySlide 0.13 stores no bfloat16

    return Float(name, pretrained=False)


def ours(folder):
    """Wrap the encoder of one of our models as a model of LazySlide: mean of its feature map, tiles as they are."""
    import torch
    from lazyslide_models.base import ImageModel
    from safetensors.torch import load_file
    from torchvision.transforms.v2 import Compose, Normalize, ToDtype, ToImage

    from napari_nh2st.model.encoder import ResNet18

    arch = json.loads((folder / "card.json").read_text("utf-8"))["architecture"]
    state = {
        name.removeprefix("encoder."): values.float()
        for name, values in load_file(folder / "model.safetensors").items()
        if name.startswith("encoder.")
    }
    encoder = ResNet18(arch["width"], arch["stride"], 1 if arch["encoder"] == "resnet10" else 2)
    encoder.load_state_dict(state)

    class OurEncoder(ImageModel):
        name = "encoder"

        def __init__(self):
            self.model = encoder.eval()

        def get_transform(self):
            mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
            return Compose([ToImage(), ToDtype(torch.float32, scale=True), Normalize(mean, std)])

        def encode_image(self, image):
            return self.model(image).mean(dim=(2, 3)).float()

    return OurEncoder()


def linear(width):
    """Make a model of LazySlide that maps features to genes, untrained."""
    import torch
    from lazyslide_models.base import FeaturePredictionModel

    class Linear(FeaturePredictionModel):
        name = "linear"

        def __init__(self):
            self.model = torch.nn.Linear(width, GENES)

        def predict(self, features, coords=None):
            values = self.model(torch.as_tensor(features, dtype=torch.float32)).numpy()
            return {f"gene {i}": values[:, i] for i in range(GENES)}

    return Linear()


class Clock:
    """Seconds of each step."""

    def __init__(self):
        self.steps, self.last = {}, time.perf_counter()

    def tick(self, step):
        """End a step."""
        now = time.perf_counter()
        self.steps[step], self.last = round(now - self.last, 3), now


def versions():
    """Name the versions."""
    from importlib.metadata import version

    names = ("lazyslide", "lazyslide-models", "wsidata", "openslide-python", "timm", "torch", "torchvision")
    return {"versions": {name: version(name) for name in names}}


if __name__ == "__main__":
    main()
