import numpy as np
import pytest
import tifffile

from napari_nh2st.demo.tissue import MARK, Section, make_section, write_slide


def test_a_seed_gives_the_same_section_again_and_another_seed_another(small: Section) -> None:
    again, other = (make_section(s, size_mm=(1.6, 1.4)) for s in (3, 4))
    assert np.array_equal(small.image, again.image)
    assert np.array_equal(small.truth(small.spots()), again.truth(again.spots()))
    assert not np.array_equal(small.image, other.image)


def test_layout_is_the_one_of_this_generator_version(small: Section) -> None:
    # Numbers fixed for GENERATOR_VERSION 2: a change here asks for a new version and for new bundled models.
    assert len(small.spots()) == 65
    assert small.truth(small.spots()).mean() == pytest.approx(2.31510646, abs=1e-6)
    assert small.image.mean() == pytest.approx(202.492, abs=0.05)


def test_the_picture_has_tissue_on_a_white_ground(small: Section) -> None:
    height, width = small.shape
    assert small.image.shape == (height, width, 3)
    assert (small.image[:20, :20] > 225).all()
    x, y = small.spots()[len(small.spots()) // 2].astype(int)
    patch = small.image[y - 56 : y + 56, x - 56 : x + 56].astype(float)
    assert patch[..., 0].mean() > patch[..., 1].mean() + 15  # pink to violet: green is what the stains take most
    assert patch.std() > 20


@pytest.mark.parametrize("mpp", [1.0, 0.5, 0.87])
def test_slide_file_gives_back_pixels_mpp_and_mark(tmp_path, mpp: float) -> None:
    section = make_section(5, size_mm=(0.8, 0.8), mpp=mpp)
    path = write_slide(section, tmp_path / "s.tif")
    assert [p.name for p in tmp_path.iterdir()] == ["s.tif"]
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        per_cm, per_unit = page.tags["XResolution"].value
        assert page.tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        assert 10_000 * per_unit / per_cm == mpp
        assert page.is_tiled
        assert page.description.startswith(f"{MARK}, seed 5")
        assert len(file.series[0].levels) == 3
        assert file.series[0].levels[0].shape[:2] == section.shape
        assert np.abs(file.asarray().astype(int) - section.image).mean() < 4


def test_truth_does_not_depend_on_the_pixel_size() -> None:
    fine, coarse = (make_section(5, size_mm=(0.8, 0.8), mpp=mpp) for mpp in (0.5, 1.0))
    places = np.array([[400.0, 400.0], [333.0, 410.0]])
    assert np.allclose(fine.truth(places * 2), coarse.truth(places))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="seed of 0 or more"):
        make_section(-1)
    with pytest.raises(ValueError, match="positive mpp"):
        make_section(1, mpp=0)
