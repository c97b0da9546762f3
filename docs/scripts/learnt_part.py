"""How much the learnt head adds to the kernel head, on inner splits: a table of results-tried.md.

    python docs/scripts/learnt_part.py her2st/samples.csv --keep /tmp/embedded --seeds 0,1,2

Each split's encoder is pretrained on its training sections, without labels, and all sections are embedded with it,
once: what is kept makes a further try a matter of seconds. For each seed and split: mean PCC on ln labels / PCC given
depth of the kernel head alone, of both with the share that training chooses, and of both in full.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import lightning as L
import numpy as np
import torch

from napari_nh2st import metrics
from napari_nh2st.expression import Sample, read_expression, read_sheet
from napari_nh2st.model.card import Card
from napari_nh2st.model.heads.seen import Seen
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.data.embedded import EmbeddedSection, embed_sections
from napari_nh2st.training.data.embedded_file import load_embedded, save_embedded
from napari_nh2st.training.network.kernel import join_parts
from napari_nh2st.training.network.setup import TrainingSetup, set_up_training
from napari_nh2st.training.network.starting_point import StartingPoint
from napari_nh2st.training.pretraining.on_sections import pretrain_on_sections
from napari_nh2st.training.run.aside import train_aside
from napari_nh2st.training.run.learnt_share import choose_share, with_share
from napari_nh2st.training.sections.examine import examine_sections
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_sections

# Trained on -> scored on. Nobody chooses settings by C5, or by a score on B4.
SPLITS = {("C2", "C4"): ["C3"], ("C2", "C3"): ["C4"], ("C3", "C4"): ["C2"], ("B4",): ["C3", "C2", "C4"]}


class Split:
    """The sections of a split, embedded: trained on first, then scored on."""

    def __init__(
        self, train: list[Sample], scored: list[Sample], config: TrainingConfig, seed: int, keep: Path
    ) -> None:
        counts = [read_expression(s) for s in train]
        self.card, self.config, self.seed = card_for(train, counts, config), config, seed
        self.train = load_sections(train, counts, self.card, examine_sections(train, counts))
        others = [read_expression(s) for s in scored]
        self.scored = load_sections(scored, others, self.card, examine_sections(scored, others))
        named = "-".join("".join(s.sample for s in part) for part in (train, scored))
        self.file = keep / f"{named}-{seed}.safetensors"
        self.embedded: list[EmbeddedSection] | None = load_embedded(self.file, "learnt_part")
        kept = self.embedded is not None
        self.encoder = None if kept else pretrain_on_sections(self.train, self.card.architecture, config, seed)

    def embed(self, net: NH2ST, card: Card) -> list[EmbeddedSection]:
        """Embed all sections, once; return those that are trained on."""
        if self.embedded is None:
            self.embedded = embed_sections(net, [*self.train, *self.scored], card, self.config, self.seed)
            save_embedded(self.embedded, self.file, "learnt_part")
        return self.embedded[: len(self.train)]

    def set_up(self, card: Card) -> TrainingSetup:
        """Set up a training on the spots that are not held out."""
        L.seed_everything(self.seed, verbose=False)
        start, config = StartingPoint(encoder=self.encoder), self.config.model_copy(update={"pretrain_steps": 0})
        return set_up_training(self.train, card, config, self.seed, start=start, embed=self.embed)

    def figures(self) -> tuple[float, dict[str, list[tuple[float, float]]]]:
        """Train, and score the kernel head alone and both heads: the share, and for each model a pair a section."""
        share = choose_share(self.train, lambda: self.set_up(self.card)).share
        setup = self.set_up(with_share(self.card, share))
        train_aside(setup, lambda: False)
        assert self.embedded is not None
        seen = list(zip(self.scored, self.embedded[len(self.train) :], strict=True))
        named = {"kernel head": 0.0, "share chosen": share, "in full": 1.0}
        nets = with_shares(setup, named.values())
        return share, {name: [score(net, *each) for each in seen] for name, net in zip(named, nets, strict=True)}


def with_shares(setup: TrainingSetup, shares: Iterable[float]) -> Iterator[NH2ST]:
    """Give the trained network with one share of the learnt head's answer after another."""
    assert setup.kernel is not None
    decoder = [t.detach().clone() for t in (setup.net.decoder.weight, setup.net.decoder.bias)]
    for learnt in shares:
        with torch.no_grad():
            setup.net.decoder.weight.copy_(decoder[0])
            setup.net.decoder.bias.copy_(decoder[1])
        join_parts(setup.net, replace(setup.kernel, learnt=learnt))
        yield setup.net.eval()


def score(net: NH2ST, section: Section, embedded: EmbeddedSection) -> tuple[float, float]:
    """Return the mean PCC of all genes, and the same given the log of each spot's library size."""
    with torch.inference_mode():
        hidden = net.hidden_vectors(Seen(embedded.plain, torch.from_numpy(section.present)))
        predicted = net.decoder(hidden).numpy()
    given = metrics.partial_pcc(section.labels, predicted, np.log(section.depth))
    return metrics.pcc(section.labels, predicted).mean, given.mean


def main() -> None:
    """Print the table, line by line, and its means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="folder for what is embedded")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--config", type=Path, help="YAML file of settings that differ from the defaults")
    asked = parser.parse_args()
    asked.keep.mkdir(parents=True, exist_ok=True)
    samples = {s.sample: s for s in read_sheet(asked.sheet)}
    config, found = read_config(asked.config), {}
    print("| seed | split | share | kernel head | share chosen | in full |\n|---|---|---|---|---|---|")
    for seed in map(int, asked.seeds.split(",")):
        for train, scored in SPLITS.items():
            split = Split([samples[n] for n in train], [samples[n] for n in scored], config, seed, asked.keep)
            share, models = split.figures()
            kind = "same" if len(train) > 1 else "cross"
            for i, name in enumerate(scored):
                cells = [f"{pairs[i][0]:.3f} / {pairs[i][1]:.3f}" for pairs in models.values()]
                print(f"| {seed} | {', '.join(train)} → {name} | {share:.2f} | {' | '.join(cells)} |", flush=True)
                for model, pairs in models.items():
                    found.setdefault((kind, model), []).append(pairs[i])
    for (kind, model), pairs in found.items():
        both = np.mean(pairs, axis=0)
        print(f"{kind}, {model}: {both[0]:.3f} / {both[1]:.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
