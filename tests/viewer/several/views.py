"""Views of the parts of "Several genes" and "Several slides" that remember what they show."""

from __future__ import annotations

from collections.abc import Callable

from viewer.fakes import FakeSlide
from viewer.without_window import FakeWork


def slide(name: str, shape: tuple[int, int] = (960, 1280)) -> FakeSlide:
    made = FakeSlide(shape=shape)
    made.path, made.fingerprint = made.path.with_name(f"{name}.svs"), name * 4
    return made


class FakePinned:
    def __init__(self) -> None:
        self.reason_off, self.on, self.sentence = "", False, ""

    def show_offer(self, reason_off, *, on) -> None:
        self.reason_off, self.on = reason_off, on

    def show_sentence(self, text) -> None:
        self.sentence = text


class FakeComposite:
    def __init__(self) -> None:
        self.genes, self.listed, self.scales = ("", "", ""), [], []
        self.show_off = self.use_pinned_off = self.sentence = ""

    def list_genes(self, genes) -> None:
        self.listed = list(genes)

    def write_genes(self, genes) -> None:
        self.genes = tuple(genes)

    def show_scales(self, scales) -> None:
        self.scales = list(scales)

    def show_offer(self, show_off, use_pinned_off) -> None:
        self.show_off, self.use_pinned_off = show_off, use_pinned_off

    def show_sentence(self, text) -> None:
        self.sentence = text


class FakeSignature:
    def __init__(self) -> None:
        self.work, self.set_name, self.set_text, self.match = FakeWork(), "", "", ""
        self.reason_off, self.listed = "", []
        self.edited: Callable[[], None] = lambda: None

    def list_sets(self, names) -> None:
        self.listed, self.set_name = list(names), names[0]

    def write_genes(self, text) -> None:
        self.set_text = text
        self.edited()

    def show_match(self, text) -> None:
        self.match = text

    def show_offer(self, reason_off) -> None:
        self.reason_off = reason_off


class FakeSlides:
    def __init__(self) -> None:
        self.pressed, self.reason_off, self.sentence = False, "", ""
        self.asked_to_look = False

    def show_offer(self, reason_off) -> None:
        self.reason_off = reason_off

    def show_left(self) -> None:
        self.pressed = False

    def show_sentence(self, text) -> None:
        self.sentence = text

    def look_soon(self) -> None:
        self.asked_to_look = True
