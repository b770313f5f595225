"""How long a contract takes: from the request to the agreement that both parties have signed.

Two connector processes on this machine, each with its own SQLite file; asked
for over the consumer's management API, every state durable before it counts.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.measuring import Table, milliseconds, percentile
from bench.participants import Pair, pair
from connector.evidence.verification import verify_file

ONE_AFTER_ANOTHER = 100
AT_ONCE = 16
CROWD = 160
WARM_UP = 5
GOAL = 0.1
"""Seconds: half of the negotiations that come one after another shall be faster."""
_BOTH = 2


@dataclass(frozen=True, slots=True)
class _Outcome:
    seconds: float
    state: str
    agreement: str | None


@dataclass(frozen=True, slots=True)
class _Round:
    """Some negotiations, so many at once."""

    at_once: int
    outcomes: Sequence[_Outcome]
    seconds: float
    signed: int

    def row(self) -> list[str]:
        times = [outcome.seconds for outcome in self.outcomes]
        lost = sum(outcome.state != "FINALIZED" for outcome in self.outcomes)
        return [
            str(self.at_once),
            str(len(times)),
            milliseconds(percentile(times, 0.5)),
            milliseconds(percentile(times, 0.95)),
            f"{len(times) / self.seconds:.1f}",
            str(lost),
            str(self.signed),
        ]


def measure() -> list[Table]:
    """Negotiations one after another, and sixteen at once."""
    rounds = asyncio.run(_rounds())
    return [
        Table(
            "Negotiation, request to FINALIZED, two processes over loopback",
            ("at once", "n", "p50", "p95", "per second", "ended otherwise", "signed by both"),
            [one.row() for one in rounds],
            [
                f"Goal: p50 under {milliseconds(GOAL)} one after another; this is {_share(rounds[0])} of it.",
                f"Both processes and the client that measures share {os.cpu_count()} cores.",
            ],
        )
    ]


def _share(one: _Round) -> str:
    return f"{percentile([outcome.seconds for outcome in one.outcomes], 0.5) / GOAL:.0%}"


async def _rounds() -> list[_Round]:
    async with pair() as both:
        await _round(both, WARM_UP, 1)
        return [await _round(both, ONE_AFTER_ANOTHER, 1), await _round(both, CROWD, AT_ONCE)]


async def _round(both: Pair, count: int, at_once: int) -> _Round:
    places = asyncio.Semaphore(at_once)

    async def one() -> _Outcome:
        async with places:
            began = time.perf_counter()
            outcome = await both.negotiate()
            return _Outcome(time.perf_counter() - began, outcome["state"], outcome["agreement_id"])

    began = time.perf_counter()
    outcomes = await asyncio.gather(*(one() for _ in range(count)))
    elapsed = time.perf_counter() - began
    return _Round(at_once, outcomes, elapsed, await _signed(both, outcomes))


async def _signed(both: Pair, outcomes: Sequence[_Outcome]) -> int:
    """How many agreements carry the valid signatures of two parties."""
    agreements = [outcome.agreement for outcome in outcomes if outcome.agreement]
    files = [await both.evidence(agreement) for agreement in agreements]
    return sum(len(verify_file(file).parties) == _BOTH for file in files)
