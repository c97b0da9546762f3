"""A table of everything of ours that parses a file or a text: a valid seed, its mutations, and what reads it.

`python scripts/fuzz.py` runs it with many examples and prints counts; tests/test_fuzz.py with a few.
"""

from __future__ import annotations

import json
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from napari_nh2st.errors import Nh2stError
from support.mutations import mutated_bytes, mutated_header_file, mutated_json_file

Read = Callable[[bytes], object]
SLOW = 10  # seconds that reading a mutated file of this size may take at most


@dataclass(frozen=True)
class Parser:
    """A row of the table.

    Attributes
    ----------
    prepare : callable
        Makes what else is needed in an empty folder; returns the bytes of a valid file, and what reads bytes.
    mutate : callable
        The bytes of a valid file -> a strategy for mutated ones.
    """

    prepare: Callable[[Path], tuple[bytes, Read]]
    mutate: Callable[[bytes], st.SearchStrategy[bytes]] = mutated_bytes


@dataclass
class Counts:
    """Counts of one parser's inputs: read, refused or faults; `faults` by their last line, each with one input."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, bytes] = field(default_factory=dict)
    slowest: float = 0.0


class TooSlow(BaseException):
    """Reading took longer than `SLOW`."""


def _late(*_: Any) -> None:
    raise TooSlow(f"more than {SLOW} s")


def fuzz(parser: Parser, folder: Path, examples: int, number: int | None = None) -> Counts:
    """Try mutated inputs on a parser. Without a number, the inputs are the same every time."""
    valid, read = parser.prepare(folder)
    read(valid)  # the seed itself is right
    counts = Counts()
    alarm = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGALRM")

    def one(data: bytes) -> None:
        counts.inputs += 1
        began = time.monotonic()
        before = signal.signal(signal.SIGALRM, _late) if alarm else None
        if alarm:
            signal.alarm(SLOW)
        try:
            read(data)
            counts.read += 1
        except (Nh2stError, OSError) as error:  # what the command line reports as one line
            counts.refused += 1
            if isinstance(error, Nh2stError) and (not str(error).isprintable() or len(str(error)) > 2000):
                _fault(counts, f"not one plain line: {type(error).__name__}", data)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            _fault(counts, _summary(error), data)
        finally:
            if alarm:
                signal.alarm(0)
                signal.signal(signal.SIGALRM, before)
            counts.slowest = max(counts.slowest, time.monotonic() - began)

    run = given(parser.mutate(valid))(one)
    run = settings(
        max_examples=examples,
        derandomize=number is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (run if number is None else seed(number)(run))()
    return counts


def _fault(counts: Counts, said: str, data: bytes) -> None:
    counts.faults[said] += 1
    counts.examples.setdefault(said, data)


def _summary(error: BaseException) -> str:
    """Type and place of an error, in our own code where it passed through it."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "napari_nh2st" in f.filename] or frames
    return f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}: {str(error)[:100]!r}"


# What each needs beside the mutated file.


def _file(name: str, read: Callable[[Path], object], valid: bytes) -> Callable[[Path], tuple[bytes, Read]]:
    def prepare(folder: Path) -> tuple[bytes, Read]:
        def once(data: bytes) -> object:
            (folder / name).write_bytes(data)
            return read(folder / name)

        return valid, once

    return prepare


def _model(name: str, read: Callable[[Path], object]) -> Callable[[Path], tuple[bytes, Read]]:
    def prepare(folder: Path) -> tuple[bytes, Read]:
        from support.models import small_model

        path = small_model(folder).path

        def once(data: bytes) -> object:
            (path / name).write_bytes(data)
            return read(path)

        return (path / name).read_bytes(), once

    return prepare


def _card(path: Path) -> object:
    from napari_nh2st.model.folder import load_card, readme

    return readme(load_card(path))


def _load_model(path: Path) -> object:
    from napari_nh2st.model.folder import load_model

    return load_model(path)


def _encoder(folder: Path) -> tuple[bytes, Read]:
    from napari_nh2st.model.encoder import ResNet18
    from napari_nh2st.model.encoder_file import load_encoder, save_encoder

    path = save_encoder(ResNet18(4, 16, 1), folder / "e.safetensors", source="x")

    def once(data: bytes) -> object:
        path.write_bytes(data)
        return load_encoder(path)

    return path.read_bytes(), once


def _checkpoint(folder: Path) -> tuple[bytes, Read]:
    import torch

    from napari_nh2st.model.convert import convert_checkpoint
    from napari_nh2st.model.encoder import ResNet18

    path = folder / "x.ckpt"
    torch.save({"state_dict": ResNet18(4, 32).state_dict()}, path)

    def once(data: bytes) -> object:
        path.write_bytes(data)
        return convert_checkpoint(path, None, folder / "out.safetensors")

    return path.read_bytes(), once


def _reference(folder: Path) -> tuple[bytes, Read]:
    from safetensors.numpy import save

    from napari_nh2st.model.reference import read_reference

    half = np.eye(2, dtype=np.float16)
    tables = {"bounds": np.array([[0, 2]]), "usual": np.ones(1), "mean.0": np.zeros(2, np.float32), "turn.0": half}
    tables |= {"std.0": np.ones(2, np.float32), "colours": np.zeros((4, 3), np.float32)}
    _, once = _file("reference.safetensors", read_reference, b"")(folder)
    return save(tables, {"version": "1", "tiles": "9"}), once


def _settings(path: Path) -> object:
    from napari_nh2st.training.config import read_config

    return read_config(path)


SETTINGS = b"""# of a run
name: "test"
architecture: {variant: context, width: 8, dim: 64, heads: 4}
mpp: 1.389
genes: [ERBB2, KRT8]
epochs: 3
learning_rate: 1.0e-3
hold_out_patients:
  - A
  - &b B
"""


def _sheet(path: Path) -> object:
    from napari_nh2st.expression import read_sheet, write_sheet

    for name in ("A.tif", "A.h5ad"):
        (path.parent / name).touch()
    samples = read_sheet(path)
    write_sheet(samples, path.with_name("again.csv"))
    again = read_sheet(path.with_name("again.csv"))
    assert [s.sample for s in again] == [s.sample for s in samples]
    return again


SHEET = b"""sample,patient,slide,expression,format,spots,mpp,scale,x,y
A,P,A.tif,A.h5ad,h5ad,,0.5,1,2,-3
B,Q,A.tif,A.h5ad,h5ad,,,,,
"""
COUNTS = b"\tERBB2\tKRT8\tCD3E\n1x2\t3\t0\t1\n2x2\t0\t5\t0\n3x2\t1\t1\t1\n"
POSITIONS = b"""x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y
1\t2\t1.1\t2.0\t100.5\t200
2\t2\t2.1\t2\t300\t200
3\t2\t3.1\t2\t500\t200
"""


SPOTS = b"place,x_px,y_px,total_counts,ERBB2,KRT8\n1,100.5,200,900,3,0\n2,300,200,70,0,5\n"


def _spots(path: Path) -> object:
    from napari_nh2st.expression import Sample, read_expression

    return read_expression(Sample("S", "P", path, path, "spots-csv"))


def _st(which: str) -> Callable[[Path], tuple[bytes, Read]]:
    def prepare(folder: Path) -> tuple[bytes, Read]:
        from napari_nh2st.expression import Sample, read_expression
        from napari_nh2st.expression.detect import detect

        files = {"counts": folder / "S.tsv", "positions": folder / "S_selection.tsv"}
        valid = {"counts": COUNTS, "positions": POSITIONS}
        for name, file in files.items():
            file.write_bytes(valid[name])
        sample = Sample("S", "P", folder / "S.tif", files["counts"], "st-tsv", files["positions"])

        def once(data: bytes) -> object:
            files[which].write_bytes(data)
            detect(list(files.values()))
            return read_expression(sample)

        return valid[which], once

    return prepare


def _visium(which: str) -> Callable[[Path], tuple[bytes, Read]]:
    def prepare(folder: Path) -> tuple[bytes, Read]:
        from napari_nh2st.expression.visium import read_visium
        from support.visium import outs

        place = outs(folder, np.arange(12).reshape(4, 3), ["A", "B", "C"], image=(600, 700), mtx=True)
        place = place if place.name == "outs" else folder / "outs"
        file = next((place / "spatial").glob(which))

        def once(data: bytes) -> object:
            file.write_bytes(data)
            return read_visium(place, None)

        return file.read_bytes(), once

    return prepare


OUTLINES = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3.5, 2], [3, 4], [1, 2]]]},
            "properties": {"cell_id": 1},
        }
    ],
}


def _outlines(path: Path) -> object:
    from napari_nh2st.expression.cell_outlines import read

    return read(path).arrays()


def _names(path: Path) -> object:
    from napari_nh2st.model.gene_names import load_names

    return load_names(path)


def _gmt(path: Path) -> object:
    from napari_nh2st.analysis.signatures import read_gmt

    return read_gmt(path)


def _genes(path: Path) -> object:
    from napari_nh2st.analysis.signatures import parse_genes
    from napari_nh2st.reading import read_text

    return parse_genes(read_text(path))


def _display(path: Path) -> object:
    from napari_nh2st.formats.display import load_display

    return load_display(path)


DISPLAY = {
    "nh2st_display": 1,
    "genes": ["ERBB2", "KRT8"],
    "limits": {"ERBB2": [0, 2.5]},
    "region": [0, 0, 10, 10],
    "of": {"slide": "a.svs", "model": "her2st", "pitch": 112, "mpp": 0.5},
}
METRICS = [
    {"event": "started", "total_epochs": 4},
    {"step": 0, "epoch": 0, "train_loss": 1.5, "seconds": 0.1},
    {"step": 1, "epoch": 0, "train_loss": 1.2, "seconds": 0.2, "val_pcc": 0.3},
    {"event": "finished", "note": "x"},
]
JOB = {
    "pid": 1,
    "identity": "x",
    "argv": ["python", "finetune", "s.csv"],
    "started": 1.5,
    "rows_before": 0,
    "log_before": 0,
}
SUMMARY = {
    "kind": "cross-patient",
    "held_out": ["C5"],
    "spots": 9,
    "genes": 2,
    "lines": [{"name": "a", "about": "b", "pcc": 0.1, "low": 0.0, "high": 0.2}],
    "caveats": ["x"],
}


def _run(name: str) -> Callable[[Path], tuple[bytes, Read]]:
    files = {
        "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in METRICS).encode(),
        "job.json": json.dumps(JOB).encode(),
        "summary.json": json.dumps(SUMMARY).encode(),
    }

    def prepare(folder: Path) -> tuple[bytes, Read]:
        from napari_nh2st.training.run.run_process import RunProcess
        from napari_nh2st.training.run.runs import line_of

        for file, data in files.items():
            (folder / file).write_bytes(data)

        def once(data: bytes) -> object:
            (folder / name).write_bytes(data)
            process = RunProcess(folder)
            status = process.status()
            return line_of(process), status.metrics.best(), status.metrics.curve("val_pcc"), process.last_error()

        return files[name], once

    return prepare


def _start(folder: Path) -> tuple[bytes, Read]:
    from napari_nh2st.training.run.record import RunSettings
    from napari_nh2st.training.run.run_folder import RunFolder

    run = RunFolder(folder)
    run.config.write_bytes(SETTINGS)

    def once(data: bytes) -> object:
        run.start.write_bytes(data)
        return RunSettings.recorded(run, [SimpleNamespace(sample="A")])

    return b'{"base": null, "seed": 3, "samples": ["A"], "command": "nh2st"}', once


def _held_out(folder: Path) -> tuple[bytes, Read]:
    from safetensors.numpy import save

    from napari_nh2st.training.run.held_out_prediction import FILE, read_held_out

    tables = {f"0.{name}": np.zeros((3, 2), np.float32) for name in ("around", "xy", "measured", "predicted")}
    facts = {
        "epoch": 1,
        "what": "blocks",
        "genes": ["A", "B"],
        "unit": "u",
        "sections": [{"name": "S", "spacing": 2.5}],
    }

    def once(data: bytes) -> object:
        (folder / FILE).write_bytes(data)
        return read_held_out(folder)

    return save(tables, {"facts": json.dumps(facts)}), once


def _runs(folder: Path) -> tuple[bytes, Read]:
    from unittest import mock

    from napari_nh2st.training.run import runs

    def once(data: bytes) -> object:
        (folder / "runs.json").write_bytes(data)
        with mock.patch.object(runs, "registry_file", return_value=folder / "runs.json"):
            return runs.known_runs()

    return json.dumps([str(folder), "/nowhere"]).encode(), once


def _calibration(path: Path) -> object:
    from pydantic import ValidationError

    from napari_nh2st.engine.calibration import Calibration, _load

    try:
        return [Calibration.model_validate(entry) for entry in _load(path).values()]
    except ValidationError:
        return None


def _cache(name: str) -> Callable[[Path], tuple[bytes, Read]]:
    def prepare(folder: Path) -> tuple[bytes, Read]:
        from napari_nh2st.engine import eviction
        from napari_nh2st.engine.block_files import BlockFolder, encode

        place = folder / "0123456789abcdef01234567"
        shape = (2, 2, 3)

        def opened() -> BlockFolder:
            return BlockFolder(place, {"a": 1}, shape, "label")

        block = opened()
        block.write((0, 1), encode(np.zeros(shape, np.float16)))
        block.close()
        valid = {n: (place / n).read_bytes() for n in ("about.json", "done", "values/0.1")}

        def once(data: bytes) -> object:
            for file, whole in valid.items():
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                (place / file).write_bytes(data if file == name else whole)
            listed = eviction.entries(folder)
            again = opened()
            values = again.read((0, 1))
            again.close()
            return listed, values

        return valid[name], once

    return prepare


def _slides_note(folder: Path) -> tuple[bytes, Read]:
    from napari_nh2st.slides import cache

    return _file(cache.MARK, lambda path: cache.load(path.parent), b'{"files": 1, "levels": ["0"]}')(folder)


def _described(kind: str) -> Callable[[Path], tuple[bytes, Read]]:
    """A slide whose description, XML or EXIF is mutated; its pixels stay."""

    def prepare(folder: Path) -> tuple[bytes, Read]:
        from napari_nh2st.slides import open_slide
        from support import slides

        pixels = slides.picture(96, 80)
        path = folder / ("s.jpg" if kind == "exif" else "s.tif")
        if kind == "exif":
            from PIL import Image

            exif = Image.Exif()
            exif[274], exif[282], exif[283], exif[296], exif[270] = 1, 20000.0, 20000.0, 3, "x"
            valid = exif.tobytes()

            def write(data: bytes) -> None:
                Image.fromarray(pixels).save(path, quality=90, exif=data[:60_000])

        else:
            makers = {
                "svs": slides.aperio,
                "ome": slides.ome,
                "philips": slides.philips,
                "leica": partial(slides.leica, macro=False),
            }
            if kind == "imagej":
                valid = b"ImageJ=1.54f\nimages=1\nunit=um\nspacing=1.0\nhyperstack=true\n"
            else:
                import tifffile

                makers[kind](path, pixels)
                with tifffile.TiffFile(path) as tif:
                    valid = tif.pages[0].description.encode()

            def write(data: bytes) -> None:
                told = data.replace(b"\0", b" ")
                slides.tiff(path, pixels, description=told, resolution=(20000, 20000), resolutionunit="CENTIMETER")

        def once(data: bytes) -> object:
            write(data)
            slide = open_slide(path)
            try:
                return slide.mpp, slide.warnings, slide.read(0, 0, 16, 16, 1.0)
            finally:
                slide.close()

        return valid, once

    return prepare


PARSERS: dict[str, Parser] = {
    "card.json of a model": Parser(_model("card.json", _card), mutated_json_file),
    "model.safetensors": Parser(_model("model.safetensors", _load_model), mutated_header_file),
    "encoder file": Parser(_encoder, mutated_header_file),
    "checkpoint to convert": Parser(_checkpoint),
    "reference.safetensors": Parser(_reference, mutated_header_file),
    "settings (YAML)": Parser(_file("c.yaml", _settings, SETTINGS)),
    "sample sheet": Parser(_file("s.csv", _sheet, SHEET)),
    "table of counts": Parser(_st("counts")),
    "table of positions": Parser(_st("positions")),
    "table of spots": Parser(_file("s.csv", _spots, SPOTS)),
    "Visium positions": Parser(_visium("tissue_positions*.csv")),
    "Visium scale factors": Parser(_visium("scalefactors_json.json"), mutated_json_file),
    "outlines of cells": Parser(_file("c.geojson", _outlines, json.dumps(OUTLINES).encode()), mutated_json_file),
    "gene names": Parser(_file("n.tsv", _names, b"symbol\talias_symbol\tensembl_gene_id\nERBB2\tHER2|NEU\tENSG1\n")),
    "gene sets (GMT)": Parser(_file("s.gmt", _gmt, b"A\tx\tERBB2\tKRT8,1.0\nB\ty\tCD3E\n")),
    "list of genes": Parser(_file("g.txt", _genes, b'c("ERBB2", "KRT8"); CD3E\nX')),
    "saved view": Parser(_file("v.json", _display, json.dumps(DISPLAY).encode()), mutated_json_file),
    "metrics.jsonl": Parser(_run("metrics.jsonl")),
    "job.json": Parser(_run("job.json"), mutated_json_file),
    "summary.json": Parser(_run("summary.json"), mutated_json_file),
    "start.json": Parser(_start, mutated_json_file),
    "held_out.safetensors": Parser(_held_out, mutated_header_file),
    "list of runs": Parser(_runs, mutated_json_file),
    "calibration.json": Parser(
        _file("c.json", _calibration, b'{"cpu": {"precision": "fp32", "channels_last": true, "seconds": {"a": 1}}}'),
        mutated_json_file,
    ),
    "about.json of the cache": Parser(_cache("about.json"), mutated_json_file),
    "journal of the cache": Parser(_cache("done")),
    "block of the cache": Parser(_cache("values/0.1")),
    "note of decoded slides": Parser(_slides_note, mutated_json_file),
    "SVS description": Parser(_described("svs")),
    "OME XML": Parser(_described("ome")),
    "ImageJ description": Parser(_described("imagej")),
    "Philips XML": Parser(_described("philips")),
    "Leica XML": Parser(_described("leica")),
    "EXIF": Parser(_described("exif")),
}
