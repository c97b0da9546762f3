"""Slides on other machines: files behind `https://` and `s3://`, of which only the needed parts are fetched."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from napari_nh2st.errors import SlideAway, SlideError
from napari_nh2st.slide_path import address_of
from napari_nh2st.slides.file import CHANGED, SAMPLE_BYTES, SlideFile, sample_starts
from napari_nh2st.slides.locks import give_lock

if TYPE_CHECKING:
    from obstore.store import HTTPStore, S3Store
    from zarr.abc.store import Store

BLOCK = 2**18  # bytes that are fetched at least: a few tiles of a slide
KEPT = 512  # blocks of a file that stay in memory
TIMEOUT, RETRIES = "20s", 2


def split_address(address: str) -> tuple[str, str]:
    """Take an address apart into the store (a server or a bucket) and the key of a file in it.

    Raises
    ------
    SlideError
        If it has a query, as signed addresses do: parts of such a file cannot be asked for.
    """
    parts = urlsplit(address)
    if parts.query:
        raise SlideError(f"{address.split('?')[0]}: addresses with a query (?...) cannot be read: download the slide")
    key = unquote(parts.path).lstrip("/")
    if not parts.netloc or not key or ".." in key.split("/"):
        raise SlideError(f"{address} names no file: give https://host/folder/slide.svs or s3://bucket/folder/slide.svs")
    return f"{parts.scheme}://{parts.netloc}", key


def store_of(address: str) -> HTTPStore | S3Store:
    """Return the store of a server or a bucket, or of a folder in it; nothing outside the folder is read.

    A bucket takes its region, keys and endpoint from the AWS_ variables of the environment; without keys it is read as
    a public one.
    """
    from datetime import timedelta

    from obstore.store import HTTPStore, S3Store

    client: Any = {"timeout": TIMEOUT, "connect_timeout": "8s", "allow_http": True}
    retry: Any = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=30)}
    if not address.startswith("s3:"):
        return HTTPStore.from_url(address, client_options=client, retry_config=retry)
    config: Any = {} if os.environ.get("AWS_ACCESS_KEY_ID") else {"skip_signature": True}
    return S3Store.from_url(address, config=config, client_options=client, retry_config=retry)


class RemoteFile(SlideFile):
    """A file on another machine, read by offset like `SlideFile`; blocks of it stay in memory.

    Parameters
    ----------
    path : Path
        Its address.

    Raises
    ------
    SlideError
        If the file is not there, is empty, or cannot be reached.
    """

    def __init__(self, path: Path) -> None:
        address = address_of(path)
        assert address is not None
        self.path, self.address = path, address
        self.closed, self.failures, self.reason = False, 0, ""
        self._samples: bytes | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        root, self._key = split_address(address)
        self._store, self._pid = store_of(root), os.getpid()
        give_lock(self)
        from obstore import head

        with _reaching(address):
            found = head(self._store, self._key)
        self.size, self._etag = int(found["size"]), found["e_tag"]
        if self.size == 0:
            raise SlideError(f"{address} is empty: the upload did not finish")
        with _reaching(address):
            self._blocks |= self._fetch([0])

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` (see `SlideFile.read`)."""
        if self.closed:
            raise SlideError(f"{self.path.name} was closed: open it again before reading")
        first, last = max(offset, 0), min(offset + count, self.size)
        if last <= first:
            return b""
        numbers = range(first // BLOCK, -(-last // BLOCK))
        with self._lock:
            have = {n: self._blocks[n] for n in numbers if n in self._blocks}
            for number in have:
                self._blocks.move_to_end(number)
        try:
            fetched = self._fetch([n for n in numbers if n not in have])  # without the lock: many wait side by side
        except Exception as error:  # obstore's errors, and those of the network below it
            return self._fail(CHANGED if _changed(error) else _words(error))
        with self._lock:
            self._blocks |= fetched
            while len(self._blocks) > KEPT:
                self._blocks.popitem(last=False)
        data = b"".join((have | fetched)[n] for n in numbers)
        start = numbers[0] * BLOCK
        return data[first - start : last - start]

    def _fetch(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Fetch blocks; those that follow one another together."""
        runs: list[list[int]] = []
        for number in numbers:
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        out: dict[int, bytes] = {}
        for run in runs:
            data = self._part(run[0] * BLOCK, min((run[-1] + 1) * BLOCK, self.size))
            out |= {n: data[(n - run[0]) * BLOCK : (n - run[0] + 1) * BLOCK] for n in run}
        return out

    def _part(self, start: int, end: int) -> bytes:
        from obstore import get

        options: Any = {"range": (start, end)}
        if self._etag:
            options["if_match"] = self._etag
        data = bytes(get(self._store, self._key, options=options).bytes())
        if len(data) != end - start:
            raise OSError(f"{len(data)} of {end - start} bytes came")
        return data

    def verify(self, failures: int) -> None:
        """Raise if reading failed since `failures` were counted (see `SlideFile.verify`)."""
        if self.failures == failures:
            return
        if self.reason == CHANGED:
            raise SlideError(f"{self.address} has changed since it was opened: open it again")
        raise SlideAway(f"{self.address} can no longer be read ({self.reason}): is this machine online?")

    def samples(self) -> bytes:
        """Return bytes from places all over the file (see `SlideFile.samples`)."""
        if self._samples is None:
            from obstore import get_ranges

            starts = sample_starts(self.size)
            ends = [min(start + SAMPLE_BYTES, self.size) for start in starts]
            with _reaching(self.address):
                parts = get_ranges(self._store, self._key, starts=starts, ends=ends)
            self._samples = b"".join(bytes(part) for part in parts)
        return self._samples

    def close(self) -> None:
        """Close the file; reads after this raise a `SlideError`."""
        self.closed = True
        with self._lock:
            self._blocks.clear()


def open_file(path: Path) -> SlideFile:
    """Open a slide's file, here or on another machine.

    Raises
    ------
    SlideError
        As `SlideFile` and `RemoteFile`.
    """
    return SlideFile(path) if address_of(path) is None else RemoteFile(path)


def is_file(path: Path) -> bool:
    """Tell whether a file is there, here or on another machine.

    Raises
    ------
    SlideError
        If the machine cannot be asked.
    """
    address = address_of(path)
    if address is None:
        return path.is_file()
    from obstore import exceptions, head

    root, key = split_address(address)
    with _reaching(address):
        try:
            head(store_of(root), key)
        except (exceptions.NotFoundError, FileNotFoundError):
            return False
    return True


def zarr_store(folder: Path) -> Store:
    """Return the store of a Zarr folder, here or on another machine. It reads what lies in the folder, and no more."""
    from zarr.storage import LocalStore, ObjectStore

    address = address_of(folder)
    if address is None:
        return LocalStore(folder, read_only=True)
    split_address(address)  # refuses what is no folder
    return ObjectStore(store_of(address), read_only=True)


class FileView(io.RawIOBase):
    """A `SlideFile` as a Python file, for parsers that take one."""

    def __init__(self, file: SlideFile) -> None:
        self._file, self._at = file, 0
        self.name = file.path.name

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, in bytes."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(begin + offset, 0)
        return self._at

    def tell(self) -> int:
        """Return the place, in bytes."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read on from the place."""
        before = self._file.failures
        data = self._file.read(self._at, len(buffer))
        if self._file.failures != before:
            raise OSError(self._file.reason)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # obstore's errors, and those of the network below it
        raise unreachable(address, error) from error


def unreachable(address: str, error: Exception) -> SlideError:
    """Say in a line why a file on another machine cannot be opened."""
    from obstore import exceptions

    if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        return SlideError(f"{address} is not there: look at the address")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError | PermissionError):
        return SlideError(f"{address} may not be read: it needs keys (for s3, AWS_ACCESS_KEY_ID and its secret)")
    if isinstance(error, exceptions.NotSupportedError):
        return SlideError(f"{address}: its server gives no parts of files: download the slide")
    return SlideAway(f"{address} cannot be reached ({_words(error)}): is this machine online, and the address right?")


def _changed(error: Exception) -> bool:
    from obstore import exceptions

    return isinstance(error, exceptions.PreconditionError)


def _words(error: Exception) -> str:
    """Return the last cause that an error names, in a few words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    return said.rsplit(": ", 1)[-1][:120] or type(error).__name__
