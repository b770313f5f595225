"""Programs that a run starts and always stops again."""

import signal
import socket
import subprocess
import sys
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
