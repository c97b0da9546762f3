import copy
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation import report as module
from napari_nh2st.evaluation.report import dump, markdown, picture, write_report
from napari_nh2st.evaluation.report_picture import DPI, SIZE, height
from napari_nh2st.evaluation.report_words import FIGURES, in_order, main_model, number, seed_spread

ROOT = Path(__file__).parents[2]


class Figures:
    """Draws figures that are all different, so that a page which lacks one is caught."""

    def __init__(self):
        self._values = iter(np.random.default_rng(0).permutation(np.arange(101, 999)) / 1000)

    def one(self):
        return float(next(self._values))

    def some(self, count):
        return [self.one() for _ in range(count)]

    def all(self):
        return {key: self.one() for key in FIGURES}


def scores(figures, seeds, genes=12):
    pcc = np.linspace(0.6, -0.2, genes)
    return {
        "about": "What it is, in a sentence.",
        **figures.all(),
        "n_constant": 3,
        "n_lacking": 2,
        "seeds": [{"seed": seed, **figures.all()} for seed in range(seeds)],
        "averaged": figures.all() if seeds > 1 else None,
        "ci": {key: [figures.one(), figures.one()] for key in FIGURES},
        "genes": {f"G{i}": {"pcc": p, "low": p - 0.1, "high": p + 0.1, "mse": 0.2} for i, p in enumerate(pcc.tolist())},
        "seconds": 12.3,
    }


def split(figures, train=("C2", "C3"), test=("C5",), kind="same-patient"):
    spots = [[200.0 * x, 200.0 * y] for y in range(6) for x in range(8)]
    values = np.linspace(0, 2, len(spots)).tolist()
    genes = [
        {"rank": rank, "gene": gene, "pcc": 0.5, "measured": values, "predicted": values[::-1]}
        for rank, gene in (("best", "G0"), ("median", "$G$5"), ("worst", "G11"))
    ]
    return {
        "train": list(train),
        "test": list(test),
        "kind": kind,
        "n_spots": len(spots),
        "seconds": 900.0,
        "models": {
            "nh2st-context": scores(figures, 3),
            "colour-ridge": scores(figures, 1),
            "coordinates-knn": scores(figures, 0),
        },
        "pairs": {
            "model": "nh2st-context",
            "others": {
                name: {
                    key: dict(zip(("difference", "low", "high"), figures.some(3), strict=True))
                    for key in ("pcc_mean", "pcc_given_depth", "pcc_residuals")
                }
                for name in ("coordinates-knn", "colour-ridge")
            },
            "says": ["Mean PCC: nh2st-context is ahead of coordinates-knn and colour-ridge."],
        },
        "leak_alarm": {
            "raised": False,
            "pcc": figures.one(),
            "interval": [figures.one(), figures.one()],
            "says": "Place says little.",
        },
        "maps": {
            "model": "nh2st-context",
            "section": test[0],
            "spots": spots,
            "spacing": 200.0,
            "unit": "ln(1 + counts per 10,000)",
            "genes": genes,
        },
    }


def full(*splits):
    return {
        "protocol": "C2,C3:C5",
        "budget": "full",
        "panel": 12,
        "splits": list(splits) or [split(Figures())],
        "warnings": ["C5: two genes were not measured"],
        "provenance": {"command": "nh2st evaluate s.csv --out R.json", "versions": {"torch": "2.7.1"}, "device": "cpu"},
    }


def bare():
    """What is left where everything that may be missing is missing."""
    return {"splits": [{"train": ["A"], "test": ["B"], "models": {"nh2st-paper": {"pcc_mean": 0.25}}}]}


def _floats(value):
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _floats(item)


def test_every_figure_is_on_the_page():
    report = full()
    page = markdown(report, picture="R.png")
    for model in report["splits"][0]["models"].values():
        per_seed = [[s[key] for key in FIGURES] for s in model["seeds"]]
        averaged = list((model["averaged"] or {}).values())
        for value in _floats([[model[key] for key in FIGURES], model["ci"], per_seed, averaged]):
            assert number(value) in page, value
        assert f"| {model['n_constant']} | 12.3 |" in page
    for of in report["splits"][0]["pairs"]["others"].values():
        for value in of.values():
            low, high = number(value["low"]), number(value["high"])
            assert f"+{number(value['difference'])} ({low} to {high})" in page
    alarm = report["splits"][0]["leak_alarm"]
    for text in (
        number(alarm["pcc"]),
        alarm["says"],
        "not raised",
        "C2, C3 → C5: same patient (optimistic)",
        "48 spots",
        "3 constant genes",
        "2 genes that were not measured there, counted as 0",
        "nh2st-context is ahead of coordinates-knn and colour-ridge.",
        f"± {number(seed_spread(report['splits'][0]['models']['nh2st-context']))} (3)",
        "C5: two genes were not measured",
        "protocol: C2,C3:C5",
        "budget: full",
        report["provenance"]["command"],
        "torch 2.7.1",
        "](R.png)",
        "block bootstrap",
    ):
        assert text in page, text


def test_tables_are_even_whatever_a_name_holds():
    report = full()
    models = report["splits"][0]["models"]
    models["a|b\nc"] = models.pop("colour-ridge")
    widths = [
        {line.replace("\\|", "").count("|") for line in block.splitlines()}
        for block in markdown(report).split("\n\n")
        if block.startswith("| ")
    ]
    assert len(widths) == 4
    assert all(len(width) == 1 for width in widths)


def test_what_may_be_missing_may_be_missing(tmp_path):
    for report in (bare(), {"splits": [{}]}):
        page = markdown(report)
        assert "None" not in page
        assert "nan" not in page
        assert all(path.exists() for path in write_report(report, tmp_path / "R.json"))
    assert ".250" in markdown(bare())
    for key in full()["splits"][0]:
        report = full()
        del report["splits"][0][key]
        markdown(report)
    for key in full()["splits"][0]["models"]["nh2st-context"]:
        report = full()
        del report["splits"][0]["models"]["nh2st-context"][key]
        markdown(report)


def test_json_round_trips_with_a_line_for_each_gene(tmp_path):
    report = full()
    (data, *_) = write_report(report, tmp_path / "R.json")
    text = data.read_text("utf-8")
    assert json.loads(text) == report
    lines = [line for line in text.splitlines() if re.match(r'\s*"G\d+": \{"pcc": [^{}]*\},?$', line)]
    assert len(lines) == 3 * 12
    assert len(re.findall(r'^\s*"spots": \[\[.*\]\],$', text, flags=re.MULTILINE)) == 1


def test_what_is_not_finite_is_null():
    assert json.loads(dump({"a": float("inf"), "b": [1.0, float("nan")], "c": {}, "d": ()})) == {
        "a": None,
        "b": [1.0, None],
        "c": {},
        "d": [],
    }
    assert number(float("inf")) == number(None)


@pytest.mark.parametrize(
    ("value", "text"), [(0.2574, ".257"), (-0.0081, "-.008"), (-0.0001, ".000"), (1.0432, "1.043"), (10.25, "10.250")]
)
def test_numbers_are_written_as_in_the_tables(value, text):
    assert number(value) == text


def test_models_stand_in_one_order():
    assert in_order(["zebra", "nh2st-context", "mean-profile"]) == ["mean-profile", "nh2st-context", "zebra"]
    assert main_model({"small-cnn": {}, "nh2st-paper": {}, "nh2st-target": {}}) == "nh2st-target"
    assert main_model({"small-cnn": {"pcc_mean": 0.2}, "retrieval": {"pcc_mean": 0.3}}) == "retrieval"
    assert main_model({}) is None


def test_three_files_beside_each_other(tmp_path):
    paths = write_report(full(), tmp_path / "new" / "v1.2")
    assert [p.name for p in paths] == ["v1.2", "v1.2.md", "v1.2.png"]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["v1.2", "v1.2.md", "v1.2.png"]
    with pytest.raises(Nh2stError, match=r"name it R\.json"):
        write_report(full(), tmp_path / "R.md")


def test_a_report_that_cannot_be_written_leaves_no_file(tmp_path):
    report = full()
    report["warnings"] = [object()]
    with pytest.raises(TypeError):
        write_report(report, tmp_path / "R.json")
    assert not list(tmp_path.iterdir())


def test_figures_outlive_a_drawing_that_fails(tmp_path, monkeypatch):
    def fail(report, path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(module, "picture", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(full(), tmp_path / "R.json")
    assert [p.name for p in tmp_path.iterdir()] == ["R.json"]


def _pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _colours(pixels):
    """Give the different colours among (..., 3) uint8, as one number each."""
    return np.unique(pixels.reshape(-1, 3).astype(np.int64) @ [65536, 256, 1])


def test_the_picture_has_a_row_for_each_split(tmp_path):
    figures = Figures()
    splits = split(figures), split(figures, test=("B4",), kind="cross-patient")
    picture(full(*splits), tmp_path / "R.png")
    pixels = _pixels(tmp_path / "R.png")
    assert abs(pixels.shape[0] - sum(map(height, splits)) * DPI) < 1
    assert pixels.shape[1] == int(SIZE[0] * DPI)
    for row in np.array_split(pixels, 2):
        left, right = np.array_split(row, [int(0.36 * row.shape[1])], axis=1)
        for part in (left, right):
            assert len(_colours(part)) > 50
    assert (pixels[:, [0, -1]] == 255).all(), "something is cut at the left or right"


def test_maps_keep_the_measured_scale(tmp_path):
    """A prediction that does not vary is drawn in one colour, however little it is stretched."""
    report = full()
    for gene in report["splits"][0]["maps"]["genes"]:
        gene["predicted"] = (1 + 1e-3 * np.asarray(gene["measured"])).tolist()
    picture(report, tmp_path / "R.png")
    right = _pixels(tmp_path / "R.png")[: int(SIZE[1] * DPI), int(0.4 * SIZE[0] * DPI) :]
    colourful = np.ptp(right.astype(int), axis=2) > 60
    upper, lower = (
        _colours(part[mask] // 16)
        for part, mask in zip(np.array_split(right[: int(0.82 * len(right))], 2),
                              np.array_split(colourful[: int(0.82 * len(right))], 2), strict=True)
    )  # fmt: skip
    assert len(upper) > 2 * len(lower)


def test_models_are_drawn_by_all_three_figures_and_in_pairs(tmp_path):
    """Below the maps; a report of before has the mean PCC alone."""
    report = full()
    for model in report["splits"][0]["models"].values():
        model |= {"pcc_mean": 0.3, "pcc_given_depth": 0.2, "pcc_residuals": 0.1}
        model["ci"] = {key: [model.get(key, 0) - 0.02, model.get(key, 0) + 0.02] for key in FIGURES}
    picture(report, tmp_path / "new.png")
    for model in report["splits"][0]["models"].values():
        model["pcc_given_depth"] = model["pcc_residuals"] = None
        del model["ci"]["pcc_given_depth"], model["ci"]["pcc_residuals"]
    del report["splits"][0]["pairs"]
    picture(report, tmp_path / "old.png")
    red, blue = np.array([192, 57, 43]), np.array([31, 78, 140])
    for name, left, right in (("new", (True, True), (True, True)), ("old", (True, False), (False, False))):
        below = _pixels(tmp_path / f"{name}.png")[int(SIZE[1] * DPI) : -int(0.5 * DPI)].astype(int)
        middle = below.shape[1] // 20 * 11  # the figures' panel has the models' names beside it
        for half, wanted in zip(np.split(below, [middle], axis=1), (left, right), strict=True):
            found = tuple(bool((np.abs(half - colour).sum(axis=2) < 12).sum() > 30) for colour in (blue, red))
            assert found == wanted


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(Nh2stError, match="no splits"):
        picture({"splits": []}, tmp_path / "R.png")


def _script():
    spec = importlib.util.spec_from_file_location("results_tables", ROOT / "docs" / "scripts" / "results_tables.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


NAMES = ("short", "splits", "depth", "pairs", "mse", "more", "inner", "neighbours")
PAGE = "".join(f"Words.\n\n<!-- begin table: {n} -->\n<!-- end table: {n} -->\n\n" for n in NAMES)


@pytest.fixture
def docs(tmp_path):
    """A page without tables, and the arguments that name it and an empty folder of reports."""
    page, reports = tmp_path / "results.md", tmp_path / "reports"
    page.write_text(PAGE, "utf-8")
    reports.mkdir()
    return page, reports, ["--page", str(page), "--reports", str(reports)]


def test_the_tables_are_written_and_checked(docs):
    page, reports, where = docs
    main = _script().main
    figures = Figures()
    same, cross = split(figures), split(figures, train=("C2", "C3", "C4"), test=("B4",), kind="cross-patient")
    del cross["models"]["colour-ridge"]
    (reports / "a.json").write_text(dump(full(cross, same)), "utf-8")
    assert main([*where, "--check"]) == 1
    assert page.read_text("utf-8") == PAGE
    assert main(where) == 0
    assert main([*where, "--check"]) == 0
    text = page.read_text("utf-8")
    assert text.count("Words.") == len(NAMES)
    assert "| model | C2, C3 → C5 (same patient) | C2, C3, C4 → B4 (cross patient) |" in text
    context = same["models"]["nh2st-context"]
    low, high = map(number, context["ci"]["pcc_mean"])
    assert f"{number(context['pcc_mean'])} ± {number(seed_spread(context))} ({low} to {high})" in text
    assert re.search(r"\| colour-ridge \| \.\d+ \([^|]*\) \| – \|", text)
    others = {name: same["models"][name]["pcc_mean"] for name in ("coordinates-knn", "colour-ridge")}
    best = number(max(others.values()))
    assert re.search(rf"\| C2, C3 → C5, same patient \| .* \| \**{re.escape(best)}\**, [a-z ]+ \| no setting", text)
    assert "| C2, C3, C4 → B4, another patient |" in text
    for key in ("pcc_median", "pcc_hvg50", "mse_ratio"):
        assert number(context[key]) in text
    given, residuals = context["pcc_given_depth"], context["pcc_residuals"]
    assert re.search(
        rf"\| nh2st-context \| {re.escape(number(given))} \([^|]*\), {re.escape(number(residuals))} \(", text
    )
    for of in same["pairs"]["others"].values():
        assert all(f"+{number(value['difference'])} (" in text for value in of.values())
    assert number(context["averaged"]["pcc_mean"]) in text
    assert all(number(seed["pcc_mean"]) in text for seed in context["seeds"])


def test_what_older_reports_lack_is_a_dash_and_inner_splits_have_tables_of_their_own(docs):
    page, reports, where = docs
    main = _script().main
    old, inner = full(), full(split(Figures(), train=("C2", "C4"), test=("C3",)))
    inner["budget"] = "quick"
    inner["splits"][0]["pairs"]["others"]["nh2st-target"] = inner["splits"][0]["pairs"]["others"].pop("colour-ridge")
    for model in old["splits"][0]["models"].values():
        for key in ("pcc_given_depth", "pcc_residuals", "n_lacking"):
            del model[key]
    del old["splits"][0]["pairs"]
    (reports / "1.json").write_text(dump(old), "utf-8")
    (reports / "inner-1.json").write_text(dump(inner), "utf-8")
    assert main(where) == 0
    text = page.read_text("utf-8")
    tables = {name: text.split(f"begin table: {name} -->")[1].split("<!-- end")[0] for name in NAMES}
    assert "| nh2st-context | – |" in tables["depth"]
    assert re.search(r"patient \| \.\d+ \([^|]*\) \| – \| ", tables["short"])
    assert "| – | – | – | – | – |" in tables["pairs"]
    assert "| 3 | – |" in tables["more"]
    context = inner["splits"][0]["models"]["nh2st-context"]
    assert f"| {number(context['pcc_mean'])}, {number(context['pcc_given_depth'])}, " in tables["inner"]
    rows = [line for line in tables["neighbours"].splitlines() if "C2, C4 → C3" in line]
    assert len(rows) == 1
    assert "| nh2st-target | +" in rows[0]
    assert "C2, C4 → C3" not in tables["splits"]


def test_differences_stay_where_their_main_model_does(docs):
    page, reports, where = docs
    main = _script().main
    old, other = full(), full()
    other["splits"][0]["models"] = {"colour-ridge": other["splits"][0]["models"]["colour-ridge"]}
    del other["splits"][0]["pairs"]
    for name, report in {"1": old, "2": other}.items():
        (reports / f"{name}.json").write_text(dump(report), "utf-8")
    assert main(where) == 0
    pairs = page.read_text("utf-8").split("begin table: pairs -->")[1].split("<!-- end")[0]
    assert "| coordinates-knn | +" in pairs
    assert "colour-ridge" not in pairs  # its figures are no longer those that were compared


def test_the_newest_report_of_a_split_wins_and_quick_ones_do_not_count(docs, capsys):
    page, reports, where = docs
    main = _script().main
    old, new, quick = full(), full(), full()
    for report, value in ((old, 0.111), (new, 0.222), (quick, 0.333)):
        report["splits"][0]["models"]["nh2st-context"]["pcc_mean"] = value
    quick["budget"] = "quick"
    for name, report in {"1": old, "2": new, "3": quick}.items():
        (reports / f"{name}.json").write_text(dump(copy.deepcopy(report)), "utf-8")
    assert main(where) == 0
    cells = next(line for line in page.read_text("utf-8").splitlines() if line.startswith("| nh2st-context"))
    assert ".222 ±" in cells
    said = capsys.readouterr().err
    assert "2.json replaces coordinates-knn" in said
    assert "of 1.json" in said
    assert "3.json: not a report of the full budget" in said


def test_a_page_or_a_folder_that_does_not_fit_is_said(docs):
    page, reports, where = docs
    main = _script().main
    with pytest.raises(SystemExit, match="no full reports"):
        main(where)
    (reports / "a.json").write_text(dump(full()), "utf-8")
    page.write_text(PAGE.replace("<!-- end table: mse -->", ""), "utf-8")
    with pytest.raises(SystemExit, match="end table: mse"):
        main(where)


def test_the_committed_tables_are_those_of_the_committed_reports():
    if not list((ROOT / "docs" / "reports").glob("*.json")):
        pytest.skip("docs/reports holds no reports yet")
    assert _script().main(["--check"]) == 0
