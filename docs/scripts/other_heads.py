"""Other heads and objectives beside the default, on an inner split: the table "Other heads" of results-tried.md.

    python docs/scripts/other_heads.py her2st/samples.csv --keep /tmp/embedded context sepal merge gene-dml
    python docs/scripts/other_heads.py her2st/samples.csv --keep /tmp/embedded --split B4:C3 context triplex

Encoder, embeddings and kernel head are the same for all; the learnt part is added with the share that training chooses
for the default, or in full. Mean PCC on ln labels / PCC given depth, and the difference from the first row, paired on
the same draws of blocks of spots. See `learnt_part.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from learnt_part import Split, with_shares

from napari_nh2st import metrics
from napari_nh2st.expression import read_sheet
from napari_nh2st.geometry import SELF
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.heads.table import HEADS
from napari_nh2st.training.config import TrainingConfig, with_head
from napari_nh2st.training.objectives.table import checked
from napari_nh2st.training.run.aside import train_aside
from napari_nh2st.training.run.learnt_share import choose_share, with_share


def settings(row: str) -> TrainingConfig:
    """Return the default settings with another head, or another objective."""
    config = TrainingConfig()
    if row in HEADS:
        return config.model_copy(update={"architecture": with_head(config.architecture, row), "objectives": None})
    return config.model_copy(update={"objectives": checked({row: None})})


def share_of(split: Split) -> float:
    """Return the share of the learnt part that training chooses."""
    return choose_share(split.train, lambda: split.set_up(split.card)).share


def predictions(split: Split, share: float) -> list[np.ndarray]:
    """Train, and predict the first scored section with a share of the learnt part, and with all of it: (n, G) each."""
    setup = split.set_up(with_share(split.card, share))
    train_aside(setup, lambda: False)
    assert split.embedded is not None
    section, seen = split.scored[0], split.embedded[len(split.train)]
    at = Seen(seen.plain, torch.from_numpy(section.present), seen.sample, None, seen.centres)
    out = []
    for net in with_shares(setup, (share, 1.0)):
        with torch.inference_mode():
            out.append(net.decoder(net.hidden_vectors(at)).numpy())
    return out


def main() -> None:
    """Print a line a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("rows", nargs="+", help="heads and objectives; the first is what others are compared with")
    parser.add_argument("--keep", type=Path, required=True, help="folder for what is embedded")
    parser.add_argument("--split", default="C2,C4:C3")
    parser.add_argument("--share", type=float, help="of the learnt part; when not given, training chooses it")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    train, scored = (names.split(",") for names in asked.split.split(":"))
    samples = {s.sample: s for s in read_sheet(asked.sheet)}
    first: list[np.ndarray] = []
    share: float | None = asked.share
    print("| row | share | less the first | in full | less the first |\n|---|---|---|---|---|")
    for row in asked.rows:
        config = settings(row)
        keep = asked.keep / ("sampled" if "sample" in config.architecture.needs else "plain")
        keep.mkdir(parents=True, exist_ok=True)
        split = Split([samples[n] for n in train], [samples[n] for n in scored[:1]], config, asked.seed, keep)
        section, cells, drawn = split.scored[0], [row], []
        blocks = metrics.spatial_blocks(section.centres[:, SELF], side=3.0 * split.card.pitch)
        share = share_of(split) if share is None else share
        for i, predicted in enumerate(predictions(split, share)):
            given = metrics.partial_pcc(section.labels, predicted, np.log(section.depth)).mean
            drawn.append(metrics.bootstrap(section.labels, predicted, blocks).pcc.mean(axis=1))
            cells.append(f"{metrics.pcc(section.labels, predicted).mean:.3f} / {given:.3f}")
            low, high = metrics.interval(drawn[i] - first[i]) if first else (0.0, 0.0)
            middle = float((drawn[i] - first[i]).mean()) if first else 0.0
            cells.append(f"{middle:+.3f} ({low:.3f} to {high:.3f})" if first else "")
        first = first or drawn
        print(f"| {' | '.join(cells)} |", flush=True)
    print(f"share: {share:.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
