import pytest
import yaml

from napari_nh2st.demo.genes import GENES
from napari_nh2st.demo.recipe import (
    RECIPES,
    TEST_SEEDS,
    TRAINING_SEEDS,
    bundle_folder,
    finetune_command,
    recipe_path,
    write_config,
)
from napari_nh2st.demo.run import MODELS
from napari_nh2st.model.folder import bundled_models, load_card
from napari_nh2st.training.config import TrainingConfig, read_config

bundled = pytest.mark.skipif(
    not set(MODELS) <= set(bundled_models()), reason="the demo models are not built: make demo-models"
)


def configs(tmp_path) -> dict[str, TrainingConfig]:
    return {name: read_config(write_config(name, tmp_path / f"{name}.yaml")) for name in RECIPES}


def test_recipes_are_settings_that_finetune_takes(tmp_path) -> None:
    found = configs(tmp_path)
    assert tuple(found) == MODELS
    assert [c.architecture.variant for c in found.values()] == ["context", "paper"]
    for name, config in found.items():
        assert config.name == name
        assert config.synthetic
        assert config.genes == [gene.name for gene in GENES]


def test_both_models_are_trained_alike_but_for_the_windows(tmp_path) -> None:
    # The paper variant is a fair comparison: the same sections, network width, learning rate and weights
    # of its losses.
    context, paper = (c.model_dump() for c in configs(tmp_path).values())
    different = {key for key in context if context[key] != paper[key]}
    assert different <= {
        "name",
        "description",
        "architecture",
        "objectives",
        "epochs",
        "window",
        "windows_per_step",
        "spots_per_step",
    }
    assert {k for k, v in context["architecture"].items() if v != paper["architecture"][k]} == {"variant"}


def test_command_is_the_one_a_person_types(tmp_path) -> None:
    sheet, run, config = (tmp_path / n for n in ("samples.csv", "run", "c.yaml"))
    words = finetune_command(sheet, run, config)
    assert words[1:4] == ["-m", "napari_nh2st", "finetune"]
    assert words[4:] == [str(sheet), "--out", str(run), "--config", str(config), "--seed", "0"]


def test_test_sections_are_not_training_sections() -> None:
    assert not set(TRAINING_SEEDS) & set(TEST_SEEDS)


@bundled
def test_bundled_models_say_what_they_are() -> None:
    size = sum(f.stat().st_size for name in MODELS for f in (bundle_folder() / name).iterdir())
    assert size <= 8e6
    for name in MODELS:
        card = load_card(name)
        assert card.name == name
        assert card.synthetic
        assert card.licence == "CC0-1.0"
        assert (card.mpp, card.pitch, card.patch) == (1.0, 144, 112)
        assert card.genes == [gene.name for gene in GENES]
        assert {t.patient for t in card.training} == {f"synthetic-{seed}" for seed in TRAINING_SEEDS}
        assert card.evaluation is not None
        assert card.evaluation.kind == "synthetic"
        assert "synthetic" in card.trust(card.genes[0])


@bundled
def test_bundled_models_were_trained_by_the_recipe_that_is_here() -> None:
    for name in MODELS:
        recipe, card = yaml.safe_load(recipe_path(name).read_text("utf-8")), load_card(name)
        assert card.architecture.model_dump() == TrainingConfig.model_validate(recipe).architecture.model_dump()
        for key in ("epochs", "learning_rate", "inner_validation"):
            assert card.recipe[key] == recipe[key]
