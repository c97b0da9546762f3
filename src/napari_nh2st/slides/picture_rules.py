"""The one table of what a picture may be: every reader fills in the facts and asks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_nh2st.errors import OtherImage

# Kinds of colour, each with the numbers of channels (with opacity or an unused one) and of bits that are understood
CHANNELS = {"grey": (1, 2), "rgb": (3, 4), "palette": (1,), "cmyk": (4,)}
BITS = {"grey": (1, 2, 4, 8), "rgb": (8, 16), "palette": (1, 2, 4, 8), "cmyk": (8,)}
UPRIGHT = (0, 1)  # TIFF 6.0 and Exif, Orientation: 1 is upright, and 0 stands where nobody thought of it


@dataclass(frozen=True)
class PictureFacts:
    """A picture as its file describes it.

    Attributes
    ----------
    kind : str
        A key of `CHANNELS`, or the name of another kind of colour.
    channels, bits : int
        Samples of a pixel, and bits of a sample.
    numbers : str
        Their type: "uint8", "float32", ...
    orientation : int
        TIFF tag 274, which JPEG and PNG have in their Exif part.
    frames : int
        Pictures that the format shows one after the other, or keeps behind the first.
    trailing : int
        Bytes after the end of the picture.
    profile : str
        Name of its colour profile, if its numbers are no colours without it.
    """

    kind: str = "rgb"
    channels: int = 3
    bits: int = 8
    numbers: str = "uint8"
    orientation: int = 1
    frames: int = 1
    trailing: int = 0
    profile: str = ""

    @property
    def deep(self) -> bool:
        """True if its samples have to be scaled to 8 bits (slides/deep_colour.py)."""
        return self.bits == 16


Rule = Callable[[PictureFacts], str]


def _depth(facts: PictureFacts) -> str:
    known = facts.bits in BITS.get(facts.kind, (8,)) and facts.numbers == ("uint16" if facts.deep else "uint8")
    kind = f"{facts.bits}-bit {facts.numbers}"
    return "" if known else f"its samples are {kind}, with no known mapping to colour: convert it to 8-bit RGB"


def _colour(facts: PictureFacts) -> str:
    if facts.channels in CHANNELS.get(facts.kind, ()):
        return ""
    return f"it has {facts.channels} channels of kind {facts.kind}, not colour: convert it to 8-bit RGB"


def _profiled(facts: PictureFacts) -> str:
    if not facts.profile:
        return ""
    return f"its numbers are colours only by its profile ({facts.profile}), which is not applied: save it as sRGB"


def _turned(facts: PictureFacts) -> str:
    if facts.orientation in UPRIGHT:
        return ""
    return (
        "the file asks for the image to be turned; it is shown as it is stored, and spots placed on the turned "
        "image lie elsewhere"
    )


def _colourless(facts: PictureFacts) -> str:
    if facts.kind != "grey":
        return ""
    return "the image is grey, as one channel of fluorescence is: models for H&E slides have learned from colour"


def _inks(facts: PictureFacts) -> str:
    return "its inks (CMYK) are turned into colours without a profile" if facts.kind == "cmyk" else ""


def _frames(facts: PictureFacts) -> str:
    return f"the file has {facts.frames} frames; the first is shown" if facts.frames > 1 else ""


def _trailing(facts: PictureFacts) -> str:
    if not facts.trailing:
        return ""
    return f"{facts.trailing} bytes follow the image in the file (a video or another image, say); they are not read"


REFUSED: tuple[Rule, ...] = (_depth, _colour, _profiled)
SAID: tuple[Rule, ...] = (_turned, _colourless, _inks, _frames, _trailing)


def refuse_picture(facts: PictureFacts) -> None:
    """Refuse a picture whose samples have no clear meaning as colour.

    Raises
    ------
    OtherImage
        A clause whose subject is the picture ("its samples are ..."), without the file's name.
    """
    for rule in REFUSED:
        if reason := rule(facts):
            raise OtherImage(reason)


def picture_warnings(facts: PictureFacts) -> list[str]:
    """Return what to know about a picture, in sentences."""
    return [sentence for rule in SAID if (sentence := rule(facts))]
