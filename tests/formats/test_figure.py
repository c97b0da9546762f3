"""A figure as a journal takes it: its size, its text, its colours, and what it says of itself."""

import json
import re
import zlib

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.figure import draw_figure, length_words, scale_bar_um, write_figure
from napari_nh2st.formats.limits import limits_of
from napari_nh2st.formats.picture import find_slide, part
from napari_nh2st.geometry import Box
from napari_nh2st.slides import open_slide
from support.predictions import GENES, prediction
from support.slides import tiff

TISSUE = (220, 160, 200)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    pixels = np.full((900, 1400, 3), TISSUE, np.uint8)
    pixels[::50, :40] = 0
    path = tiff(tmp_path_factory.mktemp("slide") / "S.tif", pixels, resolution=(2e4, 2e4), resolutionunit=3)
    with open_slide(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def made(slide):
    return prediction(slide_path=slide.path, fingerprint=slide.fingerprint)


def axes_pixel(figure, x, y):
    """Row and column of a level-0 place in the figure's picture."""
    column, up = figure.axes[0].transData.transform((x, y))
    return int(figure.bbox.height - up), int(column)


def picture_of(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


@pytest.mark.parametrize("opacity", [0.7, 1.0])
def test_colours_are_the_colormap_s_over_the_tissue(made, slide, opacity):
    shown = Display(genes=("ERBB2",), colormap="magma", limits={"ERBB2": (-1.0, 4.0)}, opacity=opacity)
    figure = draw_figure(made, shown, slide=slide)
    image = picture_of(figure)
    values = made.gene("ERBB2")
    for i in np.flatnonzero(made.done)[::7]:
        x, y = made.places.centres[i]
        if y > 700:
            continue  # the scale bar is there
        found = image[axes_pixel(figure, x, y)]
        colour = np.array(colormaps["magma"]((values[i] + 1) / 5)[:3]) * 255
        assert np.abs(found - (opacity * colour + (1 - opacity) * np.array(TISSUE))).max() < 3
    x, y = made.places.centres[np.flatnonzero(~made.done)[0]]
    assert np.abs(image[axes_pixel(figure, x, y)] - TISSUE).max() < 3  # see-through where nothing is predicted


def test_without_tissue_it_is_white(made):
    figure = draw_figure(made, Display(genes=("ERBB2",)))
    x, y = made.places.centres[np.flatnonzero(~made.done)[0]]
    assert picture_of(figure)[axes_pixel(figure, x, y)].tolist() == [255, 255, 255]


def test_limits_are_those_of_the_window(made):
    figure = draw_figure(made, Display(genes=("ERBB2", "CD74"), percentiles=(5.0, 95.0), limits={"CD74": (0.0, 1.0)}))
    own = limits_of(made.gene("ERBB2"), (5.0, 95.0))
    ends = [axes.images[-1].get_clim() for axes in figure.axes[:2]]
    # One gene is decoded by another product than several: float32 sums in another order, 3e-7 apart where it was seen.
    assert ends[0] == pytest.approx((own.low, own.high), rel=1e-5)
    assert ends[1] == (0.0, 1.0)


def test_other_names_of_genes_are_drawn_as_the_model_s_and_keep_their_limits(made):
    figure = draw_figure(made, Display(genes="HER2", limits={"HER2": (0.0, 2.0)}))
    image = figure.axes[0].images[-1]
    assert (image.norm.vmin, image.norm.vmax) == (0.0, 2.0)
    assert "ERBB2" in [text.get_text() for text in figure.axes[0].texts]


def test_a_region_is_shown_exactly_and_without_tiles_that_it_does_not_touch(made):
    figure = draw_figure(made, Display(genes=("ERBB2",), region=(230.0, 120.0, 300.0, 150.0)))
    (axes, bar) = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((230, 530), (270, 120))
    size = axes.get_window_extent()
    assert size.width / size.height == pytest.approx(2)
    left, right, bottom, top = axes.images[-1].get_extent()
    assert (left, right, bottom, top) == (224, 560, 336, 112)
    assert bar.get_xlabel() == "ln(1 + counts per 10,000)"


def test_all_that_is_predicted_is_shown_where_no_region_is_given(made):
    part = made.places.centres[made.done]
    axes = draw_figure(made, Display(genes=("ERBB2",))).axes[0]
    assert axes.get_xlim()[0] <= part[:, 0].min() - 56
    assert axes.get_xlim()[1] <= 1400
    assert axes.get_ylim()[0] <= 900


@pytest.mark.parametrize(("count", "width"), [(1, 85), (2, 180), (3, 180), (4, 180)])
def test_widths_fonts_and_letters(made, count, width):
    figure = draw_figure(made, Display(genes=tuple(GENES[:count])))
    assert figure.get_figwidth() * 25.4 == pytest.approx(width)
    figure.canvas.draw()
    panels = figure.axes[:count]
    texts = [t for axes in figure.axes for t in axes.findobj(match=lambda a: hasattr(a, "get_fontsize"))]
    assert min(t.get_fontsize() for t in texts if t.get_text()) >= 6
    titles = [[t.get_text() for t in axes.texts if t.get_style() == "italic"] for axes in panels]
    assert titles == [[gene] for gene in GENES[:count]]
    letters = [t.get_text() for axes in panels for t in axes.texts if t.get_fontweight() == "bold"]
    assert letters == (list("abcd")[:count] if count > 1 else [])
    for axes in figure.axes:  # nothing is cut off
        box = axes.get_tightbbox()
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y0 >= -1
        assert box.y1 <= figure.bbox.height + 1


def test_nothing_is_cut_off_however_long_the_names_are(made):
    long = prediction()
    long.card = long.card.model_copy(
        update={"name": "a model with a very long name indeed, of 60 letters or more", "unit": "u" * 9 + " of" * 30}
    )
    figure = draw_figure(long, Display(genes=("ERBB2", "CD74", "IGKC")), width_mm=120)
    figure.canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert (box.x0 >= -1, box.x1 <= figure.bbox.width + 1, box.y0 >= -1) == (True, True, True)


@pytest.mark.parametrize(
    ("width", "length"), [(1000, 200), (500, 100), (1500, 200), (1700, 500), (12_000, 2000), (40, 10)]
)
def test_scale_bars_are_round_and_about_a_fifth(width, length):
    assert scale_bar_um(width) == pytest.approx(length)


def test_lengths():
    assert [length_words(um) for um in (0.5, 200, 1000, 2000)] == ["0.5 µm", "200 µm", "1 mm", "2 mm"]


def test_the_scale_bar_is_as_long_as_it_says(made):
    axes = draw_figure(made, Display(genes=("ERBB2",), region=(0.0, 0.0, 1000.0, 800.0))).axes[0]
    (bar,) = axes.lines
    assert np.ptp(bar.get_xdata()) * 0.5 == pytest.approx(100)  # mpp 0.5
    assert "100 µm" in [t.get_text() for t in axes.texts]


def test_every_format_is_whole_and_says_what_it_shows(made, tmp_path):
    shown = Display(genes=("ERBB2",))
    for suffix in (".png", ".pdf", ".svg", ".tiff"):
        path = write_figure(made, shown, tmp_path / f"f{suffix}", dpi=100, command="nh2st figure x")
        assert path.read_bytes() == write_figure(made, shown, path, dpi=100, command="nh2st figure x").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.pdf", "f.png", "f.svg", "f.tiff"]
    with Image.open(tmp_path / "f.png") as image:
        assert image.width == pytest.approx(85 / 25.4 * 100, abs=1)
        texts = [image.text["Description"]]
        assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
    with Image.open(tmp_path / "f.tiff") as image:
        texts.append(image.tag_v2[270])
        assert image.info["dpi"] == (100, 100)
    for text in texts:
        record = json.loads(text)
        assert record["figure_command"] == "nh2st figure x"
        assert record["display"]["genes"] == ["ERBB2"]
        assert record["prediction"]["model_hash"] == "abc"
        assert record["prediction"]["precision"] == "fp32"
        assert record["prediction"]["versions"] == {"torch": "2.13.0"}
    svg = (tmp_path / "f.svg").read_text()
    assert "ERBB2</text>" in svg
    assert "model_hash" in svg
    pdf = (tmp_path / "f.pdf").read_bytes()
    assert b"/Subtype /Type42" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert b"model_hash" in pdf
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    assert any(b" Tf" in zlib.decompress(s) for s in streams if s[:1] == b"x")  # text is set, not drawn


@pytest.mark.parametrize(
    ("fields", "how", "says"),
    [
        ({"genes": ("NOPE",)}, {}, "the model test-model does not predict NOPE"),
        ({"colormap": "plasma-and-more"}, {}, "matplotlib has no colormap named 'plasma-and-more'"),
        ({"region": (1e5, 0.0, 10.0, 10.0)}, {}, "nothing is predicted in this region"),
        ({}, {"width_mm": 3}, "30 to 500 mm wide"),
        ({}, {"dpi": 5000}, "50 to 1200 dots per inch"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_leaves_nothing(made, tmp_path, fields, how, says):
    with pytest.raises(Nh2stError, match=says):
        write_figure(made, Display(**{"genes": ("ERBB2",), **fields}), tmp_path / "f.png", **how)
    assert not list(tmp_path.iterdir())


def test_other_predictions_that_cannot_be_drawn(tmp_path):
    with pytest.raises(Nh2stError, match="not on a lattice"):
        write_figure(prediction(lattice=False), Display(genes=("ERBB2",)), tmp_path / "f.png")
    empty = prediction()
    empty.hidden[:] = np.nan
    with pytest.raises(Nh2stError, match="nothing is predicted yet"):
        write_figure(empty, Display(genes=("ERBB2",)), tmp_path / "f.png")
    with pytest.raises(Nh2stError, match="name ends in"):
        write_figure(prediction(), Display(genes=("ERBB2",)), tmp_path / "f.jpg")


def test_a_part_of_the_slide_lies_where_it_says(slide):
    picture, box = part(slide, Box(3.3, 120, 603.3, 420), 150)
    assert picture.shape[1] in (150, 151, 152)
    step = box.width / picture.shape[1]
    assert step == pytest.approx(4)
    assert (box.x0 <= 3.3, box.x1 >= 603.3, box.y0 <= 120, box.y1 >= 420) == (True,) * 4
    rows = box.y0 + (np.flatnonzero(picture[:, 5, 1] < 150) + 0.5) * step
    stripe = np.round(rows / 50)
    assert sorted(set(stripe)) == [3, 4, 5, 6, 7, 8]
    assert np.abs(rows - 50 * stripe - 0.5).max() <= step


def test_a_slide_that_is_gone_or_another_one_is_told(made, tmp_path):
    opened, reason = find_slide(made)
    assert (opened is not None, reason) == (True, "")
    opened.close()
    assert "another image now has its name" in find_slide(prediction(slide_path=opened.path, fingerprint="x"))[1]
    assert "not there any more" in find_slide(prediction(slide_path=tmp_path / "gone.tif"))[1]
