import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_nh2st.errors import ModelError
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import encoder_hash, load_encoder, save_encoder


def an_encoder(width=4, stride=16):
    torch.manual_seed(0)
    return ResNet18(width, stride).eval()


@pytest.mark.parametrize("stride", [16, 32])
def test_round_trip(tmp_path, stride):
    encoder = an_encoder(stride=stride)
    path = save_encoder(encoder, tmp_path / "new" / "e.safetensors", source="tiles.ckpt")
    again = load_encoder(path)
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(x), encoder(x))
    assert (again.stride, again.channels, again.training) == (stride, 32, False)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"width": "4", "stride": str(stride), "blocks": "2", "source": "tiles.ckpt"}
    assert [p.name for p in path.parent.iterdir()] == ["e.safetensors"]


def test_the_hash_is_of_the_weights_alone(tmp_path):
    encoder = an_encoder()
    first = encoder_hash(save_encoder(encoder, tmp_path / "a.safetensors", source="tiles.ckpt"))
    assert len(first) == 32
    assert encoder_hash(save_encoder(encoder, tmp_path / "b.safetensors", source="other", note="more")) == first
    encoder.conv1.weight.data[0, 0, 0, 0] += 1
    assert encoder_hash(save_encoder(encoder, tmp_path / "c.safetensors")) != first


def test_half_weights_load_as_float32(tmp_path):
    encoder = load_encoder(save_encoder(an_encoder().half(), tmp_path / "e.safetensors"))
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


def test_what_is_no_encoder_is_said_in_one_line(tmp_path):
    state = an_encoder().state_dict()
    pickled, no_facts, wrong = (tmp_path / f"{n}.safetensors" for n in ("pickled", "no-facts", "wrong"))
    pickled.write_bytes(pickle.dumps({"a": 1}))
    save_file(state, no_facts)
    save_file(state, wrong, {"width": "8", "stride": "16"})
    for path, reason in (
        (tmp_path / "absent.safetensors", "no encoder file"),
        (pickled, "is not a .safetensors file"),
        (no_facts, "width and stride"),
        (wrong, "does not hold the encoder it says"),
    ):
        with pytest.raises(ModelError, match=reason) as error:
            load_encoder(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="ends in"):
        save_encoder(an_encoder(), tmp_path / "e.pt")
