"""`nh2st finetune` as each of several processes runs it, telling of its weights and its share of the batches."""

import json
import os
from pathlib import Path

import torch

from napari_nh2st.cli import main
from napari_nh2st.training.network.network_module import NH2STModule
from napari_nh2st.training.run.training_pass import TrainingPass

_run, _gather = TrainingPass.run, NH2STModule.gather
_shares = []


def gather(self, batch):
    found = _gather(self, batch)
    _shares.append(list(zip(found.sections.tolist(), found.spots.tolist(), strict=True)))
    return found


def run(self):
    trained = _run(self)
    trainer = trained.module.trainer
    name = f"{'first' if self.score else 'second'}-{trainer.global_rank}"
    told = Path(os.environ["TOLD"])
    torch.save(trained.module.state_dict(), told / f"{name}.pt")
    (told / f"{name}.json").write_text(json.dumps({"shares": _shares, "world": trainer.world_size}))
    _shares.clear()
    return trained


NH2STModule.gather, TrainingPass.run = gather, run
if __name__ == "__main__":
    main()
