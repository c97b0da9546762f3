"""Model folders, encoder files and checkpoints that are not what they say: one line, and nothing made of that size."""

import json
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_nh2st.errors import ModelError
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.encoder_file import load_encoder, save_encoder
from napari_nh2st.model.folder import load_card, load_model
from napari_nh2st.model.reference import read_reference
from support.models import small_model


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model")).path


@pytest.fixture
def folder(sound, tmp_path):
    for name in ("card.json", "model.safetensors"):
        (tmp_path / name).write_bytes((sound / name).read_bytes())
    return tmp_path


def change_card(folder, **values):
    card = json.loads((folder / "card.json").read_text())
    for name, value in values.items():
        (card["architecture"] if name in card["architecture"] else card)[name] = value
    (folder / "card.json").write_text(json.dumps(card))


def refused(read, path, said="."):
    with pytest.raises(ModelError, match=said) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    "values",
    [
        {"dim": 40_000},
        {"dim": 10**30},
        {"dim": -16},
        {"dim": 8192, "heads": 8},
        {"hidden": 8192},
        {"width": 64},
        {"width": 10**9},
        {"encoder": "resnet18"},
        {"heads": 0},
        {"landmarks": 100_000, "kernel_rank": 8192},
        {"landmarks": 10**12},
        {"variant": "paper"},
        {"pitch": 10**12},
        {"genes": [f"G{n}" for n in range(100_000)], "gene_means": None},
        {"genes": ["x" * 10**6], "gene_means": None},
        {"mpp": 1e308},
        {"gene_means": [1e400] * 6},
        {"stride": 17},
        {"training": {"a": []}},
    ],
    ids=lambda v: "-".join(v),
)
def test_a_card_that_asks_for_another_network_allocates_nothing(folder, monkeypatch, values):
    change_card(folder, **values)
    built = []
    monkeypatch.setattr("napari_nh2st.model.nh2st.build", lambda *a: built.append(a) or pytest.fail("built"))
    if values == {"encoder": "resnet18"}:
        monkeypatch.undo()  # no tensor of another size: the names tell them apart
    refused(load_model, folder)
    assert not built


def figures(**more):
    return {"kind": "cross-patient", "samples": ["S"], "pcc_mean": 0.4, "genes": {}, **more}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gene_stds": [1.0] * 3}, "gene_stds"),
        ({"gene_stds": [-1.0] * 6}, "gene_stds"),
        ({"training_mpp": [-1, 0]}, "training_mpp"),
        ({"training": [{"sample": "a", "patient": "b", "spots": -4}]}, "spots"),
        ({"genes": ["x\0y", "b", "c", "d", "e", "f"]}, "genes: a text holds a NUL"),
        ({"name": "a\0b"}, "name: a text holds a NUL"),
        ({"versions": {"a\0b": "1"}}, "versions: a text holds a NUL"),
        ({"evaluation": figures(pcc_mean=7)}, "pcc_mean"),
        ({"evaluation": figures(genes={"G1": {"pcc": -44}})}, "pcc"),
        ({"evaluation": figures(genes={"G1": {"pcc": 0.5, "low": 0.9, "high": 0.1}})}, "below its beginning"),
        ({"schema_version": 2}, "card: card schema 2 is newer"),
    ],
)
def test_a_card_whose_figures_cannot_be(folder, values, said):
    change_card(folder, **values)
    refused(load_card, folder, said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"PK\3\4" + bytes(40), "nh2st convert"),
        (b"\x80\4" + bytes(40), "never opened"),
        (bytes(100), "did not finish"),
        (b"", "did not finish"),
    ],
)
def test_another_file_under_the_name_of_weights_is_named(folder, data, said):
    (folder / "model.safetensors").write_bytes(data)
    refused(load_model, folder, said)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"", b"[]", b"null", b"{" * 10**5, b'{"name": "\xe9"}'])
def test_a_card_that_is_no_text_or_no_card(folder, data):
    (folder / "card.json").write_bytes(data)
    refused(load_card, folder, "card")


def header_of(data):
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header, rest):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(text)) + text + rest


def changed_weights(change):
    def apply(data):
        header, rest = header_of(data)
        change(header)
        return with_header(header, rest)

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: struct.pack("<Q", 2**62) + data[8:],
        lambda data: struct.pack("<Q", len(data)) + data[8:],
        lambda data: with_header(b"[" * 10**5, b""),
        lambda data: with_header(b"\xff\xfe", b""),
        lambda data: with_header({}, b""),
        lambda data: pickle.dumps({"a": 1}),
        lambda data: data + bytes(100),
        changed_weights(lambda header: header["decoder.weight"].update(shape=[10**12, 12])),
        changed_weights(lambda header: header["decoder.weight"].update(shape=[-6, -12])),
        changed_weights(lambda header: header["decoder.weight"].update(dtype="I32")),
        changed_weights(lambda header: header["decoder.weight"].update(dtype="Q7")),
        changed_weights(lambda header: header["decoder.bias"].update(header["decoder.weight"])),
        changed_weights(lambda header: header["decoder.bias"].update(data_offsets=[0, 2**63])),
        changed_weights(lambda header: header.pop("decoder.bias")),
        changed_weights(lambda header: header.update(more={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})),
    ],
)
def test_weights_that_are_damaged(folder, damage):
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    refused(load_model, folder, "do not fit its card")


@pytest.mark.parametrize(
    ("name", "value"), [("decoder.bias", float("nan")), ("to_hidden.0.bias", float("inf")), ("bn1.running_var", -1.0)]
)
def test_weights_that_no_network_can_have(folder, name, value):
    state = load_file(folder / "model.safetensors")
    key = next(k for k in state if k.endswith(name))
    state[key].view(-1)[0] = value
    save_file(state, folder / "model.safetensors")
    refused(load_model, folder, "no weight can have")


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.ckpt", "model.safetensors"])
def test_a_file_in_place_of_a_model_folder_is_not_opened(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    refused(load_model, tmp_path / name, "is a file: give a model folder; nh2st convert makes one")


@pytest.mark.parametrize(
    "facts",
    [
        {"width": "40000"},
        {"width": "-4"},
        {"width": "0"},
        {"width": "9" * 5000},
        {"width": "four"},
        {"stride": "17"},
        {"blocks": "99999999"},
        {"width": "64"},
        {"blocks": "1"},
    ],
    ids=lambda v: "-".join(v),
)
def test_an_encoder_file_of_another_size(tmp_path, facts):
    path = save_encoder(ResNet18(4, 16), tmp_path / "e.safetensors")
    header, rest = header_of(path.read_bytes())
    header["__metadata__"] |= facts
    path.write_bytes(with_header(header, rest))
    refused(load_encoder, path)


def test_an_encoder_of_no_numbers(tmp_path):
    encoder = ResNet18(4, 16)
    encoder.conv1.weight.data[0] = torch.nan
    refused(load_encoder, save_encoder(encoder, tmp_path / "e.safetensors"), "no weight can have")


@pytest.mark.parametrize(
    "change",
    [
        {"bounds": np.array([[0, 5]])},
        {"bounds": np.array(3)},
        {"usual": np.array([np.nan])},
        {"mean.0": np.zeros(9, np.float32)},
        {"turn.0": np.full((2, 2), np.inf, np.float16)},
        {"colours": np.zeros(3, np.float32)},
    ],
    ids=lambda v: next(iter(v)),
)
def test_a_reference_whose_tables_do_not_fit(tmp_path, change):
    from safetensors.numpy import save_file as save_arrays

    tables = {
        "bounds": np.array([[0, 2]]),
        "usual": np.array([1.0]),
        "mean.0": np.zeros(2, np.float32),
        "std.0": np.ones(2, np.float32),
        "turn.0": np.eye(2, dtype=np.float16),
        "colours": np.zeros((4, 3), np.float32),
    }
    path = tmp_path / "reference.safetensors"
    save_arrays(tables, path, {"version": "1", "tiles": "9"})
    assert read_reference(path).dim == 2
    save_arrays(tables | change, path, {"version": "1", "tiles": "9"})
    refused(read_reference, path, "cannot be read")
