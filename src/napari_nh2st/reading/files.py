"""The bytes of a file: of a plain file only, and not more than a limit."""

from __future__ import annotations

import errno
import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from napari_nh2st.errors import Nh2stError, one_line

MB = 10**6
TEXT_LIMIT = 64 * MB
_GZIP = b"\x1f\x8b"
_PART = 1 << 20
_REASON_LENGTH = 300


def reason(error: BaseException) -> str:
    """Say on one line why something failed, without the file's name."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "integer string conversion" in str(error):
        return "it holds a number of thousands of digits"
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror, _REASON_LENGTH)
    return one_line(error, _REASON_LENGTH) or type(error).__name__


@contextmanager
def told(path: str | Path, what: str = "", error: type[Nh2stError] = Nh2stError) -> Iterator[None]:
    """Turn whatever reading a file can raise into one line of the house.

    Parameters
    ----------
    path : path
    what : str
        What the file is for a person, such as "the settings".
    error : type
        The house's error to raise.
    """
    try:
        yield
    except Nh2stError:
        raise
    except (OSError, ValueError, EOFError, RecursionError, OverflowError, zlib.error) as cause:
        raise error(f"cannot read {f'{what} ' if what else ''}{path}: {reason(cause)}") from cause


def contents(path: str | Path, most: int = TEXT_LIMIT, *, unpack: bool = False, cut: bool = False) -> bytes:
    """Return the bytes of a plain file.

    A folder, a pipe or a device is never opened: reading it could wait for ever.

    Parameters
    ----------
    path : path
    most : int
        Bytes, unpacked.
    unpack : bool
        Whether a gzip file is unpacked.
    cut : bool
        Whether the beginning of a longer file is enough.

    Raises
    ------
    OSError
        If it cannot be read, is not a plain file, or is longer.
    """
    try:
        mode = Path(path).stat().st_mode
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file has a name with a NUL character") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder: give a file")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device: give a file")
    with Path(path).open("rb") as file:
        data = file.read(most + 1)
    if unpack and not data.startswith(_GZIP) and Path(path).suffix.lower() == ".gz":
        raise OSError(errno.EINVAL, "it is not packed with gzip, as its name says")
    if unpack and data.startswith(_GZIP):
        data = _unpacked(data, most, cut)
    if len(data) > most and not cut:
        raise OSError(errno.EFBIG, f"it is larger than {most / MB:.4g} MB: is it the right file?")
    return data[:most]


def open_plain(path: str | Path) -> IO[bytes]:
    """Open a plain file (`contents` refuses others) to be read from its beginning; gzip is unpacked on the way."""
    with Path(path).open("rb") as head:
        packed = head.read(len(_GZIP)) == _GZIP
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else Path(path).open("rb")


def _unpacked(data: bytes, most: int, cut: bool) -> bytes:
    """Unpack gzip, one member after the other, until there is more than the limit."""
    parts, size = [], 0
    while data.startswith(_GZIP):
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof and size <= most:
            part = unpacker.decompress(data, _PART)
            size, data = size + len(part), unpacker.unconsumed_tail
            parts.append(part)
            if not part and not data and not unpacker.eof:
                if cut:
                    break
                raise EOFError("it is cut off: the gzip file ends too early")
        data = unpacker.unused_data if size <= most else b""
    return b"".join(parts)


def exists(path: str | Path) -> bool:
    """Tell whether there is a file or folder; False for a name that no file can have, and for links in a circle."""
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


def expanded(path: str | Path) -> Path:
    """Replace a leading ``~``; left alone where nobody's home is meant."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
