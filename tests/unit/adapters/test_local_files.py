"""Data files are sent as they were when somebody looked, or not at all."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connector.adapters import local_files
from connector.adapters.local_files import LocalFiles, LocalReceivedFiles
from connector.ports import TooMuchDataError
from connector.queries.errors import DataUnreadableError

_TICK = 0.02
"""Longer than a tick of the clock that stamps files."""
CONTENT = bytes(range(256)) * 6000
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


@pytest.mark.parametrize(
    ("first", "end"), [(0, 1), (1_048_575, 1_048_577), (1_100_000, None), (1_535_999, 1_536_000)]
)
async def test_a_part_of_a_file_is_read(source: Path, first: int, end: int | None) -> None:
    files = LocalFiles()
    file = await files.examine(source)
    assert b"".join([chunk async for chunk in files.chunks(file, first, end)]) == CONTENT[first:end]


async def test_a_file_that_changes_while_it_is_sent_is_not_sent_to_its_end(source: Path) -> None:
    files = LocalFiles()
    chunks = files.chunks(await files.examine(source))
    begun = await anext(chunks)
    await asyncio.sleep(_TICK)
    _overwrite(source, b"other bytes")
    with pytest.raises(DataUnreadableError, match="was changed"):
        [chunk async for chunk in chunks]
    assert len(begun) < len(CONTENT)


async def test_a_change_that_hides_itself_is_seen_at_the_next_look(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "_SETTLED_NANOSECONDS", 0)
    files = LocalFiles()
    before = await files.examine(source)
    await asyncio.sleep(_TICK)
    _overwrite(source, bytes(len(CONTENT)))
    after = await files.examine(source)
    assert after.digest == hashlib.sha256(bytes(len(CONTENT))).hexdigest() != before.digest


async def test_a_file_that_stands_still_is_measured_once(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "_SETTLED_NANOSECONDS", 0)
    await asyncio.sleep(_TICK)
    files = LocalFiles()
    first = await files.examine(source)
    monkeypatch.setattr(local_files.hashlib, "file_digest", None)
    assert await files.examine(source) == first


async def test_a_file_that_has_just_been_written_is_measured_again_at_every_look(source: Path) -> None:
    """Two changes within one tick of the file system's clock look the same."""
    files = LocalFiles()
    for content in (CONTENT, bytes(len(CONTENT)), CONTENT):
        _overwrite(source, content)
        assert (await files.examine(source)).digest == hashlib.sha256(content).hexdigest()


def _overwrite(source: Path, content: bytes) -> None:
    """Change a file in place, and set its time of change back."""
    times = source.stat()
    with source.open("r+b") as opened:
        opened.write(content)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))


# files of others


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_a_received_file_is_kept_measured_and_given_back(tmp_path: Path) -> None:
    files = LocalReceivedFiles(tmp_path / "received")
    kept = await files.keep("a-1.csv", _pieces(CONTENT[:7], CONTENT[7:], b""))
    assert kept == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert b"".join([chunk async for chunk in files.chunks("a-1.csv")]) == CONTENT
    assert _names(tmp_path / "received") == ["a-1.csv"]
    assert (tmp_path / "received").stat().st_mode & 0o777 == 0o700


async def test_a_file_beyond_the_limit_or_broken_off_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 10
        raise ConnectionResetError

    files = LocalReceivedFiles(tmp_path, most_bytes=100)
    with pytest.raises(TooMuchDataError, match="More than 100 bytes"):
        await files.keep("a.bin", _pieces(b"x" * 60, b"x" * 60))
    with pytest.raises(ConnectionResetError):
        await files.keep("a.bin", broken())
    assert _names(tmp_path) == []
    assert (await files.keep("a.bin", _pieces(b"x" * 100)))[0] == 100


async def test_a_discarded_file_is_gone_and_discarding_it_again_is_no_problem(tmp_path: Path) -> None:
    files = LocalReceivedFiles(tmp_path)
    await files.keep("a.bin", _pieces(b"x"))
    await files.discard("a.bin")
    await files.discard("a.bin")
    with pytest.raises(DataUnreadableError, match="not there any more"):
        [chunk async for chunk in files.chunks("a.bin")]


@pytest.mark.parametrize("name", ["../a.bin", "a/b.bin", ".a.bin", "a", "", "a.bin\n", "ä.bin"])
async def test_a_received_file_has_a_plain_name_or_is_not_touched(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a received file"):
        await LocalReceivedFiles(tmp_path / "received").keep(name, _pieces(b"x"))
    assert _names(tmp_path) == []
