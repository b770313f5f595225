"""Programs that a run starts and always stops again."""

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STOP_SECONDS = 5


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody uses at this moment."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process: asked first, killed if it does not listen."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_on_termination() -> None:
    """Have SIGTERM end this program as an error would, so that it stops what it has started."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


@contextmanager
def run_directory(kept: Path | None) -> Iterator[Path]:
    """Where a run keeps its files: a new directory that was asked for, or a temporary one."""
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="allmende-interop-") as made:
            yield Path(made)
        return
    kept.mkdir(parents=True)
    yield kept.absolute()


def say(sentence: str, code: int) -> int:
    """Tell why a run ends, and with which exit code."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - this is a command
    return code
