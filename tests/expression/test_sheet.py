from dataclasses import replace

import numpy as np
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression, read_sheet, samples_of, write_sheet
from support.sections import section

HEADER = "sample,patient,slide,expression,format,scale,x,y\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections")
    section(folder, "A", "P", 1, side=800)
    return folder


@pytest.fixture
def sample(folder):
    return Sample("A, left", "P", folder / "A.tif", folder / "A.h5ad", "h5ad")


def test_what_is_written_is_read_again(sample, folder, tmp_path):
    spots = folder / "A.h5ad"
    framed = replace(sample, sample="B", spots=spots, mpp=1 / 3, scale=0.1 + 0.2, x=-12.5, y=1e-7)
    for place in (folder / "own.csv", tmp_path / "new" / "elsewhere.csv"):
        write_sheet([sample, framed], place)
        assert read_sheet(place) == [sample, framed]


def test_paths_beneath_the_sheet_are_relative_to_it(sample, folder, tmp_path):
    write_sheet([sample], folder / "own.csv")
    assert ",A.tif,A.h5ad,h5ad,,,,," in (folder / "own.csv").read_text()
    write_sheet([sample], tmp_path / "samples.csv")
    assert str(folder / "A.tif") in (tmp_path / "samples.csv").read_text()


@pytest.mark.parametrize("changes", [{"patient": ""}, {"sample": ""}])
def test_a_sheet_that_could_not_be_read_is_not_written(sample, tmp_path, changes):
    for samples in ([replace(sample, **changes)], []):
        with pytest.raises(SampleError, match="no sheet was written"):
            write_sheet(samples, tmp_path / "samples.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_places_spots_of_another_image(sample, folder):
    own = read_expression(sample).obsm["spatial"]
    sheet = folder / "framed.csv"
    sheet.write_text(HEADER + "A,P,A.tif,A.h5ad,h5ad,0.5,,-7\nB,P,A.tif,A.h5ad,h5ad,,,\n")
    framed, plain = read_sheet(sheet)
    np.testing.assert_allclose(read_expression(framed).obsm["spatial"], 0.5 * own + (0, -7))
    np.testing.assert_array_equal(read_expression(plain).obsm["spatial"], own)


def test_a_data_frame_and_samples_are_sheets_too(sample, folder, monkeypatch):
    import pandas as pd

    row = {
        "sample": 7,
        "patient": "P",
        "slide": "A.tif",
        "expression": folder / "A.h5ad",
        "format": "h5ad",
        "mpp": None,
    }
    frame = pd.DataFrame([row, {**row, "sample": "B", "mpp": 0.5}])
    monkeypatch.chdir(folder)
    (first, second) = samples_of(frame)
    assert first == replace(sample, sample="7")
    assert second == replace(sample, sample="B", mpp=0.5)
    assert samples_of((first,)) == [first]
    with pytest.raises(SampleError, match=r"the DataFrame lacks the column slide"):
        samples_of(frame.drop(columns="slide"))
    with pytest.raises(SampleError, match=r"the DataFrame: line 2: there is no .*C\.tif"):
        samples_of(frame.assign(slide=["A.tif", "C.tif"]))
    for wrong in ([row], 3, None):
        with pytest.raises(SampleError, match="a sheet is a path, a DataFrame or a list of Sample, not"):
            samples_of(wrong)


@pytest.mark.parametrize(
    ("numbers", "said"), [("0,,", "scale must be more than 0"), ("1,a,", "x 'a' is not a number"), ("inf,,", "scale")]
)
def test_a_wrong_place_is_told(folder, numbers, said):
    (folder / "wrong.csv").write_text(f"{HEADER}A,P,A.tif,A.h5ad,h5ad,{numbers}\n")
    with pytest.raises(SampleError, match=f"line 2: {said}"):
        read_sheet(folder / "wrong.csv")


PLAIN = "sample,patient,slide,expression,format,spots,mpp\n"
ROW = "A,P,A.tif,A.h5ad,h5ad,,0.5\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{PLAIN}{ROW},,,,,,\n,,,,,,\n",
        f"sep=,\r\n{PLAIN}{ROW}",
        f"{PLAIN}{ROW}".replace(",", ";").replace("0.5", "0,5"),
        f"sep=;\n{PLAIN}{ROW}".replace(",", ";"),
        f"{PLAIN}{ROW}".replace(",", "\t").replace("0.5", "0,5"),
        f"{PLAIN}{ROW}".replace("0.5", '"0,5"'),
        f"{PLAIN}{ROW}".replace("sample", "Sample ").replace("mpp", "MPP"),
        f"{PLAIN}{ROW}".replace("A.tif", '" A.tif "').replace("h5ad,,", "H5AD ,NA,"),
        f"{PLAIN}{ROW}".replace("A.tif", "“A.tif”").replace("A,P", "'A',P\xa0"),
        f"{PLAIN}{ROW}".replace("A.tif", "sub\\..\\A.tif"),
        f"{PLAIN}{ROW}".replace("A.tif", "{folder}/A.tif"),
        f"{PLAIN}{ROW}".replace("A.tif", "~/A.tif"),
        f"{PLAIN}{ROW}".replace("\n", "\r"),
        f"My sections,,,,,,\n\n{PLAIN}{ROW}",
        f"# made by hand\n{PLAIN}{ROW}\x1a".replace(",", ";"),
        f"{PLAIN}{ROW}".replace("\n", ",,,\n"),
        f"{PLAIN}{ROW}".replace("mpp\n", "mpp,note\n").replace("0.5\n", '0.5,"two\nlines"\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_sheet_however_a_person_saved_it(folder, monkeypatch, text, encoding):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "saved.csv").write_bytes(text.format(folder=folder).encode(encoding))
    assert read_sheet(folder / "saved.csv") == [
        Sample("A", "P", folder / "A.tif", folder / "A.h5ad", "h5ad", None, 0.5)
    ]


def test_a_sheet_in_windows_own_encoding(folder):
    (folder / "saved.csv").write_bytes(f"{PLAIN}{ROW}".replace("A,P", "Sü,Größe").encode("cp1252"))
    (sample,) = read_sheet(folder / "saved.csv")
    assert (sample.sample, sample.patient) == ("Sü", "Größe")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN + ROW.replace("A.tif", '"A.tif') + "x,y,z,w,h5ad\n" * 20_000, "a quote in line 2 is never closed"),
        (PLAIN + ROW.replace("A.tif", '"A.tif'), "a quote in line 2 is never closed"),
        (PLAIN + ROW.replace("A.tif", '"A.tif') + ROW.replace("A.tif", '"A.tif'), "line 2: .*a quote is not closed"),
        (PLAIN + ROW.replace("A.tif", "A,1.tif"), "line 2: it has 8 cells, the line of names has 7: put quotes"),
        (PLAIN + ROW.replace("A.tif", "x" * 200_000), "line 2 has a cell of more than 131072 letters"),
        (PLAIN + ROW.replace("A.tif", "x" * 5_000), "line 2: there is no .*xx"),
        (PLAIN + ROW.replace("A.tif", "A\0.tif"), "line 2 holds a NUL character"),
        (PLAIN + ROW.replace("A.tif", "loop"), "line 2: there is no .*loop"),
        (PLAIN + ROW.replace("A.tif", "~nobody_of_that_name/A.tif"), "line 2: there is no .*~nobody"),
        (PLAIN + ROW.replace("0.5", "1e400"), "line 2: mpp '1e400' is not a number"),
        (PLAIN + ROW.replace("0.5", '"1,234"'), "line 2: mpp '1,234' has a comma that may be for decimals"),
        (PLAIN + ROW + ",,,,,,\n" + ROW, r"sample A is listed twice \(lines 2, 4\)"),
        (ROW + ROW, r"lacks the column sample, .* \(there: A, P, A.tif, A.h5ad, h5ad, , 0.5\)"),
        (PLAIN.replace("patient", "slide") + ROW, "lacks the column patient"),
        (PLAIN.replace("spots", "slide") + ROW, "names the column slide twice"),
        (PLAIN + "".join(f"A{n},,x,y,h5ad,,\n" for n in range(2_000)), "and [0-9]+ more problems"),
        (PLAIN + ROW.replace(",P,", ",NA,"), "line 2: patient 'NA' names nobody: write whose tissue it is"),
        (PLAIN.replace("mpp", "pixel_size") + ROW, r"the column pixel_size is not read: name it mpp \(µm per pixel\)"),
        ("PK\x03\x04", "Excel workbook or another zip archive: open it and save the sheet as “CSV UTF-8”"),
        (PLAIN.encode() + b"\xc3\x28,P,A.tif,A.h5ad,h5ad,,\n", "line 2 is not UTF-8 text: save it as"),
    ],
)
def test_a_sheet_that_cannot_be_read_says_in_one_line_what_to_change(folder, text, said):
    if not (folder / "loop").is_symlink():
        (folder / "loop").symlink_to("loop")
    (folder / "odd.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SampleError, match=said) as caught:
        read_sheet(folder / "odd.csv")
    assert len(str(caught.value)) <= 2_000
    assert "\n" not in str(caught.value)


def test_links_keep_the_names_that_the_sheet_gives(folder, tmp_path):
    (tmp_path / "slide.tif").symlink_to(folder / "A.tif")
    (tmp_path / "counts.h5ad").symlink_to(folder / "A.h5ad")
    (tmp_path / "sheet.csv").write_text(PLAIN + "A,P,slide.tif,counts.h5ad,h5ad,,\n")
    (sample,) = read_sheet(tmp_path / "sheet.csv")
    assert (sample.slide, sample.expression) == (tmp_path / "slide.tif", tmp_path / "counts.h5ad")
    write_sheet([sample], tmp_path / "again.csv")
    assert ",slide.tif,counts.h5ad," in (tmp_path / "again.csv").read_text()


def test_names_that_excel_would_run_are_written_as_text(sample, folder):
    odd = replace(sample, sample="=1+1", patient="@SUM(A1)", x=-5.0)
    write_sheet([odd], folder / "odd.csv")
    assert read_sheet(folder / "odd.csv") == [odd]
    assert "'=1+1,'@SUM(A1)," in (folder / "odd.csv").read_text()
    assert ",-5.0," in (folder / "odd.csv").read_text()


def _wrapped(text: str) -> str:
    return "\n".join(f'"{line}"' for line in text.splitlines())


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(_wrapped, id="each line in quotes"),
        pytest.param(lambda text: _wrapped(text.replace(",", ";")), id="each line in quotes, semicolons"),
        pytest.param(lambda text: text.replace(",", ";").replace("\n", ",,,\n"), id="semicolons, padded with commas"),
        pytest.param(lambda text: "\ufeff" + text.replace(",", ";").replace("0.5", "0,5"), id="decimal commas"),
        pytest.param(lambda text: text.replace(",", "\t").replace("\n", "\r\n"), id="tabs"),
    ],
)
def test_sheets_as_programs_save_them_keep_every_cell(folder, saved):
    text = "sample,patient,slide,expression,format,mpp\nA,P,A.tif,A.h5ad,h5ad,0.5\nB,P,A.tif,A.h5ad,h5ad,0.5\n"
    (folder / "s.csv").write_text(saved(text), "utf-8")
    samples = read_sheet(folder / "s.csv")
    assert [(s.sample, s.slide.name, s.mpp) for s in samples] == [("A", "A.tif", 0.5), ("B", "A.tif", 0.5)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "sample:patient:slide:expression:format\nA:P:A.tif:A.h5ad:h5ad\n",
            "is separated by colons: save it with commas",
        ),
        ("sample patient slide expression format\nA P A.tif A.h5ad h5ad\n", "is separated by spaces: save it with"),
        (
            "sample,patient,slide,expression,format\nA;P;A.tif;A.h5ad;h5ad\nB;P;B.tif;B.h5ad;h5ad\n",
            r"s.csv: line 2: it is separated by semicolons, the line of names by commas: save the sheet with commas$",
        ),
    ],
)
def test_a_sheet_that_is_separated_otherwise_is_told_so(folder, text, said):
    (folder / "s.csv").write_text(text)
    with pytest.raises(SampleError, match=said):
        read_sheet(folder / "s.csv")
