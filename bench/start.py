"""How long a connector takes to be ready, how much of that is loading code, and its memory."""

import ast
import http.client
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.measuring import MILLISECONDS, Table, ratio, spread, timed
from bench.participants import Participant, initialise

TIMES = 7
GOAL = 1.0
"""Seconds from the start of the process to the first 200 of /readyz."""
GOAL_IDLE = 150.0
"""MiB that a connector holds while nothing happens."""
_ROOT = Path(__file__).parents[1]
_OURS = ("connector", "schemas", "policies", "catalog")
_PATIENCE = 60.0
_PAUSE = 0.002
_IDLE = 1.0
_MEMORY = {
    "resident": "VmRSS",
    "of that its own": "RssAnon",
    "of that files mapped, such as libraries": "RssFile",
}
"""What is reported of the kernel's account of a process, and its name there."""
_OK = 200
_QUIETLY = (
    "import gc, sys, connector.__main__ as entry; gc.disable();"
    " sys.modules.update(dict.fromkeys(entry.NOT_FOR_CONNECTORS))"
)
"""Loading as the command does it."""


def measure() -> list[Table]:
    """Ready after process start, with a new database and with one that exists; and the imports alone."""
    with tempfile.TemporaryDirectory(prefix="allmende-bench-") as directory:
        root = Path(directory)
        new = [_seconds_to_ready(initialise(root / str(number), "new")) for number in range(TIMES)]
        known = initialise(root / "known", "known")
        _seconds_to_ready(known)
        again = [_seconds_to_ready(known) for _ in range(TIMES)]
        idle = _idle(known)
    rows = {
        "`allmende serve` to /readyz 200, new database": new,
        "`allmende serve` to /readyz 200, existing database": again,
        "`allmende serve --help`: all loaded, nothing started": _runs("-m", "connector", "serve", "--help"),
        "the third-party packages alone": _runs("-c", f"{_QUIETLY}; import {', '.join(_third_party())}"),
        "`python -c pass`": _runs("-c", "pass"),
    }
    return [
        Table(
            f"Start of a process (median of {TIMES})",
            ("what", "median", "fastest", "slowest", "of the goal"),
            [[name, *spread(times), ratio(sorted(times)[TIMES // 2], GOAL)] for name, times in rows.items()],
            [
                f"Goal: ready within {GOAL * MILLISECONDS:.0f} ms.",
                "The third-party row imports what our modules import of others, without ours.",
            ],
        ),
        Table(
            f"Memory of a connector that has been idle for {_IDLE:.0f} s",
            ("what", "MiB"),
            [[name, f"{idle[field]:.0f}"] for name, field in _MEMORY.items()],
            [f"Goal: at most {GOAL_IDLE:.0f} MiB resident; processes share what is mapped."],
        ),
    ]


def _seconds_to_ready(participant: Participant) -> float:
    """Start a connector, wait until it says that it is ready, and stop it."""
    began = time.perf_counter()
    with _ready(participant):
        return time.perf_counter() - began


def _idle(participant: Participant) -> dict[str, float]:
    """MiB per line of a connector's account, some time after it became ready; medians."""
    accounts = []
    for _ in range(TIMES):
        with _ready(participant) as process:
            time.sleep(_IDLE)
            accounts.append(_account(process.pid))
    return {field: statistics.median(account[field] for account in accounts) for field in _MEMORY.values()}


def _account(process: int) -> dict[str, float]:
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    sizes = re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    return {name: int(kibibytes) / 1024 for name, kibibytes in sizes}


@contextmanager
def _ready(participant: Participant) -> Iterator["subprocess.Popen[bytes]"]:
    """A connector that says it is ready; stopped at the end."""
    began = time.perf_counter()
    process = subprocess.Popen(participant.serve_command, stdout=subprocess.DEVNULL)
    try:
        while not _is_ready(participant.management):
            assert process.poll() is None, "the connector has ended before it was ready"
            assert time.perf_counter() - began < _PATIENCE, "the connector did not become ready"
            time.sleep(_PAUSE)
        yield process
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=_PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == _OK
    except OSError:
        return False
    finally:
        connection.close()


def _runs(*arguments: str) -> list[float]:
    def run() -> None:
        subprocess.run([sys.executable, *arguments], check=True, cwd=_ROOT, stdout=subprocess.DEVNULL)

    run()
    return timed(run, TIMES)


def _third_party() -> list[str]:
    """The third-party modules that a serving process loads because modules of ours name them."""
    program = f"{_QUIETLY}; import connector.serving; print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=_ROOT, capture_output=True, text=True
    )
    loaded = listed.stdout.split()
    named = {name for module in loaded for name in _named_by(module)}
    foreign = {name for name in named if name.split(".")[0] not in {*sys.stdlib_module_names, *_OURS}}
    return [name for name in loaded if name in foreign]


def _named_by(module: str) -> Iterator[str]:
    if module.split(".", maxsplit=1)[0] not in _OURS:
        return
    path = _ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
