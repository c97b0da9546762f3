import subprocess
import sys
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_nh2st.formats import export
from napari_nh2st.formats.h5ad import to_anndata
from support.predictions import GENES, prediction


@pytest.fixture
def tissue(tmp_path):
    """A white slide of 900 x 1400 with a dark square over tile (row 3, column 5)."""
    pixels = np.full((900, 1400, 3), 255, dtype=np.uint8)
    pixels[3 * 112 : 4 * 112, 5 * 112 : 6 * 112] = (120, 20, 120)
    path = tmp_path / "tissue é.png"
    Image.fromarray(pixels).save(path)
    return path


def test_the_layout_is_the_one_of_the_field(tissue, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        adata = anndata.read_h5ad(export(prediction(slide_path=tissue), "h5ad", tmp_path / "out"))
    assert adata.X.dtype == np.float32
    assert list(adata.obs) == ["in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
    np.testing.assert_array_equal(adata.obsm["spatial"], adata.obs[["pxl_col_in_fullres", "pxl_row_in_fullres"]])
    assert adata.obs.loc["r0003_c0005"].tolist() == [1, 3, 5, 3.5 * 112, 5.5 * 112]
    assert adata.var_names.tolist() == GENES
    assert adata.var["gene_ids"].tolist() == ["ENSG00000141736", "ENSG00000019582", "", ""]
    assert adata.var.loc["ERBB2", "heldout_pcc"] == 0.4
    assert np.isnan(adata.var.loc["CD74", "heldout_pcc"])
    library = adata.uns["spatial"]["tissue é"]
    assert set(library["images"]) == {"hires", "lowres"}
    factors = library["scalefactors"]
    assert set(factors) == {
        "tissue_hires_scalef",
        "tissue_lowres_scalef",
        "spot_diameter_fullres",
        "fiducial_diameter_fullres",
    }
    assert factors["spot_diameter_fullres"] == 112
    assert adata.uns["nh2st"]["mpp_source"] == "user"


def test_the_file_is_the_anndata_in_memory(tissue, tmp_path):
    """It is written without AnnData: every part is there, with its type."""
    made = prediction(slide_path=tissue)
    read, data = anndata.read_h5ad(export(made, "h5ad", tmp_path / "out")), to_anndata(made)
    for part in (read, data):
        part.uns["nh2st"].pop("command")
    for one, other in ((read.obs, data.obs), (read.var, data.var)):
        pd.testing.assert_frame_equal(one, other)
    for name in ("X", "obsm", "uns", "layers", "varm", "obsp", "varp"):
        one, other = (getattr(part, name) for part in (read, data))
        np.testing.assert_equal(one if name == "X" else {**one}, other if name == "X" else {**other}, name)
    read.write_h5ad(tmp_path / "again.h5ad")


def test_writing_loads_neither_anndata_nor_pandas(tmp_path):
    code = "from napari_nh2st.formats import export; import support.predictions as p, sys, pathlib\n"
    code += (
        "export(p.prediction(), 'h5ad', pathlib.Path(sys.argv[1])); print([*{'anndata', 'pandas'} & {*sys.modules}])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert ran.stdout.strip() == "[]", ran.stderr


@pytest.mark.parametrize("key", ["hires", "lowres"])
def test_the_image_lies_under_its_tiles(key, tissue, tmp_path):
    adata = to_anndata(prediction(slide_path=tissue))
    library = adata.uns["spatial"]["tissue é"]
    image, factor = library["images"][key], library["scalefactors"][f"tissue_{key}_scalef"]
    assert image.dtype == np.uint8
    assert max(image.shape[:2]) == {"hires": 1400, "lowres": 600}[key]
    rows, columns = np.nonzero(image[..., 1] < 128)
    centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / factor
    place = adata.obsm["spatial"][adata.obs_names.get_loc("r0003_c0005")]
    np.testing.assert_allclose(centre, place, atol=1.5)


def test_a_slide_that_is_gone_or_another_costs_the_image_only(tissue, tmp_path):
    with pytest.warns(UserWarning, match="not there any more"):
        adata = to_anndata(prediction(slide_path=tmp_path / "gone.svs"))
    assert "spatial" not in adata.uns
    assert adata.n_obs > 0
    with pytest.warns(UserWarning, match="another image now has its name"):
        to_anndata(prediction(slide_path=tissue, fingerprint="of another slide"))
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.warns(UserWarning, match="without a tissue image"):
        to_anndata(prediction(slide_path=tmp_path / "broken.png"))


def _draw(adata, **kwargs):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (axes,) = scanpy.pl.spatial(adata, show=False, **kwargs)
    axes.figure.canvas.draw()
    yield axes
    plt.close(axes.figure)


@pytest.mark.parametrize("key", ["hires", "lowres"])
def test_scanpy_draws_over_the_tissue(key, tissue, tmp_path):
    adata = anndata.read_h5ad(export(prediction(slide_path=tissue), "h5ad", tmp_path / "out"))
    for axes in _draw(adata, color="ERBB2", img_key=key):
        image = axes.get_images()[0].get_array()
        spots = axes.collections[0]
        assert spots.get_array().size == adata.n_obs
        centres = np.array([p.get_extents().get_points().mean(axis=0) for p in spots.get_paths()])
        if len(centres) != adata.n_obs:
            centres = np.asarray(spots.get_offsets())
        order = adata.obs_names.get_indexer(["r0003_c0005"])
        drawn = centres[np.abs(centres - adata.obsm["spatial"][order] * image.shape[1] / 1400).sum(axis=1).argmin()]
        x, y = drawn.astype(int)
        assert image[y, x, 1] < 128  # the dark square lies under the spot of its tile
        rows, columns = np.nonzero(image[..., 1] < 128)
        np.testing.assert_allclose(drawn, [columns.mean() + 0.5, rows.mean() + 0.5], atol=1)


@pytest.mark.filterwarnings("ignore:exported without a tissue image")
def test_scanpy_draws_without_an_image(tmp_path):
    adata = anndata.read_h5ad(export(prediction(), "h5ad", tmp_path / "out"))
    for axes in _draw(adata, color="CD74", spot_size=112):
        assert not axes.get_images()
        assert axes.collections[0].get_array().size == adata.n_obs


def test_a_full_disk_is_an_error_and_leaves_no_file(tissue, tmp_path):
    """HDF5 itself would end the process: it has nothing to do with the disk."""
    resource = pytest.importorskip("resource")
    made, (soft, hard) = prediction(slide_path=tissue), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            export(made, "h5ad", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".h5ad"]
