"""The end of each command's help page: examples, and the environment variables that it obeys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_nh2st.cli import (
    adapt,
    align,
    bench,
    cache,
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    export,
    figure,
    finetune,
    info,
    models,
    predict,
    pretrain,
    regions,
    report,
    sheet,
    view,
)

VARIABLES = {
    "NH2ST_CACHE": "folder of what is kept between runs",
    "NH2ST_CACHE_LIMIT": "most that embeddings may take, such as 5GB; 0 keeps none",
    "NH2ST_PRECISION": "what --precision auto means: fp32 or bf16",
}
_KEPT = ("NH2ST_CACHE", "NH2ST_CACHE_LIMIT")
_COMPUTING = (*_KEPT, "NH2ST_PRECISION")
LOOK, PREDICT, TRAIN, KEEP = "Look at a slide", "Predict and pass on", "Train and score", "This installation"


@dataclass(frozen=True)
class Page:
    """A command, its group in `nh2st --help`, and the end of its own help page."""

    command: Callable[..., None]
    group: str
    examples: tuple[str, ...]
    variables: tuple[str, ...] = ()

    @property
    def epilog(self) -> str:
        """Examples and variables; a blank line apart, which the help page makes one line each."""
        lines = ["Examples:", *(f"  {example}" for example in self.examples)]
        if self.variables:
            lines += ["Environment:", *(f"  {name}: {VARIABLES[name]}" for name in self.variables)]
        return "\n\n".join(lines)


# In the order in which `nh2st --help` lists them.
PAGES = (
    Page(info.info, LOOK, ("nh2st info slide.svs", "nh2st info slide.svs --json"), ("NH2ST_CACHE",)),
    Page(view.view, LOOK, ("nh2st view slide.svs --model RUN/model",), _COMPUTING),
    Page(demo.demo, LOOK, ("nh2st demo", "nh2st demo --headless --out folder"), _COMPUTING),
    Page(
        predict.predict,
        PREDICT,
        (
            "nh2st predict a.svs b.svs --model RUN/model --out results",
            "nh2st predict a.svs --model her2st --out part --region 1000,2000,4000,4000 --genes HER2,CD74",
            "nh2st predict samples.csv --model RUN/model --out results --format h5ad,csv --json",
            "nh2st predict slides/ --model her2st --out results --workers 4",
        ),
        _COMPUTING,
    ),
    Page(
        export.export,
        PREDICT,
        ("nh2st export results/a.nh2st --out a.csv --genes ERBB2,CD74",),
        ("NH2ST_CACHE",),
    ),
    Page(
        figure.figure,
        PREDICT,
        (
            "nh2st figure results/a.nh2st --genes ERBB2 --out erbb2.pdf",
            "nh2st figure results/a.nh2st --genes ERBB2,CD74 --out two.tiff --dpi 600",
        ),
        ("NH2ST_CACHE",),
    ),
    Page(
        regions.regions,
        PREDICT,
        (
            "nh2st regions results/a.nh2st qupath.geojson --out a-genes.geojson",
            "nh2st regions results/a.nh2st --domains --genes ERBB2,CD74 --out domains.csv",
        ),
    ),
    Page(
        compare.compare,
        PREDICT,
        (
            "nh2st compare one/a.nh2st two/a.nh2st --out agreement.csv",
            "nh2st compare one/C5.nh2st two/C5.nh2st --measured C5.tsv.gz --genes ERBB2,CD74",
        ),
        ("NH2ST_CACHE",),
    ),
    Page(
        adapt.adapt,
        PREDICT,
        (
            "nh2st adapt results/C5.nh2st --anchors C5.tsv.gz --count 20 --out corrected",
            "nh2st adapt results/C5.nh2st --next 10 --out where",
            "nh2st adapt C5.jpg --model RUN/model --anchors C5.h5ad --out corrected --json",
        ),
        _COMPUTING,
    ),
    Page(
        report.report,
        PREDICT,
        (
            "nh2st report results/a.nh2st --out a.html --genes ERBB2,CD74",
            "nh2st report results/a.nh2st --out a.pdf --regions a.geojson",
        ),
        _COMPUTING,
    ),
    Page(
        sheet.sheet,
        TRAIN,
        ("nh2st sheet folder --out samples.csv", "nh2st sheet folder --out samples.csv --patients '^([A-Z]+)'"),
    ),
    Page(
        align.align,
        TRAIN,
        (
            "nh2st align samples.csv --sample C5 --landmarks marks.csv --out C5_transform.json",
            "nh2st align samples.csv --sample C5 --snap --out C5_transform.json",
            "nh2st align C5.h5ad --slide scan.svs --matrix alignment.json --out C5_transform.json",
        ),
        ("NH2ST_CACHE",),
    ),
    Page(
        finetune.finetune,
        TRAIN,
        (
            "nh2st finetune samples.csv --estimate",
            "nh2st finetune samples.csv --out RUN",
            "nh2st finetune samples.csv --out RUN2 --model her2st --panel shared",
            "nh2st finetune samples.csv --out RUN --resume",
        ),
        _COMPUTING,
    ),
    Page(
        evaluate.evaluate,
        TRAIN,
        (
            "nh2st evaluate test.csv --model RUN/model --update-card",
            "nh2st evaluate samples.csv --protocol cross-patient --budget quick --out report.json",
        ),
        _COMPUTING,
    ),
    Page(
        pretrain.pretrain,
        TRAIN,
        ("nh2st pretrain a.svs b.svs --out encoder.safetensors",),
        ("NH2ST_CACHE", "NH2ST_PRECISION"),
    ),
    Page(convert.convert, TRAIN, ("nh2st convert epoch=20.ckpt --genes genes.txt --mpp 0.694 --out MODEL",)),
    Page(
        models.models,
        KEEP,
        ("nh2st models", "nh2st models --add my_model.py", "nh2st models --json"),
    ),
    Page(cache.cache, KEEP, ("nh2st cache", "nh2st cache clear --older-than 30"), _KEPT),
    Page(
        doctor.doctor,
        KEEP,
        ("nh2st doctor", "nh2st doctor slide.svs --model RUN/model --report report.txt"),
        _COMPUTING,
    ),
    Page(bench.bench, KEEP, ("nh2st bench --quick --out bench.json",), _COMPUTING),
)
