"""How surely a changed copy of a slide is recognised, and neighbouring sections are not: a table of agreeing keypoints.

    python docs/scripts/near_copies.py her2st/samples.csv

For each way to change a slide: keypoints that agree with the slide itself, and their share: the least over the sections
of the sheet. Beside it, the most over pairs of different sections.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from napari_nh2st.expression import Sample, read_sheet
from napari_nh2st.slides.keypoints import OVERVIEW_SIDE, OVERVIEW_UM, Keypoints, find_keypoints
from napari_nh2st.slides.same_tissue import ENOUGH, SHARE, Agreement, agreement

Changed = tuple[Image.Image, float]  # an image, and the pixel size that it is given
Change = Callable[[Image.Image, float], Changed]


def saved_again(image: Image.Image) -> Image.Image:
    """Save as a JPEG of low quality, and read it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def cropped(image: Image.Image, part: float) -> Image.Image:
    """Crop to a part of both sides."""
    width, height = image.size
    x, y = (int(side * (1 - part) / 2) for side in image.size)
    return image.crop((x, y, x + int(width * part), y + int(height * part)))


def stained(image: Image.Image) -> Image.Image:
    """Stain with more of one and less of another colour."""
    light = np.asarray(image).astype(np.float32) ** np.array([1.1, 0.95, 1.05]) / np.array([1.6, 0.8, 1.25])
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "saved as JPEG of quality 30": lambda i, mpp: (saved_again(i), mpp),
    "cropped to 60% of its sides": lambda i, mpp: (cropped(i, 0.6), mpp),
    "cropped to 35% of its sides": lambda i, mpp: (cropped(i, 0.35), mpp),
    "half the size, said so": lambda i, mpp: (i.reduce(2), 2 * mpp),
    "half the size, not said": lambda i, mpp: (i.reduce(2), mpp),
    "twice the size, not said": lambda i, mpp: (i, mpp / 2),
    "half the size, cropped to 60%, not said": lambda i, mpp: (cropped(i, 0.6).reduce(2), mpp),
    "turned by 90 degrees": lambda i, mpp: (i.transpose(Image.Transpose.ROTATE_90), mpp),
    "turned by 7 degrees": lambda i, mpp: (i.reduce(2).rotate(7, expand=True, fillcolor=(235, 235, 235)), 2 * mpp),
    "mirrored": lambda i, mpp: (i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), mpp),
    "in another stain": lambda i, mpp: (stained(i.reduce(2)), 2 * mpp),
    "grey": lambda i, mpp: (i.reduce(2).convert("L").convert("RGB"), 2 * mpp),
    "blurred over 8 px": lambda i, mpp: (i.reduce(8), 8 * mpp),
}


def keypoints(image: Image.Image, mpp: float) -> Keypoints:
    """Find the keypoints of an image as `keypoints_of` finds those of a slide."""
    step = max(OVERVIEW_UM / mpp, max(image.size) / OVERVIEW_SIDE, 1.0)
    size = (round(image.size[0] / step), round(image.size[1] / step))
    return find_keypoints(np.asarray(image.resize(size, Image.Resampling.HAMMING)), step=step)


def rows(samples: list[Sample]) -> Iterator[tuple[str, Agreement, Agreement]]:
    """Yield each change with the least agreement with a slide itself, and the most with another one."""
    images = {s.sample: (Image.open(s.slide).convert("RGB"), s.mpp or 1.0) for s in samples}
    own = {name: keypoints(*image) for name, image in images.items()}
    for change, how in CHANGES.items():
        copies = {name: keypoints(*how(*image)) for name, image in images.items()}
        same = min(agreement(own[name], copies[name]) for name in own)
        others = max(agreement(own[a], copies[b]) for a in own for b in own if a != b)
        yield change, same, others


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sheet", type=Path)
    Image.MAX_IMAGE_PIXELS = None
    print(f"the same tissue from {ENOUGH} keypoints and a share of {SHARE} on\n")
    print("| change | itself | another section |\n|---|---|---|")
    for change, same, others in rows(read_sheet(parser.parse_args().sheet)):
        cells = [f"{found.keypoints} ({found.share:.2f})" for found in (same, others)]
        print(f"| {change} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
