"""Which precision is computed in."""

import pytest
import torch

from napari_nh2st.engine.device import computing
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.precision import choose_precision
from napari_nh2st.errors import Nh2stError

CPU = torch.device("cpu")


@pytest.mark.parametrize("around", [True, False])
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_precision_holds_whatever_surrounds_it(around, precision, dtype):
    layer = torch.nn.Linear(3, 2)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=around):
        with computing(CPU, precision):
            assert layer(torch.zeros(1, 3)).dtype == dtype
        assert layer(torch.zeros(1, 3)).dtype == (torch.bfloat16 if around else torch.float32)


def test_a_gpu_rounds_no_product_of_fp32():
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.allow_tf32
    assert cudnn.allow_tf32  # torch's own default: otherwise nothing is tested
    with computing(torch.device("cuda"), "fp32"):
        assert (cudnn.enabled, cudnn.allow_tf32) == (before[0], False)
    assert (cudnn.enabled, cudnn.allow_tf32) == before


def test_a_job_for_scoring_is_in_fp32_and_keeps_nothing():
    options = PredictionOptions(device="cpu", precision="bf16", cache=False, view=1).for_scoring()
    assert options == PredictionOptions(device="cpu", precision="fp32", cache=False, view=1)


def test_a_variable_says_what_auto_means(monkeypatch):
    for said in ("fp32", "bf16"):
        monkeypatch.setenv("NH2ST_PRECISION", said)
        assert choose_precision("auto", CPU) == said
        assert choose_precision("fp32", CPU) == "fp32"
    monkeypatch.setenv("NH2ST_PRECISION", "int8")
    with pytest.raises(Nh2stError, match="NH2ST_PRECISION is 'int8': set it to"):
        choose_precision("auto", CPU)
