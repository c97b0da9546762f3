"""Draw docs/images/house.png: packages and rooms in their order, arrows where one imports the next step down.

The steps are those written in docs/architecture.md, which a test holds; arrows and captions come from the code.
"""

from __future__ import annotations

import argparse
import ast
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

DOCS = Path(__file__).parents[1]
PACKAGE = DOCS.parent / "src" / "napari_nh2st"
WIDTH = 8.6  # inches
DPI = 200
COLOURS = 48  # in the file: few, so that it is small
MARGIN, GAP, INSET, PAD = 0.15, 0.22, 0.12, 0.09
PAPER, INK, FAINT, LINE = "#fbfaf7", "#22252b", "#5b616d", "#8a919e"
GROUND, FLOOR, OPEN, ROOM = "#e9e6df", "#dfe9f3", "#eef3e6", "#ffffff"
NAME, CAPTION = 9, 7.2  # pt
TITLE, LINE_HEIGHT = 0.32, 0.142  # inches: a name, a line of a caption
LETTER, CAPITAL = 0.056, 0.09  # inches of a letter of a caption and of a name, on average
WIDE = 3.2  # inches: a box so wide has its caption beside its name


@dataclass
class Part:
    """A package, room or module: its name, what it is, and the parts of the same house that it imports."""

    name: str
    caption: str
    imports: set[str]


@dataclass
class Box:
    """Where a part stands: inches, y upwards."""

    part: Part
    left: float
    bottom: float
    width: float
    height: float


def written_order() -> list[list[list[str]]]:
    """Return the steps written in architecture.md: those of the packages, of training and of the viewer."""
    lines = (DOCS / "architecture.md").read_text("utf-8").splitlines()
    lines = [line for line in lines if line.startswith("`") and " < " in line]
    return [[step.strip(" `").split(", ") for step in line.split("<")] for line in lines]


def read_part(folder: Path, name: str, prefix: str, *, short: bool) -> Part:
    """Read what a part says of itself and what it imports of its neighbours."""
    home = folder / name
    files = sorted(home.rglob("*.py")) if home.is_dir() else [home.with_suffix(".py")]
    text = (home / "__init__.py" if home.is_dir() else home.with_suffix(".py")).read_text("utf-8")
    said = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")
    said = said.split(". ")[0].rstrip(".")
    if said.startswith(f"{name.capitalize()}: "):
        said = said[len(name) + 2 :].capitalize()
    said = said.split(":")[0] if short else said
    imports = {module.split(".")[0] for file in files for module in _imported(file, prefix)}
    return Part(name, said, imports - {name})


def _imported(file: Path, prefix: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [module.removeprefix(f"{prefix}.") for module in found if module.startswith(f"{prefix}.")]


class House:
    """The drawing: boxes are added from the ground up."""

    def __init__(self) -> None:
        self.boxes: list[tuple[Box, str]] = []
        self.arrows: list[tuple[Box, Box]] = []

    def add_step(
        self, parts: list[Part], left: float, bottom: float, width: float, colour: str
    ) -> tuple[list[Box], float]:
        """Put the parts of a step beside one another; return their boxes and the top of the step."""
        each = (width - INSET * (len(parts) - 1)) / len(parts)
        height = max(_height(part, each) for part in parts)
        made = [Box(part, left + i * (each + INSET), bottom, each, height) for i, part in enumerate(parts)]
        self.boxes += [(box, colour) for box in made]
        return made, bottom + height

    def connect(self, upper: list[Box], lower: list[Box]) -> None:
        """Draw an arrow from each box to each one of the step below that it imports."""
        for box in upper:
            self.arrows += [(box, other) for other in lower if other.part.name in box.part.imports]

    def draw(self, height: float) -> Figure:
        """Draw it all; the figure has the size in inches."""
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, height))
        axes.set_axis_off()
        for box, colour in self.boxes:
            axes.add_patch(
                FancyBboxPatch(
                    (box.left, box.bottom), box.width, box.height, boxstyle="round,pad=0,rounding_size=0.06",
                    facecolor=colour, edgecolor=LINE, linewidth=0.8,
                )
            )  # fmt: skip
            _write(axes, box)
        for upper, lower in self.arrows:
            path = _path(upper, lower)
            axes.plot(*zip(*path, strict=True), color=LINE, linewidth=0.9, solid_joinstyle="round")
            axes.add_patch(
                FancyArrowPatch(path[-2], path[-1], arrowstyle="-|>", mutation_scale=7, color=LINE, linewidth=0.9,
                                shrinkA=0, shrinkB=0)
            )  # fmt: skip
        return figure


def _write(axes: Axes, box: Box) -> None:
    """Write a part's name, and its caption beside or below it."""
    left, top = box.left + PAD, box.bottom + box.height - PAD
    axes.text(left, top, box.part.name, fontsize=NAME, weight="bold", color=INK, va="top")
    lines = "\n".join(_lines(box.part, box.width))
    if box.width > WIDE:
        axes.text(
            left + _beside(box.part), top - 0.018, lines, fontsize=CAPTION, color=FAINT, va="top", linespacing=1.25
        )
    else:
        axes.text(left, top - 0.17, lines, fontsize=CAPTION, color=FAINT, va="top", linespacing=1.25)


def _beside(part: Part) -> float:
    return max(CAPITAL * len(part.name) + 0.15, 1.0)


def _lines(part: Part, width: float) -> list[str]:
    room = width - 2 * PAD - (_beside(part) if width > WIDE else 0)
    return textwrap.wrap(part.caption, max(int(room / LETTER), 10), break_on_hyphens=False)


def _height(part: Part, width: float) -> float:
    lines = len(_lines(part, width))
    return TITLE + LINE_HEIGHT * (lines - 1 if width > WIDE else lines)


def _path(upper: Box, lower: Box) -> list[tuple[float, float]]:
    """Return the corners of an arrow from one box to one of the step below: upright, or along the gap between both."""
    top = lower.bottom + lower.height
    low, high = max(upper.left, lower.left), min(upper.left + upper.width, lower.left + lower.width)
    narrower = min(upper, lower, key=lambda box: box.width)
    x = narrower.left + narrower.width / 2
    if low <= x <= high:
        return [(x, upper.bottom), (x, top)]
    start, end = upper.left + upper.width / 2, lower.left + lower.width / 2
    middle = (upper.bottom + top) / 2 + 0.03
    return [(start, upper.bottom), (start, middle), (end, middle), (end, top)]


def build() -> Figure:
    """Read the code and draw the house."""
    packages, *_, rooms = written_order()
    house, bottom, below = House(), MARGIN, []
    width = WIDTH - 2 * MARGIN
    for number, names in enumerate(packages):
        parts = [read_part(PACKAGE, name, "napari_nh2st", short=number == 0) for name in names]
        if names == ["viewer"]:
            boxes, top = _with_rooms(house, parts[0], rooms, bottom, width)
        else:
            boxes, top = house.add_step(parts, MARGIN, bottom, width, FLOOR if number else GROUND)
        if number > 1:  # everything stands on the ground
            house.connect(boxes, below)
        below, bottom = boxes, top + GAP
    return house.draw(bottom - GAP + MARGIN)


def _with_rooms(
    house: House, part: Part, steps: list[list[str]], bottom: float, width: float
) -> tuple[list[Box], float]:
    """Put a package with its rooms inside it, the first step at the bottom."""
    frame = Box(part, MARGIN, bottom, width, 0)
    house.boxes.append((frame, OPEN))
    y, below = bottom + INSET, []
    for names in steps:
        parts = [read_part(PACKAGE / part.name, name, f"napari_nh2st.{part.name}", short=False) for name in names]
        boxes, top = house.add_step(parts, MARGIN + INSET, y, width - 2 * INSET, ROOM)
        house.connect(boxes, below)
        below, y = boxes, top + GAP
    frame.height = y - GAP - bottom + _height(part, width)
    return [frame], bottom + frame.height


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS / "images" / "house.png")
    out = parser.parse_args().out
    canvas = FigureCanvasAgg(build())
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main()
