"""Other names of genes: those that pathologists use, and a table of the user's own."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import platformdirs

from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import read_table

# Symbol, then the names that people say or print on a stain; a name may stand for several genes. Only names of the gene
# or of its product: MIB-1, for example, is an antibody to Ki-67 and also another gene's symbol, and is not listed.
_SAID = {
    "ABCB1": "MDR1|P-glycoprotein",
    "ACTA2": "SMA|alpha-SMA|smooth muscle actin",
    "ADIPOQ": "adiponectin",
    "AFP": "alpha-fetoprotein",
    "AMACR": "P504S",
    "AR": "androgen receptor",
    "BIRC5": "survivin",
    "CA9": "CAIX|carbonic anhydrase IX",
    "CALB2": "calretinin",
    "CAV1": "caveolin 1",
    "CCNA2": "cyclin A2",
    "CCNB1": "cyclin B1",
    "CCND1": "cyclin D1",
    "CCNE1": "cyclin E1",
    "CD207": "langerin",
    "CD247": "CD3 zeta",
    "CD274": "PD-L1|B7-H1",
    "CD276": "B7-H3",
    "CD3D": "CD3",
    "CD3E": "CD3",
    "CD3G": "CD3",
    "CD8A": "CD8",
    "CD8B": "CD8",
    "CDH1": "E-cadherin",
    "CDH2": "N-cadherin",
    "CDH3": "P-cadherin",
    "CDKN1A": "p21",
    "CDKN1B": "p27",
    "CDKN2A": "p16",
    "CEACAM5": "CEA|CD66e",
    "CHGA": "chromogranin A|chromogranin",
    "CNN1": "calponin",
    "COL1A1": "collagen I",
    "COL1A2": "collagen I",
    "COL3A1": "collagen III",
    "COL4A1": "collagen IV",
    "COL4A2": "collagen IV",
    "CR2": "CD21",
    "CTLA4": "CD152",
    "CTNNB1": "beta-catenin",
    "CTNND1": "p120 catenin",
    "CTSD": "cathepsin D",
    "CXCL8": "IL-8|interleukin 8",
    "DES": "desmin",
    "EGFR": "HER1|c-erbB-1",
    "ENG": "CD105|endoglin",
    "ENO2": "NSE|neuron-specific enolase",
    "EPCAM": "CD326",
    "ERBB2": "HER2|HER2/neu|neu|c-erbB-2",
    "ERBB3": "HER3|c-erbB-3",
    "ERBB4": "HER4|c-erbB-4",
    "ESR1": "ER|ER alpha|estrogen receptor|oestrogen receptor",
    "ESR2": "ER beta",
    "FCER2": "CD23",
    "FCGR3A": "CD16",
    "FCGR3B": "CD16",
    "FN1": "fibronectin",
    "FOLH1": "PSMA",
    "GFAP": "glial fibrillary acidic protein",
    "GZMB": "granzyme B",
    "HAVCR2": "TIM-3",
    "HIF1A": "HIF-1 alpha",
    "HLA-DRA": "HLA-DR",
    "HLA-DRB1": "HLA-DR",
    "HSP90AA1": "HSP90",
    "HSP90AB1": "HSP90",
    "HSPA1A": "HSP70",
    "HSPA1B": "HSP70",
    "HSPB1": "HSP27",
    "IDO1": "IDO",
    "IFNG": "interferon gamma|IFN gamma",
    "IGHA1": "IgA",
    "IGHA2": "IgA",
    "IGHG1": "IgG",
    "IGHG2": "IgG",
    "IGHG3": "IgG",
    "IGHG4": "IgG",
    "IGHM": "IgM",
    "IGKC": "kappa light chain",
    "IL2RA": "CD25",
    "INHA": "inhibin alpha",
    "ITGAM": "CD11b",
    "ITGAX": "CD11c",
    "KIT": "c-KIT|CD117",
    "KLK3": "PSA|prostate-specific antigen",
    "KRT1": "CK1|cytokeratin 1",
    "KRT10": "CK10|cytokeratin 10",
    "KRT14": "CK14|cytokeratin 14",
    "KRT15": "CK15|cytokeratin 15",
    "KRT17": "CK17|cytokeratin 17",
    "KRT18": "CK18|CK8/18|cytokeratin 18",
    "KRT19": "CK19|cytokeratin 19",
    "KRT20": "CK20|cytokeratin 20",
    "KRT5": "CK5|CK5/6|cytokeratin 5",
    "KRT6A": "CK6|CK5/6",
    "KRT6B": "CK6|CK5/6",
    "KRT7": "CK7|cytokeratin 7",
    "KRT8": "CK8|CK8/18|cytokeratin 8",
    "LAG3": "CD223",
    "LALBA": "alpha-lactalbumin",
    "LTF": "lactoferrin",
    "LYZ": "lysozyme",
    "MET": "c-MET|HGF receptor",
    "MKI67": "Ki-67",
    "MLANA": "Melan-A|MART-1",
    "MME": "CD10|CALLA|neprilysin",
    "MPO": "myeloperoxidase",
    "MRC1": "CD206|mannose receptor",
    "MS4A1": "CD20",
    "MSLN": "mesothelin",
    "MUC1": "EMA|CA15-3|epithelial membrane antigen",
    "MUC16": "CA125",
    "MYC": "c-Myc",
    "MYCN": "N-Myc",
    "MYH11": "SMMHC|smooth muscle myosin heavy chain",
    "NAPSA": "napsin A",
    "NCAM1": "CD56|N-CAM",
    "NCOA3": "AIB1|SRC-3",
    "NKX2-1": "TTF-1",
    "PCNA": "proliferating cell nuclear antigen",
    "PDCD1": "PD-1|CD279",
    "PDCD1LG2": "PD-L2",
    "PDPN": "podoplanin",
    "PECAM1": "CD31",
    "PGR": "PR|progesterone receptor",
    "PIP": "GCDFP-15",
    "PLIN1": "perilipin",
    "PMEL": "gp100",
    "POSTN": "periostin",
    "PRF1": "perforin",
    "PTPRC": "CD45|LCA|leukocyte common antigen",
    "RB1": "Rb",
    "S100B": "S100",
    "S100A1": "S100",
    "SCGB2A2": "mammaglobin|mammaglobin A",
    "SDC1": "CD138|syndecan-1",
    "SERPINB5": "maspin",
    "SLC2A1": "GLUT1",
    "SLC39A6": "LIV-1",
    "SPP1": "osteopontin",
    "SYP": "synaptophysin",
    "TACSTD2": "TROP2",
    "TFF1": "pS2",
    "TG": "thyroglobulin",
    "TGFB1": "TGF beta|TGF beta 1",
    "TNF": "TNF alpha",
    "TNFRSF18": "GITR",
    "TNFRSF4": "OX40|CD134",
    "TNFRSF8": "CD30",
    "TNFRSF9": "4-1BB|CD137",
    "TOP2A": "topoisomerase II alpha",
    "TP53": "p53",
    "TP63": "p63|p40",
    "TPSAB1": "tryptase",
    "TPSB2": "tryptase",
    "TYR": "tyrosinase",
    "VEGFA": "VEGF",
    "VIM": "vimentin",
    "VSIR": "VISTA",
    "VWF": "von Willebrand factor|factor VIII-related antigen",
}
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "κ": "kappa", "λ": "lambda", "ζ": "zeta"}
_FOLDED = str.maketrans({**_GREEK, **dict.fromkeys("-‐‑– \t\u00a0", "")})  # hyphens of any kind, and blanks
_VERSION = re.compile(r"^(ens[a-z]*\d+)\.\d+$")
FILE = "gene_names.tsv"
HUMAN_FILE = Path(__file__).with_name("human_genes.tsv.gz")  # written by docs/scripts/human_genes.py
HUMAN_COLUMNS = ("symbol", "prev_symbol", "ensembl_gene_id")
_HUMAN = 0.8  # of a panel's symbols must be those of human genes, before they are taken for such


def fold(text: str) -> str:
    """Fold a name for comparison: no case, hyphens, blanks or Ensembl version."""
    key = text.casefold().translate(_FOLDED)
    return _VERSION.sub(r"\1", key) if key.startswith("ens") else key


@dataclass(frozen=True)
class GeneNames:
    """Names that genes have beside their symbols; "folded" means written by `fold`.

    Attributes
    ----------
    symbols : dict
        Folded name -> the symbols that it stands for; a symbol is also a name.
    written : dict
        Folded name -> the name as people write it.
    of : dict
        Symbol -> its folded names.
    earlier, later : dict
        Symbol -> its earlier symbols, and earlier symbol -> today's: models keep the symbols of their time.
    ids : dict
        Folded Ensembl id -> symbol.
    ordered : list of str
        All folded names, sorted.
    """

    symbols: dict[str, list[str]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    of: dict[str, list[str]] = field(default_factory=dict)
    earlier: dict[str, list[str]] = field(default_factory=dict)
    later: dict[str, list[str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    ordered: list[str] = field(default_factory=list)

    def add(self, symbol: str, names: Sequence[str], earlier: Sequence[str] = (), ids: Sequence[str] = ()) -> None:
        """Take up the names of one gene."""
        for before in earlier:
            self.earlier.setdefault(symbol, []).append(before)
            self.later.setdefault(before, []).append(symbol)
        for name in (symbol, *names, *earlier):
            key = fold(name)
            stands_for = self.symbols.setdefault(key, [])
            if symbol not in stands_for:
                stands_for.append(symbol)
                self.of.setdefault(symbol, []).append(key)
                self.written.setdefault(key, name)
        self.ids.update((fold(known), symbol) for known in ids)


def names_file() -> Path:
    """Return the path of the user's own table: `gene_names.tsv` in the settings folder."""
    return platformdirs.user_config_path("napari-nh2st") / FILE


def common_names() -> GeneNames:
    """Return the names that pathologists use."""
    names = GeneNames()
    for symbol, said in _SAID.items():
        names.add(symbol, said.split("|"))
    names.ordered.extend(sorted(names.symbols))
    return names


def load_names(table: Path | None = None) -> GeneNames:
    """Return the names that pathologists use, plus those of a table.

    Parameters
    ----------
    table : Path, optional
        Like HGNC's complete set (https://www.genenames.org/download/): separated by tabs, with a column `symbol` and
        any of `alias_symbol`, `prev_symbol`, `ensembl_gene_id`; several names are separated by `|`. By default
        `names_file()`.

    Raises
    ------
    Nh2stError
        If the table cannot be read or has no column `symbol`.
    """
    names = common_names()
    _read(names_file() if table is None else table, names)
    names.ordered[:] = sorted(names.symbols)
    return names


def _read(table: Path, names: GeneNames) -> None:
    wanted = ("symbol", "alias_symbol", "prev_symbol", "ensembl_gene_id")
    read = read_table(table, "the gene names", wanted=wanted)
    if "symbol" not in read.columns:
        raise Nh2stError(f"{table} has no column “symbol”: it must be separated by tabs, as HGNC's complete set is")
    places = [read.columns.index(name) if name in read.columns else len(read.columns) for name in wanted]
    for row in read.rows:
        cells = [row.cells[p].split("|") if p < len(row.cells) and row.cells[p] else [] for p in places]
        if cells[0]:
            names.add(cells[0][0], *cells[1:])


@dataclass(frozen=True)
class HumanGenes:
    """Symbols of human genes by HGNC, the gene nomenclature committee.

    Attributes
    ----------
    ids : dict
        Symbol of today -> Ensembl id.
    earlier : dict
        Symbol of today -> symbols that the gene had before.
    later : dict
        Symbol of before -> those of today.
    """

    ids: dict[str, str]
    earlier: dict[str, list[str]]
    later: dict[str, list[str]]

    def today(self, symbol: str) -> str | None:
        """Return today's symbol of a gene; None where it is not known, or two genes had that symbol."""
        if symbol in self.ids:
            return symbol
        later = self.later.get(symbol, [])
        return later[0] if len(later) == 1 else None


@lru_cache(maxsize=1)
def human_genes() -> HumanGenes:
    """Return the package's own table."""
    genes = HumanGenes({}, {}, {})
    for line in gzip.decompress(HUMAN_FILE.read_bytes()).decode().splitlines()[1:]:
        symbol, before, known = line.split("\t")
        genes.ids[symbol] = known
        for name in before.split("|") if before else ():
            genes.earlier.setdefault(symbol, []).append(name)
            genes.later.setdefault(name, []).append(symbol)
    return genes


def other_symbols(symbol: str) -> list[str]:
    """Return the symbols that a gene had before or has today; not those that mean another gene today."""
    genes = human_genes()
    today = genes.today(symbol)
    if today is None:
        return []
    names = [today, *(n for n in genes.earlier.get(today, ()) if genes.today(n) == today)]
    return [name for name in names if name != symbol]


def ensembl_ids(symbols: Sequence[str]) -> list[str | None] | None:
    """Return the Ensembl ids of a panel's genes, None for those that are not known.

    None for the whole panel, if most of its symbols are not those of human genes.
    """
    genes = human_genes()
    today = [genes.today(symbol) for symbol in symbols]
    ids = [None if name is None else genes.ids[name] for name in today]
    return ids if sum(known is not None for known in ids) >= _HUMAN * len(ids) else None
