"""`nh2st info`: format, levels, pixel size and tissue of a slide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_nh2st.cli.options import JsonOption, MppOption, SlideArg
from napari_nh2st.cli.output import overviews_bar, print_json
from napari_nh2st.errors import one_line
from napari_nh2st.slide_path import shown
from napari_nh2st.terminal import interruptible, say


def info(
    slide: SlideArg,
    mpp: MppOption = None,
    quality: Annotated[
        bool, typer.Option("--quality", help="Also the shares of tissue that blur, pen, folds and bubbles cover.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a slide is: format, levels, pixel size and where it comes from, tissue."""
    from napari_nh2st.slides import open_slide
    from napari_nh2st.slides.artefacts import rounded_shares, shares_in_words

    with open_slide(slide, mpp=mpp) as opened:
        tissue = opened.tissue(tell=overviews_bar(slide), cancelled=interruptible())
        fraction, levels = round(tissue.fraction, 4), opened.level_shapes
        facts: dict[str, Any] = {
            "path": shown(slide),
            "format": opened.format,
            "levels": [list(shape) for shape in levels],
            "mpp": opened.mpp,
            "mpp_source": opened.mpp_source,
            "fingerprint": opened.fingerprint,
            "tissue_fraction": fraction,
            "picture": opened.picture,
            "pictures": [
                {"number": p.number, "name": p.name, "shape": list(p.shape), "associated": p.associated}
                for p in opened.pictures
            ],
            "warnings": opened.warnings,
        }
        if quality:
            found = opened.artefacts(cancelled=interruptible())
            facts["artefacts"] = rounded_shares(found.shares)
            words = shares_in_words(found)
            if found.remark:
                facts["warnings"] = [*facts["warnings"], found.remark]
        pixel = "not known" if opened.mpp is None else f"{opened.mpp:.4g} um ({opened.mpp_source})"
    if as_json:
        print_json(facts)
        return
    print(f"{facts['path']}\nformat       {facts['format']}")
    print(f"levels       {', '.join(f'{w} x {h}' for h, w in levels)}")
    print(f"pixel        {pixel}\ntissue       {fraction:.0%} of the slide")
    if quality:
        print(f"artefacts    {words}")
    print(f"fingerprint  {facts['fingerprint']}")
    for picture in opened.pictures if len(opened.pictures) > 1 else ():
        about = "of the slide" if picture.associated else "another one"
        print(f"picture      {one_line(picture.words)}, {'this one' if picture.number == opened.picture else about}")
    for warning in facts["warnings"]:
        say(f"warning: {warning}")
