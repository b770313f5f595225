"""Data files on this machine: ours as they are, part by part, and those that others have sent us."""

import asyncio
import hashlib
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from typing import Final

from connector.ports import DataFile, TooMuchDataError
from connector.queries.errors import DataUnreadableError

_CHUNK_BYTES: Final = 1 << 20
"""As fast as larger pieces and less memory per reader; measured by `bench.delivery`."""
_WRITE_BYTES: Final = 1 << 20
_KNOWN_DIGESTS: Final = 64
_SETTLED_NANOSECONDS: Final = 1_000_000_000
MOST_RECEIVED_BYTES: Final = 64_000_000_000
"""A larger file is not taken, however much room there is."""
_NAME: Final = re.compile(r"[0-9A-Za-z-]+\.[a-z]+", re.ASCII)


class LocalFiles:
    """Data files on disk; implements `connector.ports.DataFiles`.

    A file's digest is computed once per version of the file, and a version is
    told by device, inode, size and both times of change; the one of the inode
    cannot be set back by whoever writes the file. A version younger than a
    second is measured at every look: two changes can have the same time.

    Limitation: a file that is written to while it is being sent is noticed
    before its first byte leaves, and at the end, when the connection is broken
    off; not at once.
    """

    def __init__(self) -> None:
        self._digests: dict[tuple[int, ...], str] = {}

    async def examine(self, source: Path) -> DataFile:
        """Look at a data file.

        Raises:
            DataUnreadableError: It is missing or cannot be read.
        """
        return await asyncio.to_thread(self._examined, source)

    async def chunks(self, file: DataFile, first: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """A part of the file's bytes, piece by piece.

        Raises:
            DataUnreadableError: It is not the file any more that was looked at.
        """
        left = (file.size if end is None else end) - first
        opened = await asyncio.to_thread(_opened, file, first)
        try:
            while left > 0 and (chunk := await asyncio.to_thread(opened.read, min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                if left <= 0:
                    # The last piece makes the answer whole: without it the receiver knows that it is not.
                    _require_version(opened, file)
                yield chunk
        finally:
            opened.close()

    def _examined(self, source: Path) -> DataFile:
        try:
            with source.open("rb", buffering=0) as opened:
                version = _version(opened)
                digest = self._digests.get(version)
                if digest is None:
                    digest = hashlib.file_digest(opened, "sha256").hexdigest()
                    # Only where it stands still: otherwise this could be the digest of no version.
                    if _version(opened) == version and _is_settled(opened):
                        self._remember(version, digest)
                return DataFile(source, os.fstat(opened.fileno()).st_size, digest, version)
        except OSError as problem:
            raise DataUnreadableError(f"{source} cannot be read: {problem.strerror}.") from problem

    def _remember(self, version: tuple[int, ...], digest: str) -> None:
        self._digests[version] = digest
        while len(self._digests) > _KNOWN_DIGESTS:
            self._digests.pop(next(iter(self._digests)), None)


class LocalReceivedFiles:
    """Files that others have sent us, in one directory; implements `connector.ports.ReceivedFiles`.

    A file is written under another name until it is complete, and fills at most
    half of the room that is free when it begins to arrive.

    Args:
        directory: Where they lie; made on first use, for its owner only.
        most_bytes: Largest file that is taken.
    """

    def __init__(self, directory: Path, most_bytes: int = MOST_RECEIVED_BYTES) -> None:
        self._directory = directory
        self._most_bytes = most_bytes

    async def keep(self, name: str, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
        """Keep a file, as a whole or not at all.

        Raises:
            TooMuchDataError: There are more bytes than we keep; nothing is kept.
        """
        target = self._path(name)
        part = target.with_name(f".{name}.part")
        most = await asyncio.to_thread(self._room)
        try:
            size, digest = await _written(part, chunks, most)
            await asyncio.to_thread(part.replace, target)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
        return size, digest

    async def discard(self, name: str) -> None:
        """Forget a file; one that is not there is no problem."""
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    async def chunks(self, name: str) -> AsyncIterator[bytes]:
        """A kept file's bytes, piece by piece.

        Raises:
            DataUnreadableError: It is not there any more.
        """
        try:
            opened = await asyncio.to_thread(self._path(name).open, "rb", 0)
        except OSError as problem:
            raise DataUnreadableError(f"The received file {name} is not there any more.") from problem
        try:
            while chunk := await asyncio.to_thread(opened.read, _CHUNK_BYTES):
                yield chunk
        finally:
            opened.close()

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a received file")
        return self._directory / name

    def _room(self) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return min(self._most_bytes, shutil.disk_usage(self._directory).free // 2)


async def _written(part: Path, chunks: AsyncIterator[bytes], most: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    opened = await asyncio.to_thread(part.open, "wb")

    def write(piece: bytes) -> None:
        opened.write(piece)
        digest.update(piece)

    def finish() -> None:
        opened.flush()
        os.fsync(opened.fileno())

    try:
        waiting = bytearray()
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise TooMuchDataError(f"More than {most} bytes are not taken; nothing was kept.")
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await asyncio.to_thread(write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(write, bytes(waiting))
        await asyncio.to_thread(finish)
    finally:
        opened.close()
    return size, digest.hexdigest()


def _opened(file: DataFile, first: int) -> FileIO:
    try:
        opened = file.path.open("rb", buffering=0)
    except OSError as problem:
        raise DataUnreadableError(f"{file.path} cannot be read: {problem.strerror}.") from problem
    try:
        _require_version(opened, file)
    except DataUnreadableError:
        opened.close()
        raise
    opened.seek(first)
    return opened


def _require_version(opened: FileIO, file: DataFile) -> None:
    if _version(opened) != file.version:
        raise DataUnreadableError(f"{file.path} was changed while it was about to be sent.")


def _is_settled(file: FileIO) -> bool:
    return time.time_ns() - os.fstat(file.fileno()).st_ctime_ns > _SETTLED_NANOSECONDS


def _version(file: FileIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
