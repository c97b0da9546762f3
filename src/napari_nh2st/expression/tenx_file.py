"""A `filtered_feature_bc_matrix.h5` of Cell Ranger or Space Ranger. Runs in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.columns import ensembl_id
from napari_nh2st.expression.counts import GENE_EXPRESSION, Counts, refuse_what_is_no_count
from napari_nh2st.expression.hdf5 import Matrix, Node, as_texts, child, members, open_checked, read_array, read_sparse


def read(path: Path) -> Counts:
    """Read the counts of genes by barcode; other features (antibodies, guides) are left out.

    Raises
    ------
    SampleError
        If it is damaged, or no such file.
    OSError, ValueError, KeyError, RuntimeError
        Whatever h5py makes of a damaged file.
    """
    with open_checked(path) as file:
        group = child(file, "matrix")
        if group is None:  # Cell Ranger before 3: a group for each genome
            genomes = [g for _, g in members(file) if child(g, "barcodes") is not None]
            if len(genomes) != 1:
                raise SampleError(f"{path.name} holds {len(genomes) or 'no'} matrices of counts: one is wanted")
            group = genomes[0]
        features = child(group, "features")
        symbols, ids = (
            (_texts(group, "gene_names"), _texts(group, "genes"))
            if features is None
            else (_texts(features, "name"), _texts(features, "id"))
        )
        kinds = None if features is None else child(features, "feature_type")
        barcodes = _texts(group, "barcodes")
        if len(ids) != len(symbols):
            raise SampleError(f"{path.name}: {len(symbols):,} names of genes, but {len(ids):,} ids")
        shape = child(group, "shape")
        matrix = read_sparse(
            group, None if shape is None else read_array(shape, 1), (len(symbols), len(barcodes)), by_columns=True
        ).turned()
        genes = None if kinds is None else np.array([k == GENE_EXPRESSION for k in as_texts(read_array(kinds, 1))])
        if genes is not None and len(genes) != len(symbols):
            raise SampleError(f"{path.name}: {len(symbols):,} names of genes, but {len(genes):,} kinds")
        if genes is not None and genes.any() and not genes.all():
            matrix = only_columns(matrix, genes)
            symbols = [s for s, kept in zip(symbols, genes, strict=True) if kept]
            ids = [i for i, kept in zip(ids, genes, strict=True) if kept]
        refuse_what_is_no_count(path.name, matrix.data)
        out = Counts(matrix.data, matrix.indices, matrix.indptr, barcodes, symbols, matrix.by_columns)
        out.ids = [ensembl_id(i) or i for i in ids]
        return out


def _texts(group: Node, name: str) -> list[str]:
    node = child(group, name)
    if node is None:
        raise SampleError(f"{group.name} has no {name}: it is no matrix that Space Ranger wrote")
    return as_texts(read_array(node, 1))


def only_columns(matrix: Matrix, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Matrix:
    """Return a matrix in compressed rows with only some of its columns."""
    place = np.cumsum(kept) - 1
    there = kept[matrix.indices]
    ends = np.concatenate([[0], np.cumsum(there)])[matrix.indptr]
    shape = (matrix.shape[0], int(kept.sum()))
    return Matrix(matrix.data[there], place[matrix.indices[there]].astype(np.int32), ends.astype(np.int64), shape)
