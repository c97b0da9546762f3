"""How well artefacts are found: a table, and the picture of docs/slides.md.

    python docs/scripts/artefacts.py [--seeds 10,11,12] [--real her2st/samples.csv]
    python docs/scripts/artefacts.py --picture docs/images/artefacts.png

Artefacts are planted into procedural sections of seeds on which no rule was set. Recall is the part of a kind's area
that was found as that kind, precision the part of what was found that is of that kind; where two kinds overlap, either
is right. For the real sections of a sheet: what is found on each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageDraw

from napari_nh2st.demo.artefacts import Planted, plant
from napari_nh2st.demo.tissue import make_section
from napari_nh2st.expression import read_sheet
from napari_nh2st.slides import open_slide
from napari_nh2st.slides.artefacts import ARTEFACT_UM, KINDS, ArtefactMap

COUNTS = {"blur": 2, "fold": 3, "bubble": 3, "pen": 2}
SIDE = round(ARTEFACT_UM)


def find(image: npt.NDArray[np.uint8]) -> ArtefactMap:
    """Find the artefacts of a picture of 1 um per pixel."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "section.tif"
        tifffile.imwrite(path, image, photometric="rgb", tile=(256, 256))
        with open_slide(path, mpp=1.0) as slide:
            return slide.artefacts()


def score(planted: Planted, found: ArtefactMap) -> npt.NDArray[np.int64]:
    """Count pixels of the map, (kinds, 4): of the kind and found, of the kind, found and of the kind, found."""
    labels = found.labels[tuple(slice(0, side // SIDE) for side in planted.image.shape[:2])]
    truth = {kind: _coarse(there) for kind, there in planted.truth.items()}
    tissue = _coarse(planted.tissue)
    out = np.zeros((len(KINDS), 4), np.int64)
    for k, kind in enumerate(KINDS):
        others = np.any([there for name, there in truth.items() if name != kind.name], axis=0)
        own = truth[kind.name] & tissue & ~others
        as_kind = labels == k + 1
        out[k] = (own & as_kind).sum(), own.sum(), (truth[kind.name] & as_kind).sum(), as_kind.sum()
    return out


def _coarse(there: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    height, width = (side // SIDE for side in there.shape)
    parts = there[: height * SIDE, : width * SIDE].reshape(height, SIDE, width, SIDE)
    return np.asarray(parts.mean(axis=(1, 3)) > 0.5)


def on_planted(seeds: list[int]) -> None:
    """Print recall and precision by kind."""
    total = np.zeros((len(KINDS), 4), np.int64)
    clean = []
    for seed in seeds:
        image = make_section(seed).image
        clean.append(sum(find(image).shares.values()))
        for each in range(3):
            planted = plant(image, 1.0, 10 * seed + each, COUNTS)
            total += score(planted, find(planted.image))
    print("| kind | recall | precision |\n|---|---|---|")
    for kind, (hit, own, right, said) in zip(KINDS, total, strict=True):
        print(f"| {kind.title} | {hit / own:.2f} | {right / said:.2f} |")
    print(f"\nnothing planted: at most {max(clean):.2%} of the tissue")


def on_real(sheet: Path) -> None:
    """Print the shares of each section of a sheet."""
    print("| section | " + " | ".join(kind.title for kind in KINDS) + " |\n|---" + "|---" * len(KINDS) + "|")
    for sample in read_sheet(sheet):
        with open_slide(sample.slide, mpp=sample.mpp) as slide:
            shares = slide.artefacts().shares
        print(f"| {sample.sample} | " + " | ".join(f"{shares[kind.name]:.2%}" for kind in KINDS) + " |")


def picture(path: Path) -> None:
    """Draw a planted section beside what is found on it."""
    planted = plant(make_section(10).image, 1.0, 104, COUNTS)
    found = find(planted.image)
    height, width = (side // SIDE * SIDE for side in planted.image.shape[:2])
    left = np.asarray(Image.fromarray(planted.image[:height, :width]).reduce(SIDE))
    labels = found.labels[: height // SIDE, : width // SIDE]
    right = left.astype(np.float32)
    for k, kind in enumerate(KINDS, 1):
        colour = np.array([int(kind.colour[i : i + 2], 16) for i in (1, 3, 5)])
        right[labels == k] = 0.3 * right[labels == k] + 0.7 * colour
    both = np.concatenate([left, np.full((len(left), 12, 3), 255), right], axis=1).astype(np.uint8)
    drawn = Image.fromarray(np.concatenate([both, np.full((36, both.shape[1], 3), 255, np.uint8)]))
    pen, x = ImageDraw.Draw(drawn), left.shape[1] + 12
    for kind in KINDS:
        pen.rectangle((x, len(both) + 10, x + 18, len(both) + 28), fill=kind.colour)
        pen.text((x + 26, len(both) + 9), kind.title, fill="#222222", font_size=18)
        x += 44 + round(pen.textlength(kind.title, font_size=18)) + 24
    drawn.quantize(96).save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="10,11,12")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    if arguments.picture is not None:
        picture(arguments.picture)
    else:
        on_planted([int(seed) for seed in arguments.seeds.split(",")])
        if arguments.real is not None:
            on_real(arguments.real)
