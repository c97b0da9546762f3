"""Colours of curves, bars and dots, from Okabe and Ito: told apart by colour-blind eyes, on dark and on light."""

BLUE, ORANGE, GREEN = "#56b4e9", "#e69f00", "#009e73"
DEEP_BLUE = "#0072b2"  # for faint dots on light, where the other blue would vanish
