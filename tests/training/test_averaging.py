"""The average of what is trained is Lightning's own average."""

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_nh2st.training.network.averaging import TrainedAverage


class Small(L.LightningModule):
    """A frozen layer, a trained one with batch statistics, and a buffer that nobody trains."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(3, 4).requires_grad_(False)
        self.trained = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.register_buffer("large", torch.arange(5.0))

    def training_step(self, batch, batch_idx):
        return self.trained(self.frozen(batch)).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.3)


def trained(average, folder, parts=1):
    torch.manual_seed(0)
    module = Small()
    batches = [torch.randn(8, 3) for _ in range(6)]
    trainer = L.Trainer(
        default_root_dir=folder, max_epochs=2, accelerator="cpu", callbacks=[average], logger=False,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
        accumulate_grad_batches=parts,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    return module


def test_it_is_lightnings_average(tmp_path):
    for parts in (1, 2):
        ours = trained(TrainedAverage(0.8), tmp_path, parts).state_dict()
        theirs = trained(WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(0.8)), tmp_path, parts).state_dict()
        for name, values in theirs.items():
            if not name.endswith("num_batches_tracked"):  # theirs is averaged and cut off
                torch.testing.assert_close(ours[name], values)
        assert not torch.equal(
            ours["trained.0.weight"], trained(L.Callback(), tmp_path).state_dict()["trained.0.weight"]
        )


def test_what_is_not_trained_is_not_copied(tmp_path):
    average = TrainedAverage(0.8)
    module = trained(average, tmp_path)
    kept = average._average_model.module
    assert kept.frozen.weight.data_ptr() == module.frozen.weight.data_ptr()
    assert kept.large.data_ptr() == module.large.data_ptr()
    assert kept.trained[0].weight.data_ptr() != module.trained[0].weight.data_ptr()
