"""The worked examples of CONTRIBUTING.md, run against the package as they stand there."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.contributing import examples, new_module, run

ROOT = Path(__file__).parents[1]


def contract(name: str) -> ModuleType:
    """Load a file of contract tests anew: with the tables as they are now."""
    spec = importlib.util.spec_from_file_location(f"contributing_{name}", ROOT / "tests" / "contract" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ppm(monkeypatch: pytest.MonkeyPatch):
    """The format of the example in the table, and what writes its files."""
    from napari_nh2st import slides
    from napari_nh2st.slides import formats
    from support import slides as makers

    blocks = examples("A slide format")
    module = new_module(monkeypatch, "src/napari_nh2st/slides/ppm.py", blocks["src/napari_nh2st/slides/ppm.py"])
    line = blocks["src/napari_nh2st/slides/formats.py"]
    table = run(line, "formats.py", {**vars(formats), "ppm": module})["FORMATS"]
    for owner in (formats, slides):
        monkeypatch.setattr(owner, "FORMATS", table)
    copies = {"MAKERS": dict(makers.MAKERS), "WITHOUT_PIXEL_SIZE": set(makers.WITHOUT_PIXEL_SIZE)}
    names = run(blocks["tests/support/slides.py"], "slides.py", {**vars(makers), **copies})
    for name in copies:
        monkeypatch.setattr(makers, name, names[name])
    return names["MAKERS"]["ppm"]


def test_a_slide_format_keeps_the_contract(ppm, tmp_path, monkeypatch):
    from napari_nh2st.slides import open_slide
    from support.slides import picture

    make, suffix = ppm
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    kept = contract("test_slides_contract")
    tests = [test for name, test in vars(kept).items() if name.startswith("test_")]
    tests = [test for test in tests if list(inspect.signature(test).parameters) == ["made"]]
    assert len(tests) >= 5
    for number, test in enumerate(tests):
        path = make(tmp_path / f"{number}{suffix}", picture())
        with open_slide(path) as slide:
            test(("ppm", slide, picture(), path))


def test_another_file_is_not_taken_for_the_new_format(ppm, tmp_path):
    from napari_nh2st.errors import SlideError
    from napari_nh2st.slides import open_slide

    path = tmp_path / "a.ppm"
    path.write_bytes(b"P5\n1 1\n255\n" + bytes(100))
    with pytest.raises(SlideError, match="ppm: does not begin like a PPM"):
        open_slide(path)


@pytest.mark.parametrize("lattice", [True, False])
def test_an_exporter_writes_and_reads_back(lattice, tmp_path, monkeypatch):
    from napari_nh2st import formats

    blocks = examples("An exporter")
    module = new_module(monkeypatch, "src/napari_nh2st/formats/npz.py", blocks["src/napari_nh2st/formats/npz.py"])
    line = blocks["src/napari_nh2st/formats/__init__.py"]
    tables = run(line, "__init__.py", {**vars(formats), "npz": module})
    for table in ("EXPORTERS", "IMPORTERS"):
        monkeypatch.setattr(formats, table, tables[table])
    kept = contract("test_exporters_contract")
    exec(blocks["tests/contract/test_exporters_contract.py"], vars(kept))
    kept.test_every_format_is_read_back_here()
    kept.test_every_format_that_is_written_is_read()
    kept.test_the_table_says_what_a_menu_needs("npz")
    kept.test_values_centres_and_provenance_come_back("npz", lattice, tmp_path)
    kept.test_genes_are_chosen_and_ordered("npz", tmp_path)
    kept.test_a_file_opens_again_as_the_prediction_that_it_was("npz", lattice, tmp_path)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch):
    """The settings of a run with the one of the example among them."""
    from pydantic import create_model

    from napari_nh2st.training import config

    code = examples("A setting of a fine-tuning run")["src/napari_nh2st/training/config.py"]
    names = run(code, "config.py", {**vars(config), "__annotations__": {}})
    fields = {name: (annotation, names[name]) for name, annotation in names["__annotations__"].items()}
    changed = create_model("TrainingConfig", __base__=config.TrainingConfig, **fields)
    monkeypatch.setattr(config, "TrainingConfig", changed)
    return changed


def test_a_setting_is_read_from_a_file_and_checked(settings, tmp_path):
    from napari_nh2st.errors import Nh2stError
    from napari_nh2st.training.config import read_config, with_settings

    path = tmp_path / "settings.yaml"
    path.write_text("gradient_limit: 0.5\n")
    assert read_config(path).gradient_limit == 0.5
    assert read_config(None).gradient_limit == 1.0
    with pytest.raises(Nh2stError, match="gradient_limit"):
        with_settings(settings(), {"gradient_limit": 0})


def test_a_setting_stands_in_the_form(settings):
    from napari_nh2st.viewer.kit.model_draft import Draft

    draft = Draft(settings())
    field = draft.fields["gradient_limit"]
    assert (field.label, field.kind, field.limits) == ("gradient limit", "number", "more than 0")
    assert field.description == "largest norm of a step's gradient"
    draft.change("gradient_limit", 2.0)
    assert draft.explicit() == {"gradient_limit": 2.0}
    assert np.isclose(draft.result().gradient_limit, 2.0)


def test_a_head_keeps_the_contract(monkeypatch, tmp_path):
    from napari_nh2st.model.heads import table

    blocks = examples("A head")
    new_module(monkeypatch, "src/napari_nh2st/model/heads/ring.py", blocks["src/napari_nh2st/model/heads/ring.py"])
    row = run(blocks["src/napari_nh2st/model/heads/table.py"], "table.py", vars(table))["RING"]
    monkeypatch.setitem(table.HEADS, row.name, row)
    kept = contract("test_heads_contract")
    tests = [test for name, test in vars(kept).items() if name.startswith("test_")]
    tests = [test for test in tests if list(inspect.signature(test).parameters) == ["name"]]
    assert len(tests) >= 8
    for test in tests:
        test("ring")
    kept.test_save_and_load_to_the_byte("ring", tmp_path)
    contract("test_objectives_contract").test_an_objective_teaches_the_head_and_itself("info-nce", "ring")


def test_a_target_keeps_the_contract(monkeypatch):
    from napari_nh2st import targets
    from napari_nh2st.model import card

    blocks = examples("A target")
    path = "src/napari_nh2st/targets/fold.py"
    module = new_module(monkeypatch, path, blocks[path])
    line = blocks["src/napari_nh2st/targets/__init__.py"]
    row = run(line, "__init__.py", {**vars(targets), "fold": module})["TARGETS"]["fold"]
    monkeypatch.setitem(targets.TARGETS, row.name, row)
    monkeypatch.setitem(card.UNITS, row.name, row.unit)
    kept = contract("test_targets_contract")
    tests = [test for name, test in vars(kept).items() if name.startswith("test_")]
    tests = [test for test in tests if list(inspect.signature(test).parameters) == ["target"]]
    assert len(tests) >= 7
    for test in tests:
        test(row)


def test_an_objective_keeps_the_contract(monkeypatch):
    from napari_nh2st.training.objectives import table

    blocks = examples("An objective")
    path = "src/napari_nh2st/training/objectives/early.py"
    new_module(monkeypatch, path, blocks[path])
    row = run(blocks["src/napari_nh2st/training/objectives/table.py"], "table.py", vars(table))["EARLY"]
    monkeypatch.setitem(table.OBJECTIVES, row.name, row)
    kept = contract("test_objectives_contract")
    kept.test_the_objective_s_row_says_what_it_is("early")
    kept.test_an_objective_teaches_the_head_and_itself("early", "context")
    kept.test_unknown_labels_change_no_loss("early")
    kept.test_a_step_of_one_spot_is_no_trouble("early")
