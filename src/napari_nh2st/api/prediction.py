"""A prediction with its tables, pictures and files: what `predict` and `open_prediction` return."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine import prediction as engine
from napari_nh2st.errors import Nh2stError, Nh2stWarning
from napari_nh2st.model.find_genes import find_genes

if TYPE_CHECKING:
    import anndata
    import geopandas
    import pandas as pd
    import spatialdata
    from matplotlib.axes import Axes

    from napari_nh2st.analysis.outlines import Parts
    from napari_nh2st.analysis.regions import Mask
    from napari_nh2st.model.models import AnyModel
    from napari_nh2st.slides import Slide

SUFFIX = ".nh2st"


class Prediction(engine.Prediction):
    """Predicted expression at the places of one slide.

    Genes go by any of their names: ``prediction["HER2"]`` and ``prediction["erbb2"]`` are ``prediction["ERBB2"]``.
    Where `genes` may be left out, it is the whole panel.

    Attributes
    ----------
    places : TileSet
        The n places; ``places.centres`` (n, 2) are (x, y) in level-0 pixels.
    card : Card
        Of the model: ``card.unit``, ``card.trust(gene)``.
    slide : dict
        ``path``, ``fingerprint``, ``mpp``, ``mpp_source`` and ``shape`` (height, width) of level 0.
    provenance : dict
        Model hash, device, precision, versions and the command.

    Examples
    --------
    >>> from napari_nh2st import open_prediction
    >>> prediction = open_prediction("results/slide.nh2st")  # doctest: +SKIP
    >>> prediction["ERBB2"]  # doctest: +SKIP
    array([0.81, 1.22, ...], dtype=float32)
    """

    @classmethod
    def of(cls, prediction: engine.Prediction) -> Prediction:
        """Return a prediction that the engine, or another part of the package, has made; its arrays are shared."""
        return cls(**{f.name: getattr(prediction, f.name) for f in fields(prediction)})

    def trust(self, gene: str) -> str:
        """Write a gene's held-out correlation for people, or 'not evaluated'."""
        return self.card.trust(find_genes(self.card, gene)[0])

    def to_dataframe(self, genes: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Return a table of the predicted tiles: where they are, and a column for each gene.

        Returns
        -------
        DataFrame
            Indexed by tile; ``row``, ``col`` on the lattice, centres ``x_px``, ``y_px`` (level-0 pixels), ``x_um``,
            ``y_um``, then the genes in `card.unit`: the columns of a CSV file.

        Examples
        --------
        >>> prediction.to_dataframe(["ERBB2", "CD74"]).describe()  # doctest: +SKIP
        """
        import pandas as pd

        from napari_nh2st.formats.table import rows_and_columns, slide_mpp, tile_ids

        self._warn()
        done = self.only_done()
        rows = done.gene_indices(genes)
        index, centres = rows_and_columns(done.places), done.places.centres
        where = np.column_stack([centres, centres * slide_mpp(done)])
        table = pd.DataFrame(index, index=pd.Index(tile_ids(done.places), name="tile"), columns=["row", "col"])
        table[["x_px", "y_px", "x_um", "y_um"]] = where
        values = pd.DataFrame(done.decoder(done.hidden, rows), table.index, [self.genes[i] for i in rows])
        return pd.concat([table, values], axis=1)

    def to_anndata(self, genes: str | Iterable[str] | None = None, *, intervals: bool = False) -> anndata.AnnData:
        """Return the predicted tiles as AnnData with the tissue image, as the h5ad file has them.

        Parameters
        ----------
        genes : str or iterable of str, optional
        intervals : bool
            With the half-widths of 90% intervals as the layer ``half_width``.

        Examples
        --------
        >>> import scanpy  # doctest: +SKIP
        >>> scanpy.pl.spatial(prediction.to_anndata(), color="ERBB2")  # doctest: +SKIP
        """
        from napari_nh2st.formats.h5ad import to_anndata

        self._warn()
        chosen = genes if genes is None or isinstance(genes, str) else list(genes)
        return to_anndata(self, chosen, intervals=intervals)

    def to_spatialdata(
        self,
        genes: str | Iterable[str] | None = None,
        *,
        image: Literal["overview", "whole"] | None = "overview",
        regions: Any = None,
        domains: npt.ArrayLike | None = None,
    ) -> spatialdata.SpatialData:
        """Return the predicted tiles as SpatialData; needs ``pip install 'napari-nh2st[spatialdata]'``.

        Parameters
        ----------
        genes : str or iterable of str, optional
        image : {"overview", "whole"} or None
            The tissue: a small copy, as files have it; all levels of the slide's file, which are read when they are
            looked at, and copied by ``write``; or none.
        regions : optional
            As for `regions`; become the shapes ``regions``.
        domains : (n,) array, optional
            A label for each of the n places, 0 for none, such as ``find_domains(prediction).labels``; becomes the
            column ``domain``.

        Returns
        -------
        SpatialData
            Image ``slide``, shapes ``tiles``, table ``predicted``; ``global`` is level-0 pixels.

        Examples
        --------
        >>> import spatialdata_plot  # doctest: +SKIP
        >>> sdata = prediction.to_spatialdata()  # doctest: +SKIP
        >>> sdata.pl.render_images("slide").pl.render_shapes("tiles", color="ERBB2").pl.show()  # doctest: +SKIP
        """
        from napari_nh2st.analysis.outlines import outlines_of
        from napari_nh2st.formats import check_package
        from napari_nh2st.formats.spatialdata import to_spatialdata

        check_package("spatialdata", "to_spatialdata", extra="spatialdata")
        if domains is not None and len(np.asarray(domains)) == len(self):
            domains = np.asarray(domains)[self.done]
        outlines = None if regions is None else outlines_of(regions)
        return to_spatialdata(self.only_done(), self._symbols(genes), image=image, regions=outlines, domains=domains)

    def to_geodataframe(self, genes: str | Iterable[str] | None = None, regions: Any = None) -> geopandas.GeoDataFrame:
        """Return the predicted tiles, or regions, as polygons with their genes; needs geopandas.

        Parameters
        ----------
        genes : str or iterable of str, optional
        regions : optional
            As for `regions`.

        Returns
        -------
        GeoDataFrame
            In level-0 pixels, y down. Squares indexed by tile, with a column for each gene; or regions by name, with
            ``n_tiles`` and the mean of each gene (NaN without a tile).

        Examples
        --------
        >>> prediction.to_geodataframe("ERBB2").plot("ERBB2")  # doctest: +SKIP
        >>> prediction.to_geodataframe(regions=annotations).to_file("regions.geojson")  # doctest: +SKIP
        """
        import pandas as pd

        from napari_nh2st.analysis.outlines import outlines_of
        from napari_nh2st.analysis.regions import mask_table
        from napari_nh2st.formats import check_package
        from napari_nh2st.formats.shapes import polygons, squares

        check_package("geopandas", "to_geodataframe", extra="spatialdata")
        done, names = self.only_done(), self._symbols(genes)
        if regions is None:
            tiles = squares(done)
            return tiles.join(pd.DataFrame(done.matrix(names), tiles.index, names))
        outlines = outlines_of(regions)
        masks = _masks(done, outlines)
        means = mask_table(done, masks).pivot(index="region", columns="gene", values="mean")
        shapes = polygons(outlines).assign(n_tiles=[int(mask.sum()) for mask in masks.values()])
        return shapes.join(means.reindex(index=shapes.index, columns=names))

    def _symbols(self, genes: str | Iterable[str] | None) -> list[str]:
        return list(dict.fromkeys(self.genes if genes is None else find_genes(self.card, genes)))

    def plot(
        self,
        gene: str,
        slide: Slide | str | Path | None = None,
        ax: Axes | None = None,
        *,
        colormap: str = "viridis",
        limits: tuple[float, float] | None = None,
    ) -> Axes:
        """Draw a gene with a scale bar, and a colour bar in the model's unit.

        Parameters
        ----------
        gene : str
        slide : Slide or path, optional
            Its tissue is drawn below the map. Without it, the background is white.
        ax : Axes, optional
            Of matplotlib; a new figure by default. The axes are in level-0 pixels, y down.
        colormap : str
            A matplotlib name.
        limits : (low, high), optional
            Ends of the colours; the 1st and 99th percentile by default.

        Examples
        --------
        >>> prediction.plot("HER2", "slide.svs")  # doctest: +SKIP
        """
        from napari_nh2st.formats.plot import plot_map
        from napari_nh2st.slides import open_slide

        if isinstance(slide, (str, Path)):
            with open_slide(slide) as opened:
                return plot_map(self, gene, opened, ax, colormap=colormap, limits=limits)
        return plot_map(self, gene, slide, ax, colormap=colormap, limits=limits)

    def regions(self, regions: Any) -> pd.DataFrame:
        """Describe every gene in every region. A tile belongs to a region if its centre is inside.

        Parameters
        ----------
        regions : path, GeoDataFrame, GeoJSON, dict or list
            A file of QuPath (GeoJSON), ASAP (XML) or NDP.view (NDPA); or polygons in level-0 pixels, x and y: shapely
            polygons, GeoJSON, or arrays (k, 2), in a list or by name in a dict; a GeoDataFrame or a GeoJSON
            FeatureCollection names them by ``name`` or QuPath's ``classification``, else a GeoDataFrame by its index.
            Holes are left out; several polygons of one name are one region.

        Returns
        -------
        DataFrame
            One row a region and gene: ``region``, ``gene``, ``n_tiles``, ``mean``, ``sd``, ``mean_elsewhere`` (all
            predicted tiles outside the region) and ``unit``.

        Warns
        -----
        Nh2stWarning
            If a region has no predicted tile; it then has no rows.

        Examples
        --------
        >>> table = prediction.regions({"tumour": [(0, 0), (4000, 0), (4000, 3000)]})  # doctest: +SKIP
        >>> table.pivot(index="gene", columns="region", values="mean")  # doctest: +SKIP
        """
        from napari_nh2st.analysis.outlines import outlines_of
        from napari_nh2st.analysis.regions import mask_table

        done = self.only_done()
        return mask_table(done, _masks(done, outlines_of(regions)))

    def adapt(
        self,
        anchors: str | Path | Sequence[str | Path],
        *,
        spots: Sequence[str] | None = None,
        count: int | None = None,
        slide: Slide | str | Path | None = None,
        model: AnyModel | None = None,
    ) -> Prediction:
        """Correct the prediction with a few measured spots of this slide, in closed form.

        Parameters
        ----------
        anchors : path, or (counts, positions)
            A measurement of this slide, as a sample sheet has it: ``.h5ad``, a folder of Space Ranger, or tables.
        spots : sequence of str, optional
            Only these spots, by their names in the file.
        count : int, optional
            Only so many: those that tell most about the slide.
        slide : Slide or path, optional
            Where the slide is now; by default where it was.
        model : Model, optional
            The model that predicted: then it predicts at the spots themselves, not at the tiles that hold them.

        Returns
        -------
        Prediction
            ``provenance["anchors"]`` names the spots and says how well each is predicted from the others. Genes that
            were not measured stay as they are.

        Raises
        ------
        Nh2stError
            If the spots are another slide's, too few (fewer than 3) or of another unit, or it is corrected already.

        Warns
        -----
        Nh2stWarning
            If the spots may lie elsewhere, or the correction does not help.

        Examples
        --------
        >>> corrected = prediction.adapt("measured.h5ad", count=20)  # doctest: +SKIP
        >>> corrected.provenance["anchors"]["agreement"]  # doctest: +SKIP
        """
        from napari_nh2st.api.anchors import adapt

        return Prediction.of(adapt(self, anchors, spots=spots, count=count, slide=slide, model=model))

    def where_next(self, count: int) -> pd.DataFrame:
        """Propose where to measure next, so that `adapt` tells most about the whole slide.

        Returns
        -------
        DataFrame
            One row a place, the most telling first: ``x_px``, ``y_px`` (level-0 pixels), ``x_um``, ``y_um``, and
            ``spread``, how little is known of it: 1 if nothing like it, and nothing near it, is measured.

        Raises
        ------
        Nh2stError
            If fewer places are predicted.

        Examples
        --------
        >>> prediction.where_next(10).to_csv("next.csv")  # doctest: +SKIP
        """
        from napari_nh2st.analysis.where_next import where_next

        return where_next(self, count).table()

    def save(self, path: str | Path, genes: str | Iterable[str] | None = None, *, intervals: bool = False) -> Path:
        """Write the prediction to a file or folder; it appears when it is complete, and replaces what is there.

        Parameters
        ----------
        path : path
            Its ending chooses the format: ``.nh2st`` (all genes; opens again with `open_prediction` and in napari),
            or that of a file, such as ``.h5ad`` and ``.csv``.
        genes : str or iterable of str, optional
            For files other than ``.nh2st``.
        intervals : bool
            Half-widths of 90% intervals beside the values, in h5ad, CSV and Parquet; ``.nh2st`` has them anyway.

        Raises
        ------
        Nh2stError
            If there is no format of this ending, or nothing is predicted.

        Warns
        -----
        Nh2stWarning
            If the prediction means nothing: a demo model on a real slide.

        Examples
        --------
        >>> prediction.save("slide.h5ad", ["ERBB2", "CD74"])  # doctest: +SKIP
        """
        from napari_nh2st.engine.store import save_prediction
        from napari_nh2st.formats import EXPORTERS, export, format_of

        path = Path(path).expanduser()
        if path.suffix.lower() == SUFFIX:
            if genes is not None:
                raise Nh2stError(f"{SUFFIX} keeps every gene: leave out genes, or save as .h5ad or .csv")
            self._warn()
            return save_prediction(self, path)
        name = format_of(path)
        if name is None:
            raise Nh2stError(f"{path}: end the name in {', '.join([SUFFIX, *(e.suffix for e in EXPORTERS.values())])}")
        chosen = genes if genes is None or isinstance(genes, str) else list(genes)
        self._warn()
        return export(self, name, path, chosen, intervals=intervals)

    def report(
        self,
        path: str | Path,
        genes: str | Iterable[str] | None = None,
        *,
        regions: Any = None,
        slide: Slide | str | Path | None = None,
        model: str | Path | None = None,
        check_tissue: bool = True,
    ) -> Path:
        """Write a report of the slide: maps, trust, regions and origin; it opens without a server or a network.

        Parameters
        ----------
        path : path
            Ends in .html or .pdf.
        genes : str or iterable of str, optional
            Those of which maps are drawn; the six that the model predicts best by default.
        regions : path, or as in `regions`, optional
            Also a GeoJSON file; the report then describes the genes in each region.
        slide : Slide or path, optional
            Where the slide is now; by default where it was.
        model : name or path, optional
            The model that predicted, if it is no bundled one: for the share of tissue unlike that of its training.
        check_tissue : bool
            Compare the tissue with that of the training, if slide and model are there. Takes a minute or less.

        Raises
        ------
        Nh2stError
            If there is nothing to draw, or a slide or a model is another than the one of the prediction.

        Warns
        -----
        Nh2stWarning
            If the prediction means nothing: a demo model on a real slide. The report says so, too.

        Examples
        --------
        >>> prediction.report("slide.html", ["HER2", "CD74"])  # doctest: +SKIP
        """
        from napari_nh2st.formats.picture import of_prediction
        from napari_nh2st.report.write import write_report

        self._warn()
        names = [genes] if isinstance(genes, str) else None if genes is None else list(genes)
        with of_prediction(self, slide) as opened:
            return write_report(
                self, path, names, slide=opened, regions=regions, model=model, check_tissue=check_tissue
            )

    def _warn(self) -> None:
        """Warn whoever writes a prediction that means nothing: a demo model on a real slide."""
        from napari_nh2st.formats.table import means_nothing

        for sentence in means_nothing(self):
            warnings.warn(sentence, Nh2stWarning, stacklevel=3)

    def _repr_html_(self) -> str:
        """Show a notebook the facts, and the map of the gene that the model predicts best."""
        from napari_nh2st.formats.thumbnail import html_of

        return html_of(self)


def _masks(done: Prediction, outlines: dict[str, Parts]) -> dict[str, Mask]:
    """Return the tiles of each region; warn whoever asked of those without any."""
    from napari_nh2st.analysis.outlines import within

    masks = {name: within(done.places.centres, parts) for name, parts in outlines.items()}
    empty = [name for name, mask in masks.items() if not mask.any()]
    if empty:
        turned = any(within(done.places.centres[:, ::-1], outlines[name]).any() for name in empty)
        mend = "; there would be with x and y exchanged" if turned else ""
        warnings.warn(f"no predicted tile in {', '.join(empty)}{mend}", Nh2stWarning, stacklevel=3)
    return masks


def open_prediction(path: str | Path) -> Prediction:
    """Open what `predict` left: the ``.nh2st`` folder, or the folder that holds only one; or what was saved of it.

    A file that `save` or ``nh2st export`` wrote has the values of its genes alone. Needs neither the model nor torch.

    Raises
    ------
    Nh2stError
        If there is no prediction there, or it is damaged.

    Examples
    --------
    >>> from napari_nh2st import open_prediction
    >>> open_prediction("nowhere")
    Traceback (most recent call last):
    napari_nh2st.errors.Nh2stError: nowhere is not a prediction: give one folder that ends in .nh2st (found there: none)
    """
    from napari_nh2st.engine import store
    from napari_nh2st.formats import format_of, read_export

    if format_of(path) not in (None, "nh2st"):
        return Prediction.of(read_export(path))
    return Prediction.of(store.open_prediction(path))
