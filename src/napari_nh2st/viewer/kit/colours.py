"""Colours of curves, bars and dots, from Okabe and Ito: told apart by colour-blind eyes, on dark and on light."""

BLUE, ORANGE, GREEN = "#56b4e9", "#e69f00", "#009e73"
DEEP_BLUE = "#0072b2"  # for faint dots on light, where the other blue would vanish

_MIDDLE = 0.18  # relative luminance on which black and white are read equally well


def ink_on(colour: str) -> str:
    """Return what is read on a ground of a colour ("#rrggbb"): "black" or "white" (WCAG 2, relative luminance)."""
    parts = (part / 255 for part in bytes.fromhex(colour[1:7]))
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "black" if luminance > _MIDDLE else "white"
