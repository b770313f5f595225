"""How fast a data file leaves: our data plane's way, Starlette's, and plain sendfile as the yardstick.

All of them send the same file over loopback to the same client, which reads it
into one buffer and looks at nothing. The server is the one of the connector:
uvicorn on uvloop. ASGI knows an extension for sendfile (`http.response.pathsend`)
that uvicorn does not offer, and uvloop has no `sendfile`: bytes pass through us.
"""

import asyncio
import mmap
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from bench.measuring import Table, milliseconds, ratio
from connector.adapters.local_files import LocalFiles
from connector.ports import DataFile

SIZE: Final = 512 << 20
TIMES: Final = 7
_BLOCK: Final = 1 << 20
_GIGA: Final = 1e9
_SIZES: Final = {"64 KiB": 1 << 16, "256 KiB": 1 << 18, "1 MiB": 1 << 20, "4 MiB": 1 << 22}
_NOTES: Final = (
    f"{SIZE >> 20} MiB, page cache hot, server and client on the same cores; {TIMES} runs in turn.",
    """A memory map is not used: a file that shrinks meanwhile could end the process, and what is not in
memory would hold up every other request.""",
)


@dataclass(frozen=True, slots=True)
class _Run:
    """One delivery.

    Attributes:
        speed: Gigabytes per second of wall clock.
        work: Seconds of processor time that the server spent on a gigabyte.
    """

    speed: float
    work: float


def measure() -> list[Table]:
    """Speed and work of each way, alternating, so that noise meets all of them alike."""
    with tempfile.TemporaryDirectory(prefix="allmende-bench-") as directory:
        file = Path(directory) / "data.bin"
        _fill(file)
        with _server("asgi", file) as asgi, _server("sendfile", file) as plain:
            ways = {
                "socket.sendfile, without an HTTP server": (plain, "/"),
                "the data plane's way (`LocalFiles.chunks`)": (asgi, "/chunks"),
                "Starlette's FileResponse (64 KiB)": (asgi, "/file"),
                **{f"read in a thread, {name}": (asgi, f"/read?{size}") for name, size in _SIZES.items()},
                "memory map, slices of 4 MiB": (asgi, f"/map?{1 << 22}"),
            }
            runs: dict[str, list[_Run]] = {name: [] for name in ways}
            for _ in range(TIMES):
                for name, (server, path) in ways.items():
                    runs[name].append(_fetched(server, path))
    yardstick = statistics.median(run.speed for run in next(iter(runs.values())))
    rows = [_row(name, found, yardstick) for name, found in runs.items()]
    head = ("way", "median", "slowest", "fastest", "of sendfile", "processor time per GB")
    return [Table("A data file over loopback", head, rows, _NOTES)]


def _row(name: str, runs: list[_Run], yardstick: float) -> list[str]:
    speeds = [run.speed for run in runs]
    work = statistics.median(run.work for run in runs)
    figures = (statistics.median(speeds), min(speeds), max(speeds))
    shown = [f"{speed:.2f} GB/s" for speed in figures]
    return [name, *shown, ratio(figures[0], yardstick), milliseconds(work)]


@dataclass(frozen=True, slots=True)
class _Server:
    port: int
    pid: int

    def work(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fill(file: Path) -> None:
    block = bytes(range(256)) * (_BLOCK // 256)
    with file.open("wb") as opened:
        for _ in range(SIZE // _BLOCK):
            opened.write(block)


@contextmanager
def _server(kind: str, file: Path) -> Iterator[_Server]:
    """A server process of its own."""
    command = [sys.executable, "-m", "bench.delivery", kind, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield _Server(int(process.stdout.readline()), process.pid)
        finally:
            process.terminate()


def _fetched(server: _Server, path: str) -> _Run:
    """Fetch the whole file once."""
    buffer = bytearray(4 * _BLOCK)
    worked = server.work()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        began = time.perf_counter()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        received = 0
        while count := connection.recv_into(buffer):
            received += count
        elapsed = time.perf_counter() - began
    assert received >= SIZE, received
    gigabytes = SIZE / _GIGA
    return _Run(gigabytes / elapsed, (server.work() - worked) / gigabytes)


# the servers


def _serve_plainly(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            with connection, file.open("rb") as opened:
                connection.recv(4096)
                connection.sendfile(opened)


def _serve_asgi(file: Path) -> None:
    app = Starlette(
        routes=[
            Route("/file", partial(_file, file)),
            Route("/chunks", partial(_chunks, file)),
            Route("/read", partial(_read, file)),
            Route("/map", partial(_mapped, file)),
        ]
    )
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        uvloop.run(uvicorn.Server(config).serve(sockets=[listening]))


async def _file(file: Path, _: Request) -> Response:
    return FileResponse(file)


async def _chunks(file: Path, _: Request) -> Response:
    found = await asyncio.to_thread(file.stat)
    version = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return _streamed(LocalFiles().chunks(DataFile(file, SIZE, "", version)))


async def _read(file: Path, request: Request) -> Response:
    size = int(request.url.query)

    async def pieces() -> AsyncIterator[bytes]:
        with file.open("rb", buffering=0) as opened:
            while piece := await asyncio.to_thread(opened.read, size):
                yield piece

    return _streamed(pieces())


async def _mapped(file: Path, request: Request) -> Response:
    size = int(request.url.query)

    async def pieces() -> AsyncIterator[memoryview]:
        with file.open("rb") as opened:
            view = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
            for place in range(0, SIZE, size):
                yield view[place : place + size]

    return _streamed(pieces())


def _streamed(pieces: AsyncIterator[bytes] | AsyncIterator[memoryview]) -> Response:
    return StreamingResponse(pieces, headers={"content-length": str(SIZE)})


if __name__ == "__main__":
    {"asgi": _serve_asgi, "sendfile": _serve_plainly}[sys.argv[1]](Path(sys.argv[2]))
