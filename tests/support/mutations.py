"""Mutations of valid files, drawn by hypothesis: of bytes, of text, of JSON documents and of safetensors headers."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[Any], Any]

TOKENS = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xe9",
    b"\xc3\x28",
    b"\xf0\x9f\xa7\xac",
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b",",
    b";",
    b'"',
    b"'",
    b"=",
    b"-",
    b"#",
    b"|",
    b"&a [*a]",
    b"*a",
    b"<<: ",
    b"!!python/object/apply:os.system [ls]",
    b"!!binary x",
    b"? ",
    b"NaN",
    b"Infinity",
    b"-1",
    b"0",
    b"1e400",
    b"1,5",
    b"9" * 5000,
    b"-0.0",
    b"0x1F",
    b"null",
    b"true",
    b"~/x",
    b"../",
    b"[" * 3000,
    b"{" * 3000,
    b"]}",
    b'{"a":' * 2000,
    b"sep=;\n",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"<a>" * 2000,
    b"<b>&#0;</b>",
    b"\\ud800",
    b"\x1b[2J",
    b"x" * 200_000,
    b"$(ls)",
    b"%s%n",
    b"2024-13-45",
    b"MPP = ",
    b"|MPP = 1e400|",
    b'PhysicalSizeX="-1"',
]
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    -(10**30),
    0.5,
    -0.5,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    " ",
    "NaN",
    "1e400",
    "x" * 5000,
    "<b>x</b>",
    "=1+1",
    "a\nb",
    "\0",
    "\x1b[2J",
    "../../etc/passwd",
    "/dev/zero",
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    [0] * 2000,
    {"": ""},
    ["x", "x"],
]


@st.composite
def mutated_bytes(draw: Draw, seed: bytes, most: int = 6) -> bytes:
    """The seed with a few bytes changed, parts taken out, doubled or put elsewhere, and tokens put in."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from([1, 1, 2, 4, 8, 64, 1024])))
        what = draw(st.sampled_from(["flip", "token", "token", "cut", "double", "over", "short", "bytes"]))
        if what == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "token":
            data[at:at] = draw(st.sampled_from(TOKENS))
        elif what == "cut":
            del data[at:end]
        elif what == "double":
            data[at:at] = data[at:end]
        elif what == "over":
            data[at:end] = draw(st.sampled_from(TOKENS))
        elif what == "bytes":
            data[at:end] = draw(st.binary(max_size=8))
        elif what == "short":
            del data[at:]
    return bytes(data)


@st.composite
def mutated_json(draw: Draw, seed: Any, most: int = 4) -> Any:
    """The document with a few values replaced, taken out, doubled or added."""
    document = copy.deepcopy(seed)
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(document))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["value", "value", "value", "out", "more", "wrap"]))
        if what == "value":
            holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif what == "wrap":
            holder[key] = [holder[key]]
        elif what == "out":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(["", "more", f"{key} "]))] = holder[key]
        else:
            holder.insert(key, holder[key])
    return document


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for key in range(min(len(value), 40)):
            yield value, key
            yield from _places(value[key])


def mutated_json_file(seed: bytes) -> st.SearchStrategy[bytes]:
    document = json.loads(seed)
    return st.one_of(mutated_json(document).map(lambda value: json.dumps(value).encode()), mutated_bytes(seed))


def mutated_header_file(seed: bytes) -> st.SearchStrategy[bytes]:
    """A safetensors file with another header, other metadata or other bytes."""
    size = struct.unpack("<Q", seed[:8])[0]
    header, rest = json.loads(seed[8 : 8 + size]), seed[8 + size :]

    def with_header(value: Any) -> bytes:
        text = json.dumps(value).encode()
        return struct.pack("<Q", len(text)) + text + rest

    return st.one_of(mutated_json(header).map(with_header), mutated_bytes(seed))
