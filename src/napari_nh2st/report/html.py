"""A report as one HTML file: pictures inside, no scripts, nothing from elsewhere, dark or light as the reader's."""

from __future__ import annotations

import base64
from pathlib import Path

from napari_nh2st.provenance import DISTRIBUTION, versions
from napari_nh2st.report.content import Report
from napari_nh2st.report.drawn import Told, png_of

_PAGE = "page.html"
DPI = 220  # on a screen with two pixels to each of CSS


def write_html(report: Report, path: Path, told: Told) -> None:
    """Write a report; every text from elsewhere is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("napari_nh2st.report", "")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True).get_template(_PAGE)
    pictures = {picture: base64.b64encode(png_of(picture, DPI)).decode("ascii") for picture in told(report.pictures)}
    generator = f"{DISTRIBUTION} {versions().get(DISTRIBUTION, '')}".strip()
    path.write_text(page.render(report=report, pictures=pictures, generator=generator), "utf-8")
