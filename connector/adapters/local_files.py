"""Reads data files of this machine as they are, and notices when one is replaced meanwhile."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from connector.ports import DataFile
from connector.queries.errors import DataUnreadableError

_CHUNK_BYTES: Final = 1 << 18


class LocalFiles:
    """Data files on disk; implements `connector.ports.DataFiles`.

    Limitation: each file is read twice, once for its digest and once to be
    sent. A file that is written to in place, keeping its size and its time of
    change, is not noticed.
    """

    async def examine(self, source: Path) -> DataFile:
        """Look at a data file.

        Raises:
            DataUnreadableError: It is missing or cannot be read.
        """
        return await asyncio.to_thread(_examined, source)

    async def chunks(self, file: DataFile) -> AsyncIterator[bytes]:
        """The file's bytes, piece by piece.

        Raises:
            DataUnreadableError: It is not the file any more that was looked at.
        """
        opened = await asyncio.to_thread(_opened, file)
        try:
            while chunk := await asyncio.to_thread(opened.read, _CHUNK_BYTES):
                yield chunk
        finally:
            opened.close()


def _examined(source: Path) -> DataFile:
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return DataFile(source, os.fstat(file.fileno()).st_size, digest, _version(file))
    except OSError as problem:
        raise DataUnreadableError(f"{source} cannot be read: {problem.strerror}.") from problem


def _opened(file: DataFile) -> BufferedReader:
    try:
        opened = file.path.open("rb")
    except OSError as problem:
        raise DataUnreadableError(f"{file.path} cannot be read: {problem.strerror}.") from problem
    if _version(opened) != file.version:
        opened.close()
        raise DataUnreadableError(f"{file.path} was changed while it was about to be sent.")
    return opened


def _version(file: BufferedReader) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
