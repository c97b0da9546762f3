"""A `filtered_feature_bc_matrix.h5` of Cell Ranger or Space Ranger. Runs in a process of its own."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import columns
from napari_nh2st.expression.counts import Counts, only_genes, others_left_out, refuse_what_is_no_count
from napari_nh2st.expression.hdf5 import (
    Node,
    as_texts,
    child,
    members,
    only_columns,
    open_checked,
    read_array,
    read_sparse,
)


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
                raise SampleError(f"{path.name} holds {len(genomes) or 'no'} matrices of counts: it should hold one")
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
        kinds_of = None if kinds is None else as_texts(read_array(kinds, 1))
        if kinds_of is not None and len(kinds_of) != len(symbols):
            raise SampleError(f"{path.name}: {len(symbols):,} names of genes, but {len(kinds_of):,} kinds")
        says: list[str] = []
        if kinds_of is not None and (genes := only_genes(path.name, kinds_of)) is not None:
            matrix, says = only_columns(matrix, genes), others_left_out(kinds_of, genes)
            symbols = [s for s, kept in zip(symbols, genes, strict=True) if kept]
            ids = [i for i, kept in zip(ids, genes, strict=True) if kept]
        refuse_what_is_no_count(path.name, matrix.data)
        names = columns.without_genomes(symbols)
        out = Counts(matrix.data, matrix.indices, matrix.indptr, barcodes, names, matrix.by_columns)
        out.ids = [columns.ensembl_id(i) or i for i in ids]
        out.says = [*says, *columns.several_genomes(symbols)]
        return out


def _texts(group: Node, name: str) -> list[str]:
    node = child(group, name)
    if node is None:
        raise SampleError(f"{group.name} has no {name}: Space Ranger did not write this matrix")
    return as_texts(read_array(node, 1))
