"""Data files are sent as they were when somebody looked, or not at all."""

import hashlib
import os
from pathlib import Path

import pytest

from connector.adapters.local_files import LocalFiles
from connector.queries.errors import DataUnreadableError

CONTENT = bytes(range(256)) * 2000
"""More than one chunk."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(CONTENT)
    return path


async def test_a_file_is_measured_and_read_whole(source: Path) -> None:
    files = LocalFiles()
    file = await files.examine(source)
    assert (file.size, file.digest) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    chunks = [chunk async for chunk in files.chunks(file)]
    assert len(chunks) == 2
    assert b"".join(chunks) == CONTENT


async def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadableError, match="cannot be read: No such file"):
        await LocalFiles().examine(tmp_path / "missing.csv")


async def test_a_file_that_took_its_place_is_not_sent(source: Path, tmp_path: Path) -> None:
    files = LocalFiles()
    file = await files.examine(source)
    other = tmp_path / "other.csv"
    other.write_bytes(CONTENT)
    os.replace(other, source)  # noqa: PTH105 - a synchronous call on purpose: nothing else runs
    with pytest.raises(DataUnreadableError, match="was changed"):
        [chunk async for chunk in files.chunks(file)]


async def test_a_file_that_vanished_is_not_sent(source: Path) -> None:
    files = LocalFiles()
    file = await files.examine(source)
    os.unlink(source)  # noqa: PTH108 - likewise
    with pytest.raises(DataUnreadableError, match="No such file"):
        [chunk async for chunk in files.chunks(file)]
