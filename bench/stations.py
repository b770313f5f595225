"""Where the time of a negotiation goes, seen from inside both connector processes."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any

from bench.measuring import Table, milliseconds
from bench.observed import RESET, STATIONS
from bench.participants import initialise, meet, serving

NEGOTIATIONS = 100
WARM_UP = 5


def measure() -> list[Table]:
    """Calls and time per negotiation at each station, provider and consumer."""
    with TemporaryDirectory(prefix="allmende-bench-") as directory:
        provider, consumer = asyncio.run(_observed(Path(directory)))
    rows = [_row(station, provider, consumer) for station in STATIONS]
    processor = [milliseconds(one["processor"] / NEGOTIATIONS) for one in (provider, consumer)]
    rows.append(["processor time of the whole process", "", processor[0], "", processor[1]])
    return [
        Table(
            f"Per negotiation (mean of {NEGOTIATIONS}, one after another)",
            ("station", "provider: calls", "provider: time", "consumer: calls", "consumer: time"),
            rows,
            ["Stations contain each other: they do not add up. The timers themselves cost a little."],
        )
    ]


def _row(station: str, *sides: dict[str, Any]) -> list[str]:
    row = [station]
    for side in sides:
        calls, seconds = side["stations"].get(station, (0, 0.0))
        row += [f"{calls / NEGOTIATIONS:.1f}", milliseconds(seconds / NEGOTIATIONS)]
    return row


async def _observed(root: Path) -> list[dict[str, Any]]:
    """Negotiate between two connectors that time themselves; returns the figures of both."""
    names = ("provider", "consumer")
    participants = [initialise(root / name, name) for name in names]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(serving(one, observed_in=root / f"{name}.json"))
            for one, name in zip(participants, names, strict=True)
        ]
        async with meet(*participants) as both:
            for _ in range(WARM_UP):
                await both.negotiate()
            _reset(processes)
            for _ in range(NEGOTIATIONS):
                await both.negotiate()
    return [json.loads((root / f"{name}.json").read_text(encoding="utf-8")) for name in names]


def _reset(processes: Sequence[Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(RESET)
