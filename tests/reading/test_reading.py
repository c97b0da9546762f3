"""Files that others made: read, or one line that says what to change. Never a traceback, never a wait."""

import os
import time

import pytest

from napari_nh2st.errors import ModelError, Nh2stError, one_line
from napari_nh2st.reading import contents, parse_json, read_frame, read_json, read_lines, read_text, read_yaml, text_of

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
ODD_JSON = {
    "empty": b"",
    "cut": b'{"a": ',
    "no UTF-8": b"\xff\xfe",
    "NUL": b'{"a": "\0"}',
    "nested": b'{"a": ' + b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "a long number": b'{"a": ' + b"9" * 5000 + b"}",
    "no number": b'{"a": NaN}',
    "infinite": b'{"a": 1e400}',
    "a key twice": b'{"a": 1, "b": {"c": 1, "c": 2}}',
    "a lone surrogate and more": b'{"a": "\\ud800"} x',
}
ODD_YAML = {
    "no UTF-8": b"name: caf\xe9",
    "nested": b"a: " + b"[" * 100_000,
    "nested blocks": b"".join(b" " * n + b"a:\n" for n in range(300)),
    "a long number": b"epochs: " + b"9" * 5000,
    "laughs": LAUGHS.encode(),
    "itself": b"a: &a [*a]",
    "a key twice": b"epochs: 3\nepochs: 4",
    "objects": b"a: !!python/object/apply:os.system [ls]",
    "no such day": b"a: 2024-13-45",
    "two documents": b"a: 1\n---\nb: 2",
    "a tab": b"a:\n\tb: 1",
    "NUL": b"a: \0",
    "a control character": b"a: \x07",
    "an odd key": b"? [a, b]\n: c\n? {a: b}\n: d",
    "keys at once": b"{" + b", ".join(b"a%d: 1" % n for n in range(5)) + b", a0: 2}",
}


def refused(read, path, error=Nh2stError):
    began = time.process_time()
    with pytest.raises(error) as caught:
        read(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert len(said) < 700
    assert time.process_time() - began < 5
    return said


@pytest.mark.parametrize("name", ODD_JSON)
def test_json_that_is_none(tmp_path, name):
    (tmp_path / "x.json").write_bytes(ODD_JSON[name])
    refused(read_json, tmp_path / "x.json")


@pytest.mark.parametrize("name", ODD_YAML)
def test_yaml_that_is_none(tmp_path, name):
    (tmp_path / "x.yaml").write_bytes(ODD_YAML[name])
    refused(read_yaml, tmp_path / "x.yaml")


def test_yaml_and_json_that_are_right(tmp_path):
    (tmp_path / "x.yaml").write_bytes(
        b"\xef\xbb\xbfbase: &base {a: 1, b: [x, y]}\nmore:\n  <<: *base\n  a: 2\nagain: *base\n"
    )
    base = {"a": 1, "b": ["x", "y"]}
    assert read_yaml(tmp_path / "x.yaml") == {"base": base, "more": {**base, "a": 2}, "again": base}
    (tmp_path / "empty.yaml").touch()
    assert read_yaml(tmp_path / "empty.yaml") is None
    assert parse_json('{"a": 1e3}'.encode("utf-16")) == {"a": 1000}
    assert str(parse_json(b'{"a": NaN}', infinite=True)["a"]) == "nan"


@pytest.mark.parametrize("read", [read_text, read_json, read_yaml, read_frame, contents], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "nothing", "shut", "long name", "NUL name", "device"])
def test_what_is_no_plain_file(tmp_path, kind, read):
    path = tmp_path / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "shut":
        path.touch(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    else:
        path = {"long name": tmp_path / ("x" * 5000), "NUL name": tmp_path / "a\0b", "device": "/dev/zero"}.get(
            kind, path
        )
    with pytest.raises(OSError if read is contents else Nh2stError, match=r"."):
        read(path)


def test_a_file_beyond_the_limit_is_not_taken_into_memory(tmp_path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(10**12)  # a hole: it takes no room on the disk
    assert "larger than 64 MB" in refused(read_json, tmp_path / "huge.json")


def test_a_gzip_file_that_unpacks_without_end(tmp_path):
    import gzip

    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(OSError, match="larger than 1 MB"):
        contents(tmp_path / "bomb.gz", 10**6, unpack=True)
    assert len(contents(tmp_path / "bomb.gz", 10**6, unpack=True, cut=True)) == 10**6
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"a") + gzip.compress(b"b"))
    assert contents(tmp_path / "two.gz", 10**6, unpack=True) == b"ab"
    (tmp_path / "cut.gz").write_bytes(gzip.compress(bytes(range(256)) * 99)[:-20])
    assert "gzip" in refused(read_frame, tmp_path / "cut.gz")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1", "cp1250"]
)
def test_text_is_read_in_the_encodings_that_programs_save(encoding):
    text = "Größe,Lázaro\nMüller,é 10 µm\n"
    assert text_of(text.encode(encoding), guess=True) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Dvořák", "cp1250"),
        ("Müller", "mac-roman"),
        ("María", "mac-roman"),
        ("Иванов", "cp1251"),
        ("患者", "gbk"),
        ("患者", "shift-jis"),
        ("Yıldız", "cp1254"),
        ("Παπα", "cp1253"),
    ],
)
def test_text_that_could_be_read_in_two_ways_is_not_guessed(text, encoding):
    with pytest.raises(ValueError, match="line 2 is not UTF-8 text: save it as UTF-8"):
        text_of(f"sample\n{text},x\n".encode(encoding), guess=True)


@pytest.mark.parametrize(
    ("start", "said"),
    [(b"PK\x03\x04", "Excel"), (b"\xd0\xcf\x11\xe0", "Excel"), (b"PAR1", "parquet"), (b"\x89HDF", "HDF5")],
)
def test_another_program_s_file_is_named(tmp_path, start, said):
    (tmp_path / "samples.csv").write_bytes(start + bytes(100))
    assert said in refused(read_lines, tmp_path / "samples.csv")


def test_an_error_is_one_line_that_a_terminal_only_prints():
    said = str(ModelError("\x1b[2J red\n\n\tx\u202e \u2028y\0"))
    assert said.isprintable()
    assert len(str(Nh2stError("x" * 10**7))) <= 2000
    assert one_line("two  blanks stay") == "two  blanks stay"
