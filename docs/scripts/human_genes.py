"""Write the table of human genes that the package holds, from HGNC's complete set.

    python docs/scripts/human_genes.py hgnc_complete_set.txt

The set is at https://www.genenames.org/download/ (CC0). Kept are the approved symbol, earlier symbols and the Ensembl
id of genes for proteins, immunoglobulins and T cell receptors.
"""

import csv
import gzip
import sys
from pathlib import Path

from napari_nh2st.model import gene_names

KINDS = {"gene with protein product", "immunoglobulin gene", "T cell receptor gene"}


def main() -> None:
    """Read HGNC's table and write ours."""
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["locus_type"] in KINDS]
    rows = sorted((row for row in rows if row["ensembl_gene_id"]), key=lambda row: row["ensembl_gene_id"])
    lines = ["\t".join(row[column] for column in gene_names.HUMAN_COLUMNS) for row in rows]
    text = "\n".join(["\t".join(gene_names.HUMAN_COLUMNS), *lines, ""])
    gene_names.HUMAN_FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(rows):,} genes -> {gene_names.HUMAN_FILE}")


if __name__ == "__main__":
    main()
