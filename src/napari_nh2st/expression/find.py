"""Finding the measured sections of a folder: a sample sheet, folders of assays, images beside their counts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_nh2st.errors import Cancelled, SampleError, one_line
from napari_nh2st.expression.apart import read_apart
from napari_nh2st.expression.detect import MeasurementFiles, detect, folder_format
from napari_nh2st.expression.hest import hest_facts
from napari_nh2st.expression.sample import Sample
from napari_nh2st.expression.sheet import REQUIRED, SHEETS, read_sheet
from napari_nh2st.expression.spatialdata_store import own_slide, part_of_store, section_name, sections_in, slide_names
from napari_nh2st.reading import expanded, read_head
from napari_nh2st.slide_path import PICTURES, WHOLE_SLIDES

SHEET = "samples.csv"
_TABLES = (".tsv", ".tsv.gz", ".txt", ".txt.gz")
_AFTER_NAME = "_-. "  # what may follow a section's name in that of its image
NOT_A_SECTION = "drop a sample sheet, a folder, or slides with their counts instead"
_DEPTH, _MOST = 4, 20_000  # folders below the chosen one; files
_SKIPPED = (".zarr", ".nh2st")  # folders that are files in truth
NOTHING = (
    "No section was found in {}: looked for a sample sheet (samples.csv), for folders of assays (outs) with their "
    "image, and for images with an .h5ad or a table of counts of the same name"
)


@dataclass
class _FolderContents:
    """The files of a folder and of those below it, sorted by what they may be.

    Attributes
    ----------
    images : dict
        Images by their name without its ending.
    counts : list of Path
        Files of counts, or that may be such.
    assays : list of Path
        Folders that are measurements: of Space Ranger and the like.
    cut : bool
        Whether there is more than was read.
    """

    images: dict[str, list[Path]] = field(default_factory=dict)
    counts: list[Path] = field(default_factory=list)
    assays: list[Path] = field(default_factory=list)
    cut: bool = False


def find_sections(
    folder: str | Path, cancelled: Callable[[], bool] = lambda: False, *, anew: bool = False
) -> tuple[list[Sample], list[str]]:
    """Find the measured sections of a folder. Files are not read, but for a sheet and the heads of tables.

    A sample sheet in the folder itself lists its sections. Without one, the search goes four folders deep: for folders
    of Space Ranger, and for an ``.h5ad`` or a table of counts with an image of the same name.

    Parameters
    ----------
    folder : path
    cancelled : callable
        Asked between files.
    anew : bool
        Whether sample sheets that are there are passed over.

    Returns
    -------
    samples : list of Sample
        Without a patient (""), where neither a sheet nor the ``.h5ad`` names one: see `patient_of`.
    says : list of str
        Sentences on files that were not understood, or that there is no section.

    Raises
    ------
    Cancelled
    SampleError
        If there is no such folder.
    """
    folder = expanded(folder).absolute()
    if not folder.is_dir():
        raise SampleError(f"there is no folder {folder}")
    if folder.name == "outs" and folder_format(folder) is not None:
        folder = folder.parent  # its image lies beside it
    sheets = [] if anew else _sheets(folder)
    says: list[str] = []
    if len(sheets) == 1:
        try:
            return read_sheet(sheets[0]), []
        except SampleError as error:
            return [], [str(error)]
    if sheets:
        says.append(f"{', '.join(p.name for p in sheets)}: there are several sample sheets, choose one of them instead")
    contents = _walk(folder, cancelled)
    if any(place == folder for place in contents.assays):
        _add_images_beside_store(folder, contents)
    samples = list(_pairs(contents, says, cancelled))
    if contents.cut:
        says.append(f"Only a part of {folder} was looked through: choose the folder in which the sections lie")
    if not samples:
        says.insert(0, NOTHING.format(folder))
        says += [f"{p.name}: save its sample sheet as “CSV UTF-8”" for p in sorted(folder.glob("*.xls*"))[:3]]
    return _distinct(samples), says


def sections_among(
    paths: Sequence[str | Path], cancelled: Callable[[], bool] = lambda: False
) -> tuple[list[Sample], list[str]]:
    """Find the measured sections among what a person gave together: sheets, folders, slides, files of counts.

    A slide without its counts, and counts without their slide, are completed by the file of that name beside them.

    Returns
    -------
    samples, says
        As of `find_sections`.

    Raises
    ------
    Cancelled
    """
    samples: list[Sample] = []
    says: list[str] = []
    files = _FolderContents()
    for path in (expanded(p).absolute() for p in paths):
        if path.is_dir():
            found, said = find_sections(path, cancelled)
            samples += found
            says += said
        elif _may_be_sheet(path):
            try:
                samples += read_sheet(path)
            except SampleError as error:
                says.append(str(error))
        elif path.name.lower().endswith((*WHOLE_SLIDES, *PICTURES, ".h5ad", *_TABLES)):
            _sort_in(path, files)
        else:
            says.append(f"{path.name}: {NOT_A_SECTION}")
    alone = _complete(files)
    samples += _pairs(files, says, cancelled)
    says += [
        f"{image.name}: no counts were found for it; drop its .h5ad or its table of counts as well" for image in alone
    ]
    return _distinct(samples), says


def _may_be_sheet(path: Path) -> bool:
    """Tell whether a file is meant as a sample sheet; one of Excel is, and is told how to be saved."""
    name = path.name.lower()
    return name.endswith(SHEETS) and (not name.endswith(_TABLES) or len(_columns(path) & set(REQUIRED)) > 1)


def _complete(files: _FolderContents) -> list[Path]:
    """Add the images and the counts that lie beside those of their name; return the images without counts."""
    counted = {_counts_name(path) for path in files.counts}
    lonely = [image for name, images in files.images.items() if name not in counted for image in images]
    for image in lonely:
        beside = (image.with_name(_name(image) + end) for end in (".h5ad", *_TABLES))
        files.counts += [path for path in beside if path.is_file()][:1]
    for path in files.counts:
        name = _counts_name(path)
        if name not in files.images:
            beside = (path.with_name(name + end) for end in (*WHOLE_SLIDES, ".ome.tif", ".ome.tiff", *PICTURES))
            files.images[name] = [image for image in beside if image.is_file()]
    counted = {_counts_name(path) for path in files.counts}
    return [image for image in lonely if _name(image) not in counted]


def _counts_name(path: Path) -> str:
    return next(
        path.name[: -len(e)] for e in (".h5ad", ".tsv.gz", ".txt.gz", ".tsv", ".txt") if path.name.lower().endswith(e)
    )


def patient_of(path: Path) -> str:
    """Return the one patient that an .h5ad names in obs["patient"] or uns["patient"], else an empty string.

    Nothing else of the file is read.
    """
    return str(_facts(path)["patient"])


def _is_prediction(path: Path) -> bool:
    """Tell whether an .h5ad is one of our own exports: it lies beside its slide and has its name."""
    return bool(_facts(path)["prediction"])


def _facts(path: Path) -> dict[str, object]:
    try:
        return read_apart("h5ad-facts", path)[0]
    except SampleError:  # reading the section says why
        return {"patient": "", "prediction": False}


def _sheets(folder: Path) -> list[Path]:
    """Return the sample sheet of a folder; several where none of them is named samples.csv."""
    if (folder / SHEET).is_file():
        return [folder / SHEET]
    return [p for p in sorted(folder.glob("*.csv")) if set(REQUIRED) <= _columns(p)]


def _columns(path: Path) -> set[str]:
    try:
        return {c.casefold() for c in read_head(path, SampleError, wanted=REQUIRED)}
    except SampleError:
        return set()


def _walk(top: Path, cancelled: Callable[[], bool]) -> _FolderContents:
    contents, files = _FolderContents(), 0
    for place, folders, names in os.walk(top):
        here = Path(place)
        if cancelled():
            raise Cancelled("stopped")
        stores = [here / f for f in sorted(folders) if f.endswith(".zarr")]
        contents.assays += [store for store in stores if folder_format(store) is not None]
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.endswith(_SKIPPED))
        found = folder_format(here)
        if found is not None and found[1] == here:
            contents.assays.append(here)
            folders.clear()  # in there lie pictures of the slide, and tables of all sorts
        elif folders and len(here.relative_to(top).parts) >= _DEPTH:
            contents.cut = True
            folders.clear()
        for name in sorted(names):
            if found is None or found[1] != here or name.lower().endswith(WHOLE_SLIDES + PICTURES):
                _sort_in(here / name, contents)
        files += len(names)
        if files > _MOST:
            contents.cut = True
            break
    return contents


def _add_images_beside_store(folder: Path, contents: _FolderContents) -> None:
    """Add the images that lie beside the store that was chosen itself, or of which a part was."""
    found = folder_format(folder)
    if found is not None and found[0] == "spatialdata":
        for path in sorted(part_of_store(folder)[0].parent.iterdir())[:_MOST]:
            if path.name.lower().endswith(WHOLE_SLIDES + PICTURES) and path.is_file():
                _sort_in(path, contents)


def _sort_in(path: Path, contents: _FolderContents) -> None:
    name = path.name.lower()
    if path.name.startswith("."):
        return
    if name.endswith(WHOLE_SLIDES + PICTURES) and not name.startswith("morphology"):  # as Xenium calls its own, of DAPI
        contents.images.setdefault(_name(path), []).append(path)
    elif name.endswith((".h5ad", *_TABLES)):
        contents.counts.append(path)


def _name(image: Path) -> str:
    return image.stem[: -len(".ome")] if image.stem.lower().endswith(".ome") else image.stem


def _pairs(contents: _FolderContents, says: list[str], cancelled: Callable[[], bool]) -> Iterator[Sample]:
    assays = [measurement for place in contents.assays for measurement in _sections_of(place, says)]
    named = Counter(measurement.name for measurement in assays)
    for measurement in assays:
        find = _images_of_store if measurement.format == "spatialdata" else _images_beside
        images = find(measurement, contents, set(named) - {measurement.name})
        how = f"put its full-resolution image beside it as {measurement.name}.tif"
        yield from _with_image(measurement, images, says, how)
    for path in contents.counts:
        if cancelled():
            raise Cancelled("stopped")
        table = path.suffix.lower() != ".h5ad"
        if not table and _is_prediction(path):
            continue
        try:
            measurement = detect([path])
        except SampleError as error:  # a table of positions, or none at all
            if not table:
                says.append(str(error))
            continue
        images = _of_that_name(measurement.name, path.parent, contents)
        if table and measurement.spots is None:
            if images:
                says.append(
                    f"{path.name}: no table of the spots' positions lies beside it ({measurement.name}_selection.tsv)"
                )
            continue  # a table of something else
        yield from _with_image(measurement, images, says, f"name its image {measurement.name}.tif, or put it beside it")


def _sections_of(place: Path, says: list[str]) -> list[MeasurementFiles]:
    """Return the section of a folder of an assay; of a store with several regions, that of each."""
    if (found := folder_format(place)) is None or found[0] != "spatialdata":
        return [detect([place])]
    sections, lost = sections_in(place)
    says += [f"{place.name}: its table is about {one_line(name, 60)} too, which is not there" for name in lost]
    return [detect([section]) for section in sections]


def _with_image(measurement: MeasurementFiles, images: list[Path], says: list[str], how: str) -> Iterator[Sample]:
    label = f"{measurement.name} ({measurement.expression.name})"
    if len(images) == 1:
        patient, mpp = "", None
        if measurement.format == "hest":
            try:
                patient, mpp = hest_facts(measurement.expression)
            except SampleError as error:
                says.append(str(error))
        if measurement.format in ("h5ad", "hest"):
            patient = patient or patient_of(measurement.expression)
        spots = measurement.spots and measurement.spots.absolute()
        slide, expression = images[0].absolute(), measurement.expression.absolute()
        place = (slide, expression, measurement.format, spots, mpp)
        yield Sample(measurement.name, patient, *place, transform=_transform_beside(measurement))
    elif images:
        says.append(f"{label}: which is its image, {' or '.join(p.name for p in images)}? Name it in a sample sheet")
    else:
        says.append(f"{label}: no image was found for it; {how}")


def _transform_beside(measurement: MeasurementFiles) -> Path | None:
    """Return the file that says where the spots lie on the slide, as `nh2st align` is told to name it."""
    names = (f"{measurement.name}{mark}transform.json" for mark in _AFTER_NAME)
    beside = (_home(measurement).with_name(name) for name in names)
    return next((path for path in beside if path.is_file()), None)


def _home(measurement: MeasurementFiles) -> Path:
    """Return the file or folder of a measurement; of a part of a store, the store."""
    path = measurement.expression.absolute()
    return part_of_store(path)[0] if measurement.format == "spatialdata" else path


def _of_that_name(name: str, place: Path, contents: _FolderContents) -> list[Path]:
    """Return the images of this name: those in that folder, else all."""
    images = contents.images.get(name, [])
    return _slides_first([p for p in images if p.parent == place] or images)


def _images_beside(measurement: MeasurementFiles, contents: _FolderContents, others: set[str]) -> list[Path]:
    """Return the images that may be the one that Space Ranger was given; `others` are names of other sections."""
    outs = measurement.expression
    home = outs.parent if outs.name == "outs" else outs
    for place in (home, outs, home.parent):
        here = [(name, p) for name, paths in contents.images.items() for p in paths if p.parent == place]
        here = [(name, p) for name, p in here if name not in others]
        exact = [p for name, p in here if name == measurement.name]
        alike = [p for name, p in here if name.startswith(tuple(measurement.name + end for end in _AFTER_NAME))]
        only = [p for _, p in here] if place != home.parent else []
        if images := exact or alike or only:
            return _slides_first(images)
    return _slides_first(contents.images.get(measurement.name, []))


def _images_of_store(measurement: MeasurementFiles, contents: _FolderContents, others: set[str]) -> list[Path]:
    """Return the images that may be the slide of a store or of one of its regions: of that name, else its own."""
    store = _home(measurement)
    if names := slide_names(measurement.expression):
        beside = ([p for p in contents.images.get(name, []) if p.parent == store.parent] for name in names)
        images = _slides_first(next(filter(None, beside), [])) or _of_that_name(names[0], store.parent, contents)
    else:
        whole = replace(measurement, name=section_name(store), expression=store)
        images = _images_beside(whole, contents, others - {whole.name})
    own = [] if images else [own_slide(measurement.expression)]
    return images or [image for image in own if image is not None]


def _slides_first(images: list[Path]) -> list[Path]:
    """Leave out pictures where there are whole slides: of two images of one name, they are meant."""
    return [p for p in images if p.name.lower().endswith(WHOLE_SLIDES)] or images


def _distinct(samples: list[Sample]) -> list[Sample]:
    """Put the folder before names that occur twice."""
    times = Counter(s.sample for s in samples)
    return [replace(s, sample=f"{_folder_of(s)}-{s.sample}") if times[s.sample] > 1 else s for s in samples]


def _folder_of(sample: Sample) -> str:
    """Return the name of the folder in which a slide lies, or a store: its slide may be an image in it."""
    place = part_of_store(sample.expression)[0] if sample.format == "spatialdata" else sample.slide
    return place.parent.name
