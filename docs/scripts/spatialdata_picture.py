"""Draw the picture of docs/exports.md with spatialdata-plot, with the programs of .venv/readers.

``PYTHONPATH=.venv/readers .venv/bin/python docs/scripts/spatialdata_picture.py``
"""

import tempfile
from pathlib import Path

import matplotlib as mpl
import spatialdata
import spatialdata_plot  # noqa: F401
from PIL import Image

from napari_nh2st import predict
from napari_nh2st.demo.tissue import make_section, write_slide

PICTURE = Path(__file__).parents[1] / "images" / "spatialdata-plot.png"
GENE = "DEMO-TUMORIN"
COLOURS = 200  # in the file: few, so that it is small


def main() -> None:
    """Predict the demo tissue, export it, and draw what the file holds."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder, "slide.tif")
        write_slide(make_section(7, size_mm=(4, 3)), slide)
        store = predict(slide, "demo", pitch=48).save(Path(folder, "slide.sdata.zarr"))
        sdata = spatialdata.read_zarr(store)
        figure, ax = plt.subplots(figsize=(7, 4.6), dpi=120)
        drawn = sdata.pl.render_images("slide").pl.render_shapes("tiles", color=GENE, fill_alpha=0.6)
        drawn.pl.show(ax=ax, title=f"{GENE}, predicted")
        figure.savefig(PICTURE, bbox_inches="tight", pad_inches=0.1)
    with Image.open(PICTURE) as picture:
        few = picture.convert("RGB").quantize(COLOURS)
    few.save(PICTURE, optimize=True)
    print(PICTURE)


if __name__ == "__main__":
    main()
