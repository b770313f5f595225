"""Taking outputs out of a directory in which anything may lie."""

import os
import socket
from pathlib import Path

import pytest

from connector.protocol.jobs import JobLimits
from connector.sandbox.collection import collect, overflows, remove

SMALL = JobLimits(output_bytes=100, output_files=3)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def test_plain_files_are_read_in_the_order_of_their_names(out: Path) -> None:
    (out / "b").write_bytes(b"2")
    (out / "a").write_bytes(b"1")
    outputs, refused = collect(out, SMALL)
    assert [(file.name, file.content, file.size) for file in outputs] == [("a", b"1", 1), ("b", b"2", 1)]
    assert refused == ()


def test_links_pipes_and_directories_are_refused_by_name_and_never_opened(tmp_path: Path, out: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (out / "1").symlink_to(secret)
    os.mkfifo(out / "2")
    (out / "3").mkdir()
    outputs, refused = collect(out, SMALL)
    assert outputs == ()
    assert [entry.name for entry in refused] == ["1", "2", "3"]


def test_a_second_name_of_a_file_outside_is_refused(tmp_path: Path, out: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (out / "copy").hardlink_to(tmp_path / "secret")
    outputs, refused = collect(out, SMALL)
    assert outputs == ()
    assert [entry.name for entry in refused] == ["copy"]


def test_a_name_that_is_no_plain_text_is_refused(out: Path) -> None:
    Path(os.fsdecode(os.fsencode(out) + b"/\xff\n")).write_text("x")
    outputs, refused = collect(out, SMALL)
    assert outputs == ()
    assert [entry.name for entry in refused] == [r"'\udcff\n'"]


def test_too_many_files_or_bytes_refuse_everything(out: Path) -> None:
    for name in "abc":
        (out / name).write_bytes(b"x" * 33)
    assert len(collect(out, SMALL)[0]) == 3
    assert not overflows(out, SMALL)
    (out / "c").write_bytes(b"x" * 35)
    assert overflows(out, SMALL)
    assert collect(out, SMALL)[0] == ()
    (out / "c").write_bytes(b"x")
    (out / "d").write_bytes(b"x")
    assert overflows(out, SMALL)
    outputs, refused = collect(out, SMALL)
    assert outputs == ()
    assert "more than 3 outputs" in refused[0].reason["en"]


def test_a_subdirectory_counts_as_too_much(out: Path) -> None:
    (out / "hidden").mkdir()
    assert overflows(out, SMALL)


def test_removing_copes_with_depth_beyond_any_path_name(tmp_path: Path) -> None:
    top = tmp_path / "own"
    (top / "out").mkdir(parents=True)
    (top / "out" / "file").write_text("x")
    (top / "out" / "link").symlink_to(tmp_path)
    here = os.open(top / "out", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", 0o700, dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (tmp_path / "untouched").write_text("x")
    remove(top)
    assert not top.exists()
    assert (tmp_path / "untouched").exists()


def test_a_socket_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out)  # a socket's path may have 107 bytes only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert [entry.name for entry in collect(out, SMALL)[1]] == ["s"]
