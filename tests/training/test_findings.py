"""The gate of a section: spots against slide, image and array, without a file."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from napari_nh2st.errors import MppNeeded, SampleError
from napari_nh2st.expression import Sample, read_sheet
from napari_nh2st.slides import TissueMask, open_slide
from napari_nh2st.training.sections.examine import examine, fits_better

SIDE, PITCH = 900, 50.0  # level-0 pixels, of 2 um
SPOT = {"spot_diameter": 27.5}


def tissue() -> TissueMask:
    """An L, of which no turn is like another."""
    mask = np.zeros((90, 90), dtype=bool)
    mask[8:60, 10:50] = mask[40:60, 50:84] = True
    return TissueMask.from_array(mask, (SIDE, SIDE))


def slide(mpp=2.0, shape=(SIDE, SIDE), mask=None):
    def require_mpp():
        raise MppNeeded("s.tif says its pixels are 72 um wide, which cannot be right; give the right value with --mpp")

    return SimpleNamespace(
        path=Path("s.tif"), shape=shape, mpp=mpp, tissue=lambda: mask or tissue(), require_mpp=require_mpp
    )


def grid(hexagonal=False):
    """Rows and columns of an array as its platform numbers them, and places (x, y) in pixels: all over the slide."""
    rows, columns = np.mgrid[0:24, 0:40].reshape(2, -1)
    if hexagonal:
        kept = (rows + columns) % 2 == 0
        rows, columns = rows[kept], columns[kept]
        places = np.stack([columns * PITCH / 2, rows * PITCH * 3**0.5 / 2], axis=1)
    else:
        places = np.stack([columns * PITCH, rows * PITCH], axis=1)
    return rows, columns, places + 15


def section(kind="h5ad", *, hexagonal=False, numbered=False, over=True, frame=None):
    rows, columns, places = grid(hexagonal)
    kept = tissue().fraction_at(places, PITCH / 2) > 0.5 if over else (places < SIDE).all(axis=1)
    data = ad.AnnData(np.full((int(kept.sum()), 1), 100.0, np.float32))
    data.obsm["spatial"], data.obs["total_counts"] = places[kept], 100.0
    if numbered:
        data.obs["array_row"], data.obs["array_col"] = rows[kept], columns[kept]
    data.uns["frame"] = frame or {}
    return Sample("S", "P", Path("s.tif"), Path("s.h5ad"), kind), data


def placed(how, *args, **kwargs):
    sample, data = section(*args, **kwargs)
    data.obsm["spatial"] = how(data.obsm["spatial"])
    return sample, data


def texts(sample, data, on=None):
    found = examine(sample, data, on or slide())
    return list(found.refusals), list(found.doubts)


@pytest.mark.parametrize("hexagonal", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("kind", ["h5ad", "visium", "st-tsv"])
def test_a_right_section_raises_no_doubt(kind, numbered, hexagonal):
    mpp = 4.0 if kind == "st-tsv" and not hexagonal else 2.0
    frame = {"shape": (901.0, 899.0), "within": 2.0, **SPOT}
    assert texts(*section(kind, hexagonal=hexagonal, numbered=numbered, frame=frame), slide(mpp)) == ([], [])


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ("with x and y exchanged", lambda p: p[:, ::-1]),
        ("mirrored left to right", lambda p: np.stack([SIDE - p[:, 0], p[:, 1]], axis=1)),
        ("mirrored top to bottom", lambda p: np.stack([p[:, 0], SIDE - p[:, 1]], axis=1)),
        ("turned by 180°", lambda p: SIDE - p),
        ("turned by 270°", lambda p: np.stack([SIDE - p[:, 1], p[:, 0]], axis=1)),
    ],
)
def test_another_placement_that_fits_clearly_better_is_named(words, how):
    (refusal,), doubts = texts(*placed(how))
    assert f"{words}" in refusal
    assert refusal.endswith(("would; correct the positions", "if this is their slide"))
    assert doubts == []


@pytest.mark.parametrize("scale", [0.5, 2, 4, 10])
def test_spots_of_a_smaller_or_larger_copy_are_refused_with_its_scale(scale):
    mask = TissueMask(tissue().mask, (20.0, 20.0))  # the tissue in one corner of a larger slide
    sample, data = placed(lambda p: 2 * p / scale)
    (refusal, *_), _ = texts(sample, data, slide(shape=(SIDE * 4, SIDE * 4), mask=mask))
    assert float(re.search(r"give scale (\S+),", refusal)[1]) == pytest.approx(scale, rel=0.03)


def test_moved_spots_are_doubted_and_far_moved_ones_refused():
    refusals, (doubt,) = texts(*placed(lambda p: p + np.array([50, 75])))
    assert refusals == []
    x, y = re.search(r"moved by x (\S+), y (\S+) px, 108 would", doubt).groups()
    assert (int(x), int(y)) == (pytest.approx(-50, abs=PITCH / 2), pytest.approx(-75, abs=PITCH / 2))
    (refusal,), _ = texts(*placed(lambda p: p + np.array([-80, 310])))
    assert "moved by x +" in refusal


def test_a_grid_over_everything_is_right_where_its_counts_know_the_tissue():
    sample, data = section(over=False)
    refusals, _ = texts(sample, data)
    assert len(refusals) == 1  # as many counts on glass as on tissue: of another slide
    over = tissue().fraction_at(data.obsm["spatial"], PITCH / 2) > 0.5
    data.obs["total_counts"] = np.where(over, 5000, 40)
    refusals, doubts = texts(sample, data)
    assert refusals == []
    assert doubts[0].startswith(f"only {over.sum()} of {len(over)} spots lie over tissue: check the positions")


def test_spots_off_the_slide():
    def far(points, count):
        points = points.copy()
        points[:count] += 5000
        return points

    sample, data = placed(lambda p: far(p, 3))
    found = examine(sample, data, slide())
    assert (found.refusals, found.off_slide) == ((), 3)
    assert found.doubts == (f"3 of {data.n_obs} spots lie off the slide and are left out",)
    assert found.admit("S", data).n_obs == data.n_obs - 3
    sample, data = placed(lambda p: far(p, 20))
    (refusal,), _ = texts(sample, data)
    assert refusal == (
        f"20 of {data.n_obs} spots lie off s.tif (900 x 900 px): give positions in pixels of this image; "
        "if they are in pixels of another one, give scale, x and y"
    )
    wide = TissueMask.from_array(np.arange(400).reshape(10, 40) < 20, (500, 2000))  # little tissue, whatever the turn
    sample, data = section(over=False)
    data.obsm["spatial"] = data.obsm["spatial"] * (0.5, 2.2) + (0, 5)
    (refusal,), _ = texts(sample, data, slide(shape=(500, 2000), mask=wide))
    assert f"with x and y exchanged, all {data.n_obs} would lie on it; correct the positions" in refusal
    sample, data = placed(lambda p: far(p, 20))
    with pytest.raises(SampleError, match="sample S: 20 of "):
        examine(sample, data, slide()).admit("S", data)
    (refusal,), _ = texts(*placed(lambda p: 2 * p, frame={"shape": (1800.0, 1800.0), "within": 2.0}))
    assert refusal.endswith("give scale 0.5, or scale 1 if the positions are in pixels of this slide")


def test_an_image_of_another_size_is_refused_with_its_scale():
    whole = TissueMask.from_array(np.ones((9, 9)), (SIDE, SIDE))  # tissue everywhere says nothing
    sample, data = placed(lambda p: p / 2, frame={"shape": (450.0, 450.0), "within": 2.0})
    expected = (
        "the spots were placed on an image of about 450 x 450 px; this slide has 900 x 900: give scale 2, or scale 1 "
        "if the positions are in pixels of this slide"
    )
    assert texts(sample, data, slide(mask=whole)) == ([expected], [])
    assert texts(sample, data) == ([expected], [])
    there = section(frame={"shape": (450.0, 450.0), "within": 2.0})
    assert texts(*there) == ([], [expected])  # the tissue shows that these lie right already
    said = Sample("S", "P", Path("s.tif"), Path("s.h5ad"), "h5ad", placed=True)
    _, (doubt,) = texts(said, data, slide(mask=whole))
    assert doubt.endswith("scale is 1, their sizes say 2")
    right = Sample("S", "P", Path("s.tif"), Path("s.h5ad"), "h5ad", scale=2.0)
    assert texts(right, data, slide(mask=whole)) == ([], [])


@pytest.mark.parametrize(
    ("shape", "refused"), [((880.0, 885.0), False), ((900.0, 700.0), False), ((445.0, 450.0), True)]
)
def test_a_border_or_another_part_is_only_doubted(shape, refused):
    whole = TissueMask.from_array(np.ones((9, 9)), (SIDE, SIDE))
    section_there = placed(lambda p: p / 2, frame={"shape": shape, "within": 2.0})
    refusals, doubts = texts(*section_there, slide(mask=whole))
    assert (bool(refusals), bool(doubts)) == (refused, not refused)


@pytest.mark.parametrize(
    ("kind", "hexagonal", "frame", "mpp", "fits", "refused"),
    [
        ("visium", True, {}, 1.0, "2", True),
        ("visium", True, {}, 2.3, "2", False),
        ("st-tsv", False, {}, 2.0, "4", True),
        ("h5ad", True, SPOT, 8.0, "2", True),
        ("h5ad", True, {}, 1.0, "2", False),
    ],
)
def test_a_pixel_size_that_contradicts_the_array(kind, hexagonal, frame, mpp, fits, refused):
    sample, data = section(kind, hexagonal=hexagonal, numbered=kind != "h5ad", frame=frame)
    refusals, doubts = texts(sample, data, slide(mpp))
    (text,) = refusals or doubts
    assert bool(refusals) == refused
    assert text.startswith(f"at {mpp:.3g} µm per pixel, neighbouring spots lie {PITCH * mpp:.3g} µm apart; those of ")
    assert text.endswith(f"the pixel size that fits is {fits} (column mpp)")
    (unknown,), _ = texts(sample, data, slide(None))
    assert unknown == (
        "s.tif says its pixels are 72 um wide, which cannot be right: fill in the column mpp, µm/px; for the pitch of "
        f"{'Spatial Transcriptomics' if fits == '4' else 'Visium'}, it is {fits}"
    )
    with pytest.raises(MppNeeded, match=r"^sample S: s\.tif says"):
        examine(sample, data, slide(None)).admit("S", data)


def test_an_array_thinned_at_random_keeps_its_pitch():
    sample, data = section("visium", hexagonal=True, numbered=True)
    few = data[np.random.default_rng(0).permutation(data.n_obs)[:40]].copy()
    assert examine(sample, few, slide()).array.pixels == pytest.approx(PITCH, rel=0.02)


def test_mirrored_rows_are_doubted_where_the_tissue_says_nothing():
    whole = TissueMask.from_array(np.ones((9, 9)), (SIDE, SIDE))
    sample, data = placed(lambda p: p[:, ::-1], "st-tsv", numbered=True)
    refusals, (doubt,) = texts(sample, data, slide(4.0, mask=whole))
    assert refusals == []
    assert doubt.startswith("the array's columns and rows run mirrored on this slide: are x and y exchanged")


def test_rows_of_a_hexagonal_array_tell_what_is_exchanged_in_an_h5ad_too():
    whole = TissueMask.from_array(np.ones((9, 9)), (SIDE, SIDE))
    assert texts(*section(hexagonal=True, numbered=True), slide(mask=whole)) == ([], [])
    sample, data = placed(lambda p: p[:, ::-1], hexagonal=True, numbered=True)
    data.obs.iloc[0] = np.nan  # as scanpy left the first spot of Space Ranger 2
    _, (doubt,) = texts(sample, data, slide(mask=whole))
    assert doubt.startswith("the array's columns and rows run mirrored on this slide: are x and y exchanged")


def drawn_by_lot(places):
    return np.random.default_rng(0).permutation(places)


@pytest.mark.parametrize(("kind", "hexagonal"), [("visium", True), ("h5ad", True), ("h5ad", False), ("st-tsv", False)])
def test_places_in_another_order_than_the_counts_are_refused_by_the_array(kind, hexagonal):
    (refusal,), _ = texts(*placed(drawn_by_lot, kind, hexagonal=hexagonal, numbered=True))
    assert "do not lie where their row and column on the array put them: places and counts are in dif" in refusal
    refusals, (doubt,) = texts(*placed(lambda p: np.roll(p, 1, axis=0), "visium", hexagonal=True, numbered=True))
    assert refusals == []
    assert doubt.startswith("38 of 128 spots do not lie where")


def test_two_arrays_on_one_slide_are_in_order():
    sample, data = section("visium", hexagonal=True, numbered=True)
    data.obs[["array_row", "array_col"]] -= data.obs[["array_row", "array_col"]].min()
    upper = (data.obs["array_row"] >= 10).to_numpy()
    data.obs.loc[upper, "array_row"] -= 10
    refusals, doubts = texts(sample, data)
    assert not any("row and column" in text for text in (*refusals, *doubts))


@pytest.mark.parametrize("shuffled", [False, True])
def test_neighbours_that_are_not_alike_are_doubted(shuffled):
    places = section()[1].obsm["spatial"]
    rng = np.random.default_rng(0)
    rates = np.exp(np.outer(np.sin(places @ [0.01, 0.013]), rng.normal(size=120)))
    data = ad.AnnData(sp.csr_matrix(rng.poisson(5 * rates).astype(np.float32)))
    data.obsm["spatial"] = drawn_by_lot(places) if shuffled else places
    data.obs["total_counts"], data.uns["frame"] = 100.0, {}
    refusals, doubts = texts(section()[0], data)
    words = ["neighbouring spots are no more alike than distant ones: are places and counts in the same order?"]
    assert (refusals, doubts) == ([], words if shuffled else [])


def test_spots_a_pitch_beside_are_doubted():
    refusals, (doubt,) = texts(*placed(lambda p: p + np.array([0, 38])))
    assert refusals == []
    assert doubt.startswith("the spots follow the outline of the tissue better when they are moved by x ")


def test_a_turned_slide_is_refused_unless_the_spots_follow_the_tissue():
    whole = TissueMask.from_array(np.ones((9, 9)), (800, SIDE))
    sample, data = placed(lambda p: p * 0.8, frame={"shape": (900.0, 800.0), "within": 2.0})
    (refusal,), _ = texts(sample, data, slide(shape=(800, SIDE), mask=whole))
    assert "one is turned by 90°" in refusal


def test_spots_wider_than_their_pitch_are_in_other_pixels():
    (refusal,), doubts = texts(*placed(lambda p: p / 6, hexagonal=True, frame=SPOT))
    assert refusal.startswith(
        "spots that are 27.5 px wide lie only 8.33 px apart: their places are in pixels of a smal"
    )
    assert float(refusal.rpartition(" ")[2]) == pytest.approx(6, rel=0.15)
    assert doubts == []


def test_what_the_file_says_of_itself_is_passed_on():
    sample, data = section()
    data.uns["nh2st"] = {"dropped": 2, "off_tissue": 5, "says": ["the counts of most genes are taken"]}
    found = examine(sample, data, slide())
    assert found.doubts[1:] == ("the counts of most genes are taken",)
    assert found.doubts[0].startswith("5 spots are left out: the file says")
    assert found.left_out == {"off_slide": 0, "off_tissue": 5, "without_counts": 2}
    assert not found.findings[0].about_places


def test_spots_that_fit_another_slide_better_are_doubted():
    turned_slide = slide(mask=TissueMask.from_array(tissue().mask[::-1], (SIDE, SIDE)))
    sample, data = section()
    assert fits_better(sample, data, slide(), [turned_slide, slide()]) is None
    doubt = fits_better(sample, data, turned_slide, [turned_slide, slide()])
    assert doubt.about_slide
    assert doubt.says.startswith("the spots fit s.tif better: ")


def test_spots_in_a_corner_are_doubted_unless_the_array_is_that_small():
    whole = TissueMask.from_array(np.ones((9, 9)), (9000, 9000))
    wide = slide(shape=(9000, 9000), mask=whole)
    _, (doubt,) = texts(*section(), wide)
    assert "only a small corner of the tissue" in doubt
    assert texts(*section("visium", hexagonal=True, numbered=True), wide) == ([], [])


@pytest.mark.parametrize("spots", [[[5.0, 5.0]], [[5.0, 5.0], [5.0, 5.0]], [[150.0, 150.0]] * 30])
def test_few_or_equal_spots_are_judged(spots):
    sample, data = section()
    data = data[: len(spots)].copy()
    data.obsm["spatial"] = np.array(spots)
    examine(sample, data, slide())


@pytest.mark.long
@pytest.mark.parametrize("how", ["as they are", "exchanged", "mirrored", "wrong pixel size", "another order"])
def test_real_sections(data_dir, how):
    """Of five sections all are right as they are; exchanged or mirrored, none passes."""
    for sample in read_sheet(data_dir / "her2st" / "samples.csv"):
        from napari_nh2st.expression import read_expression

        data = read_expression(sample)
        with open_slide(sample.slide, mpp=sample.mpp) as opened:
            spots = data.obsm["spatial"]
            if how == "exchanged":
                data.obsm["spatial"] = spots[:, ::-1]
            elif how == "mirrored":
                data.obsm["spatial"] = np.stack([opened.shape[1] - spots[:, 0], spots[:, 1]], axis=1)
            elif how == "another order":
                data.obsm["spatial"] = drawn_by_lot(spots)
            elif how == "wrong pixel size":
                opened = opened.with_mpp(2 * sample.mpp)
            found = examine(sample, data, opened)
        assert bool(found.refusals) == (how != "as they are"), (sample.sample, found.findings)
        assert how != "as they are" or (found.doubts == () and found.on_tissue.mean() > 0.97)


@pytest.mark.long
def test_spots_of_another_real_section_raise_a_doubt_whatever_the_file_is_called(data_dir):
    """All 20 wrong pairs of five sections, by their places, by another slide that fits better, and by their names."""
    from napari_nh2st.expression import read_expression

    samples = read_sheet(data_dir / "her2st" / "samples.csv")
    slides = [open_slide(sample.slide, mpp=sample.mpp) for sample in samples]
    for sample, own in zip(samples, slides, strict=True):
        data = read_expression(sample)
        for on in slides:
            renamed = replace(sample, slide=on.path, expression=Path("adata.h5ad"), spots=None)
            findings = examine(renamed, data, on).findings
            assert any(f.about_places for f in findings) == (on is not own)
            assert (fits_better(renamed, data, on, slides) is not None) == (on is not own)
            names = [f.kind for f in examine(replace(sample, slide=on.path), data, on).findings]
            assert ("name" in names) == (on is not own)
