import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_nh2st.errors import ModelError
from napari_nh2st.model.card import Card, Evaluation, GeneTrust, TrainingSample
from napari_nh2st.model.folder import bundled_models, decoder_of, load_card, load_model, readme, save_card, save_model
from support.models import small_card, small_model


@pytest.mark.parametrize("variant", ["context", "paper"])
def test_round_trip(tmp_path, variant):
    model = small_model(tmp_path, variant)
    again = load_model(model.path)
    assert again.card == model.card
    assert again.hash == model.hash
    for name, values in model.net.state_dict().items():
        assert torch.equal(values, again.net.state_dict()[name]), name
    assert not again.net.training


def test_half_weights_load_as_float32(tmp_path):
    model = small_model(tmp_path)
    save_model(model.net, model.card, tmp_path / "half", half=True)
    half = load_model(tmp_path / "half")
    assert (tmp_path / "half/model.safetensors").stat().st_size < 0.7 * (
        model.path / "model.safetensors"
    ).stat().st_size
    assert half.net.decoder.weight.dtype == torch.float32
    assert torch.allclose(half.net.decoder.weight, model.net.decoder.weight, atol=1e-3)


def test_decoder_is_the_last_layer(tmp_path):
    net = small_model(tmp_path).net
    hidden = torch.randn(7, net.decoder.in_features)
    expected = net.decoder(hidden).detach().numpy()
    assert np.allclose(decoder_of(net)(hidden.numpy(), [4, 1]), expected[:, [4, 1]], atol=1e-5)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        load_model("nowhere")
    (tmp_path / "half-there").mkdir()
    with pytest.raises(ModelError, match=r"no card\.json and no model\.safetensors"):
        load_model(tmp_path / "half-there")


def test_a_card_that_does_not_hold_together_is_one_line(tmp_path):
    folder = small_model(tmp_path).path
    card = json.loads((folder / "card.json").read_text())
    card["gene_means"] = [1.0]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="another length") as error:
        load_card(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["genes"].reverse(),
        lambda card: card["genes"].__setitem__(0, "OTHER"),
        lambda card: card.update(mpp=card["mpp"] / 2),
        lambda card: card.update(pitch=card["pitch"] + 16),
        lambda card: card.update(synthetic=not card["synthetic"]),
        lambda card: card.update(evaluation={"kind": "cross-patient", "samples": ["S"], "pcc_mean": 0.99}),
    ],
    ids=["genes in another order", "another gene", "scale", "pitch", "kind of tissue", "figures"],
)
def test_a_card_that_was_edited_does_not_speak_for_its_weights(tmp_path, change):
    folder = small_model(tmp_path).path
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="was changed after it was saved") as error:
        load_card(folder)
    assert "\n" not in str(error.value)
    del card["seal"]  # as the line says, for who means it; cards of before have none
    (folder / "card.json").write_text(json.dumps(card))
    load_card(folder)


def test_names_and_descriptions_of_a_card_may_be_edited(tmp_path):
    folder = small_model(tmp_path).path
    card = json.loads((folder / "card.json").read_text())
    card |= {"name": "mine", "description": "for the ward", "licence": "MIT", "tissue": "breast"}
    (folder / "card.json").write_text(json.dumps(card))
    assert load_card(folder).name == "mine"


def test_a_value_of_another_type_is_sealed_as_it_is_read(tmp_path):
    model = small_model(tmp_path)
    save_card(model.card.model_copy(update={"mpp": 1, "gene_means": None}), model.path)
    assert load_card(model.path).mpp == 1.0


def test_weights_of_another_card_are_refused(tmp_path):
    folder = small_model(tmp_path).path
    (folder / "card.json").write_text(small_card(n_genes=9).model_dump_json())
    with pytest.raises(ModelError, match="do not fit its card") as error:
        load_model(folder)
    assert "\n" not in str(error.value)


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    folder = small_model(tmp_path).path
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="do not fit"):
        load_model(folder)
    assert not (tmp_path / "ran").exists()


def test_saving_replaces_a_model_whole(tmp_path):
    model = small_model(tmp_path)
    save_model(model.net, model.card.model_copy(update={"name": "second"}), model.path)
    assert load_card(model.path).name == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["small-context"]


def test_trust_is_said_or_said_not_to_be_known():
    card = small_card()
    assert card.trust("G0") == "not evaluated"
    known = card.model_dump() | {
        "evaluation": {
            "kind": "same-patient",
            "samples": ["C5"],
            "pcc_mean": 0.3,
            "genes": {"G0": {"pcc": 0.412, "low": 0.33, "high": 0.48}},
        }
    }
    card = Card.model_validate(known)
    assert card.trust("G0") == "held-out PCC 0.41 (0.33 to 0.48), same patient"
    assert card.trust("G1") == "not evaluated"


def evaluated_card(**more) -> Card:
    genes = {
        "G0": GeneTrust(pcc=0.05, low=-0.02, high=0.12),
        "G1": GeneTrust(pcc=0.2, low=0.1, high=0.3),
        "G2": GeneTrust(pcc=0.4, low=0.3, high=0.5),
        "G4": GeneTrust(pcc=0.3),
    }
    facts = {
        "training": [TrainingSample(sample=s, patient=s[0], spots=9) for s in ("B4", "C2", "C3")],
        "tissue": "HER2-positive breast tumours",
        "citation": "Andersson et al. 2021",
        "evaluation": Evaluation(kind="same-patient", samples=["C5"], pcc_mean=0.3, genes=genes),
    }
    return small_card(**{**facts, **more})


def test_a_gene_that_is_no_better_than_chance_is_said_to_be():
    card = evaluated_card()
    assert card.trust("G0") == (
        "held-out PCC 0.05 (-0.02 to 0.12), same patient: not better than chance in the held-out tissue"
    )
    assert card.trust("G4") == "held-out PCC 0.30, same patient"  # no interval: nothing is claimed
    assert card.by_trust() == ["G2", "G4", "G1", "G0", "G3", "G5"]
    synthetic = card.evaluation.model_copy(update={"kind": "synthetic"})
    assert evaluated_card(evaluation=synthetic).trust("G1").endswith(", synthetic tissue")


def test_the_readme_says_what_it_was_trained_on_and_how_right_it_was():
    card = evaluated_card()
    assert (card.patients, card.trained_on) == (2, "3 sections of 2 patients")
    text = readme(card)
    assert "- trained on 3 sections of 2 patients, HER2-positive breast tumours: B4 (patient B, 9 spots)" in text
    assert "- data: Andersson et al. 2021\n" in text
    assert "## Held out, same patient" in text
    assert "The interval lies above 0 for 2 of 3 genes." in text
    assert "| G2 | 0.40 | 0.30 to 0.50 |\n| G4 | 0.30 | not known |\n" in text
    assert "| G3 |" not in text  # it was not evaluated


def test_the_readme_of_a_model_without_figures_makes_none_up():
    text = readme(small_card(training=[]))
    assert "- held out: not evaluated\n" in text
    assert "- trained on tissue that was not recorded\n" in text
    assert "PCC" not in text
    assert "- data:" not in text


def test_a_card_of_before_tissue_and_citation_still_reads():
    old = small_card().model_dump(exclude={"tissue", "citation"})
    assert (Card.model_validate(old).tissue, Card.model_validate(old).citation) == (None, None)


def test_bundled_models_have_readable_cards():
    for name in bundled_models():
        assert load_card(name).genes


def test_reading_a_card_needs_no_torch(tmp_path):
    folder = small_model(tmp_path).path
    code = (
        f"import sys; from napari_nh2st.model.folder import load_card; load_card({str(folder)!r}); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_others_may_read_the_weights_as_they_may_read_the_card(tmp_path):
    folder = small_model(tmp_path).path
    assert (folder / "model.safetensors").stat().st_mode == (folder / "card.json").stat().st_mode
