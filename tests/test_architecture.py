"""The order of docs/architecture.md, held by reading every import, those inside functions included."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_nh2st"

# Each line may import what stands in the lines before it. Parts of one line do not know each other.
ORDER = [
    {"errors", "geometry", "metrics", "provenance", "atomic", "terminal", "slide_path"},
    {"reading", "markup", "targets"},
    {"slides", "expression", "model"},
    {"engine"},
    {"training"},
    {"evaluation"},
    {"annotations"},
    {"analysis", "formats"},
    {"report"},
    {"api", "testing"},
    {"cohort", "demo", "doctor"},
    {"viewer"},
    {"bench"},
    {"cli"},
    {"__main__"},
]
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}

# The rooms inside a package, by the same rule.
ROOMS = {
    "training": [
        {"objectives"},
        {"config", "trainer"},
        {"sections"},
        {"data"},
        {"pretraining"},
        {"network"},
        {"run"},
        {"finetune", "train_sections"},
        {"estimate"},
    ],
    "viewer": [
        {"kit"},
        {"state"},
        {"layers"},
        {"predict"},
        {"start", "genes", "measured", "regions", "context", "trust", "several", "export", "finetune"},
        {"models"},
        {"actions"},
        {"predict_dock", "reader", "writer", "sample", "launch"},
        {"commands"},
    ],
}

TORCH = {"torch", "lightning", "pytorch_lightning", "torchmetrics", "safetensors.torch"}
QT = {"qtpy", "napari", "magicgui", "superqt", "pyqtgraph", "vispy", "PySide6", "PyQt6", "PySide2", "PyQt5"}
TORCH_FREE = (
    "errors",
    "geometry",
    "metrics",
    "provenance",
    "atomic",
    "slide_path",
    "markup",
    "reading",
    "targets",
    "slides",
    "expression",
    "formats",
)
TORCH_FREE_MODULES = ("engine", "engine.prediction", "engine.store", "engine.places", "model", "model.card")

# Import names that differ from the name on the package index.
DISTRIBUTION = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}
DISTRIBUTION |= {"openslide": "openslide-python"}
LIBRARIES = {"openslide-bin"}  # what another distribution loads, without any module of ours


def _modules():
    """Every module of the package: its dotted name inside the package ('' for the package itself) and its file."""
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(p for p in parts if p != "__init__"), file


def _imports(name, file):
    """Every module that a file names in an import, absolute, with its line."""
    package = ["napari_nh2st", *name.split(".")] if name else ["napari_nh2st"]
    if file.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(p for p in (base, node.module) if p)
            yield source, node.lineno
            for alias in node.names:
                yield f"{source}.{alias.name}", node.lineno


MODULES = dict(_modules())
IMPORTS = {name: list(_imports(name, file)) for name, file in MODULES.items()}


def _top(module):
    return module.split(".")[0]


def _where(name, line):
    return f"{MODULES[name].relative_to(ROOT)}:{line}"


def test_every_part_has_its_place_in_the_order():
    parts = {_top(name) for name in MODULES if name}
    assert parts <= set(RANK), f"not in docs/architecture.md: {parts - set(RANK)}"


def test_the_order_is_the_one_that_is_written_down():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = [x for x in text.splitlines() if x.startswith("`") and " < " in x]
    packages, *rooms = ([set(part.strip(" `").split(", ")) for part in line.split("<")] for line in lines)
    assert [*packages, {"__main__"}] == ORDER
    assert rooms == list(ROOMS.values())


@pytest.mark.parametrize("part", sorted({_top(name) for name in MODULES if name}))
def test_imports_only_what_stands_before(part):
    wrong = []
    for name in (n for n in MODULES if n and _top(n) == part):
        for imported, line in IMPORTS[name]:
            parts = imported.split(".")
            if parts[0] != "napari_nh2st" or len(parts) < 2 or parts[1] == part:
                continue
            if parts[1] in RANK and RANK[parts[1]] >= RANK[part]:
                wrong.append(f"{_where(name, line)} imports {imported}")
    assert not wrong


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_what_stands_before(package):
    rank = {room: n for n, rooms in enumerate(ROOMS[package]) for room in rooms}
    wrong = []
    for name in (n for n in MODULES if n.startswith(f"{package}.")):
        room = name.split(".")[1]
        assert room in rank, f"{name}: this room is not in docs/architecture.md"
        for imported, line in IMPORTS[name]:
            parts = imported.split(".")
            if parts[:2] != ["napari_nh2st", package] or len(parts) < 3 or parts[2] == room:
                continue
            if rank.get(parts[2], len(rank)) >= rank[room]:
                wrong.append(f"{_where(name, line)} imports {imported}")
    assert not wrong


def _needs(name):
    """Modules of the package that a module imports when it is run, wherever the import stands; not for types alone."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    types_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in types_only:
            continue
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [n if n.removeprefix("napari_nh2st.") in MODULES else node.module for n in inner]
        else:
            continue
        for target in targets:
            module = target.removeprefix("napari_nh2st.")
            if target.startswith("napari_nh2st.") and module in MODULES and module != name:
                yield module


def _reached(start, needs):
    """All modules that one needs, directly or through others."""
    seen, open_ends = set(), [start]
    while open_ends:
        for module in needs[open_ends.pop()] - seen:
            seen.add(module)
            open_ends.append(module)
    return seen


def test_no_modules_import_each_other_in_a_circle():
    needs = {name: set(_needs(name)) for name in MODULES}
    reached = {name: _reached(name, needs) for name in MODULES}
    circles = {
        frozenset({name, *(other for other in reached[name] if name in reached[other])})
        for name in MODULES
        if name in reached[name]
    }
    assert not circles


def _users(libraries, names):
    return [
        f"{_where(name, line)} imports {imported}"
        for name in names
        for imported, line in IMPORTS[name]
        if _top(imported) in libraries or imported in libraries
    ]


def test_no_torch_where_none_belongs():
    free = [n for n in MODULES if not n or _top(n) in TORCH_FREE or n in TORCH_FREE_MODULES]
    assert not _users(TORCH, free)


def test_qt_and_napari_stay_in_the_viewer():
    """And in the few modules that are a process of their own: of the benchmark, and of `nh2st doctor`."""
    processes = {"bench.in_window", "bench.napari_itself", "doctor.probes.window", "doctor.probes.plugin"}
    assert not _users(QT, [n for n in MODULES if _top(n) != "viewer" and n not in processes])


def test_nothing_is_unpickled_downloaded_or_sent():
    """Only the report of `nh2st doctor` imports `socket`, for the machine's name, which it takes out."""
    libraries = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    libraries |= {
        "socket",
        "ssl",
        "http",
        "urllib.request",
        "urllib3",
        "requests",
        "httpx",
        "aiohttp",
        "ftplib",
        "smtplib",
    }
    assert not _users(libraries, [n for n in MODULES if n != "doctor.privacy"])
    unsafe = re.compile(r"allow_pickle=True|weights_only=False|read_pickle|shell=True|urlopen|load_state_dict_from_url")
    assert [name for name, file in MODULES.items() if unsafe.search(file.read_text(encoding="utf-8"))] == []


def test_mypy_leaves_out_nothing_but_qt_widgets():
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    left_out = {name for override in overrides if override.get("ignore_errors") for name in override["module"]}
    widgets = {
        f"napari_nh2st.{name}"
        for name in MODULES
        if name.startswith("viewer.")
        and {_top(imported) for imported, _ in IMPORTS[name]} & {"qtpy", "superqt", "magicgui"}
    }
    assert left_out == widgets


def test_presenters_know_no_qt():
    presenters = [name for name in MODULES if "presenter" in name]
    assert presenters
    assert not _users({"qtpy", "superqt", "magicgui", "vispy"}, presenters)


def _declared():
    """Names of the distributions that are required, or that an extra for a format brings, lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["parquet"], *extras["spatialdata"], *extras["cohort"]]
    return {re.match(r"[\w.-]+", line)[0].lower() for line in required} - LIBRARIES


def _distribution(module):
    return DISTRIBUTION.get(_top(module), _top(module)).lower()


def test_what_is_imported_is_declared():
    known = set(sys.stdlib_module_names) | {"napari_nh2st"}
    missing = {
        f"{_where(name, line)} imports {imported}"
        for name in MODULES
        for imported, line in IMPORTS[name]
        if _top(imported) not in known and _distribution(imported) not in _declared()
    }
    assert not missing


def test_what_is_declared_is_imported_and_explained():
    used = {_distribution(imported) for name in MODULES for imported, _ in IMPORTS[name]}
    assert _declared() <= used
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| ([\w-]+) \|", text, flags=re.MULTILINE)) - {"package"}
    assert explained == _declared()


def test_a_package_of_an_extra_is_imported_by_its_format_alone():
    brought = {"spatialdata", "geopandas", "shapely", "dask", "xarray"}
    cluster = {"cohort.cluster", "cohort.at_work"}
    for packages, modules in (
        ({"pyarrow"}, {"formats.parquet", "expression.parquet_file", "expression.shapes_file"}),
        (brought, {"formats.spatialdata", "formats.shapes", "cohort.cluster"}),
        ({"distributed"}, cluster),
    ):
        typed = {"api.prediction"}  # names types of what it returns
        assert _users(packages, MODULES) == _users(packages, [n for n in MODULES if n in modules | typed])


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "_util", "_utils", "helpers", "helper", "common", "misc", "tools"}
    found = [name for name in MODULES if drawers & set(name.split("."))]
    assert not found


def test_nothing_is_unpickled():
    for name, file in MODULES.items():
        assert not _users({"pickle", "cPickle", "dill", "joblib", "shelve", "cloudpickle"}, [name]), file
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "weights_only"}:
                wanted = node.arg == "weights_only"
                assert isinstance(node.value, ast.Constant), _where(name, node.value.lineno)
                assert node.value.value is wanted, _where(name, node.value.lineno)


# Calls that parse text or take a whole file. For files that people give, `reading` alone makes them, within its limits.
PARSERS = {"loads", "load", "safe_load", "read_csv", "read_table", "DictReader", "reader", "fromstring"}
PARSING_MODULES = {"json", "yaml", "csv", "pd", "pandas", "tomllib", "ElementTree"}
WHOLE_FILES = {"read_text"}
OWN_FILES = {
    "demo.recipe": "the recipes in the package",
    "demo.her2st": "the reports in the repository",
    "expression.apart": "what its own process answers",
    "expression.apart_main": "what its own process is asked",
    "training.run.detached_process": "/proc",
    "training.run.memory": "/proc",
    "engine.cores": "/sys",
    "engine.memory": "/proc and /sys",
    "engine.block_files": "a dictionary through JSON and back",
    "viewer.finetune.estimate_presenter": "what the estimate's own process prints",
    "doctor.child": "what the probes print",
    "doctor.known_answers": "the table in the package",
    "doctor.system": "/proc and /sys",
}


def test_only_reading_parses_the_files_of_people():
    wrong = []
    for name, file in MODULES.items():
        if _top(name) in ("reading", "bench") or name in OWN_FILES:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = ast.unparse(node.func.value)
            parses = owner in PARSING_MODULES and node.func.attr in PARSERS
            model = node.func.attr == "model_validate_json" and not ast.unparse(node.args[0]).startswith("json.dumps")
            if parses or model or node.func.attr in WHOLE_FILES:
                wrong.append(f"{_where(name, node.lineno)} calls {ast.unparse(node.func)}")
    assert not wrong


def test_importing_changes_no_settings():
    """No logging set-up, warning filter or environment variable at import."""
    for name, file in MODULES.items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            text = ast.unparse(node) if isinstance(node, ast.Expr | ast.Assign) else ""
            for word in ("basicConfig", "filterwarnings", "simplefilter", "os.environ["):
                assert word not in text, _where(name, node.lineno)


def test_the_picture_of_the_house_has_every_part():
    import importlib.util

    spec = importlib.util.spec_from_file_location("house_picture", ROOT / "docs" / "scripts" / "house_picture.py")
    picture = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = picture
    spec.loader.exec_module(picture)
    written = [text.get_text() for text in picture.build().axes[0].texts]
    parts = {part for step in [*ORDER[:-1], *ROOMS["viewer"]] for part in step}
    assert parts <= set(written)
    assert "" not in written, "a part without a docstring"


def _plain_text(node):
    """Tell whether an expression is a text of our own, or has gone through the kit."""
    if isinstance(node, ast.IfExp):
        return _plain_text(node.body) and _plain_text(node.orelse)
    if isinstance(node, ast.BoolOp):
        return all(map(_plain_text, node.values))
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).split(".")[-1] in ("plain_tip", "paragraphs", "toolTip")
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.strip("_").isupper())


def test_painters_end_where_they_began():
    """A painter that Python still holds goes on painting: Qt can then neither draw what comes next nor clear up."""
    wrong = []
    for name in (n for n in MODULES if _top(n) == "viewer"):
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
            text = ast.unparse(node) if isinstance(node, ast.FunctionDef) else ""
            if "QPainter(" in text and ".end()" not in text:
                wrong.append(_where(name, node.lineno))
    assert not wrong


def test_tooltips_and_labels_are_plain_text():
    """Qt takes what looks like HTML for it: a gene's name could bring a picture from a file."""
    wrong = []
    for name in (n for n in MODULES if _top(n) == "viewer"):
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = ast.unparse(node.func).split(".")[-1]
            text = {"setToolTip": -1, "showText": 1, "setItemData": 1}.get(called)
            if called == "setItemData" and "ToolTipRole" not in ast.unparse(node):
                continue
            if text is not None and not _plain_text(node.args[text]):
                wrong.append(f"{_where(name, node.lineno)}: {ast.unparse(node)}")
    labels = [name for name in MODULES if any(i == "qtpy.QtWidgets.QLabel" for i, _ in IMPORTS[name])]
    assert not wrong
    assert set(labels) == {"viewer.kit.texts", "viewer.kit.chart", "viewer.finetune.curves"}


def test_no_number_in_the_window_is_minus_nothing():
    """A value that rounds to nothing is 0.00, never -0.00: the format z says so."""
    fixed = re.compile(r":[^{}]*?\.(?:\d|\{\w+\})f\}")
    viewer = [n for n in MODULES if _top(n) == "viewer"]
    wrong = [
        f"{name}: {found}"
        for name in (*viewer, "model.card", "formats.limits")
        for found in fixed.findall(MODULES[name].read_text(encoding="utf-8"))
        if "z" not in found
    ]
    assert not wrong


def _names_a_layer(node):
    last = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return bool(re.search(r"(^|_)layer$", last))


def test_layers_are_not_told_apart_by_identity():
    """napari hands a plugin a layer behind a proxy: it is equal to the layer, and another object."""
    wrong = []
    for name in (n for n in MODULES if _top(n) == "viewer"):
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
                sides = [node.left, *node.comparators]
                by_identity = any(map(_names_a_layer, sides)) and not any(isinstance(s, ast.Constant) for s in sides)
            else:
                by_identity = (
                    isinstance(node, ast.Call)
                    and ast.unparse(node.func) == "id"
                    and any(_names_a_layer(argument) for argument in node.args)
                )
            if by_identity:
                wrong.append(f"{_where(name, node.lineno)}: {ast.unparse(node)}")
    assert not wrong
