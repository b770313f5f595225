"""How long a contract takes: from the request to the agreement, for two of our connectors and for two EDCs.

Two connector processes on this machine for each contestant, one contestant after
the other. Ours have their own SQLite file each, sign, and save every state
before it counts; EDC keeps everything in memory and signs nothing. Both are asked
over their management API, and both say themselves when a negotiation has ended:
ours in the answer to a request that waits, EDC in a callback. Nothing polls.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bench.edc import TUNED_MILLISECONDS, VERSION, EdcPair, edc_pair
from bench.measuring import Table, milliseconds, percentile
from bench.memory import Memory, memory_of
from bench.participants import Pair, pair
from connector.evidence.verification import verify_file
from tests.interop.edc import EdcError
from tests.interop.maven import JavaMissingError, UnresolvedError, require_java

GOAL: Final = 0.012
"""Seconds: half of the negotiations that come one after another shall be faster."""
GOAL_PER_SECOND: Final = 100
_BOTH: Final = 2
_FINALIZED: Final = "FINALIZED"


@dataclass(frozen=True, slots=True)
class _Ended:
    """How one negotiation has ended, and where the agreement lies that both have signed, if anywhere."""

    state: str
    agreement: str | None = None


@dataclass(frozen=True, slots=True)
class _Contest:
    """Two connectors that are ready.

    Attributes:
        ready_seconds: Start of the process to ready, provider and consumer.
        negotiate: One negotiation, to its end.
        memory: What provider and consumer hold now.
        signed: How many of these agreements carry the valid signatures of both; None where nobody signs.
    """

    ready_seconds: Sequence[float]
    negotiate: Callable[[], Awaitable[_Ended]]
    memory: Callable[[], Sequence[Memory]]
    signed: Callable[[Sequence[str]], Awaitable[int]] | None


@dataclass(frozen=True, slots=True)
class _Contestant:
    """Who is measured, and with how many negotiations.

    Attributes:
        name: As it stands in the table.
        warm_up: Negotiations before the first that counts.
        rounds: So many at once, and so many in all.
        start: Makes the two connectors.
    """

    name: str
    warm_up: int
    rounds: Mapping[int, int]
    start: Callable[[], AbstractAsyncContextManager[_Contest]]

    @property
    def negotiations(self) -> int:
        """All of them."""
        return self.warm_up + sum(self.rounds.values())


@dataclass(frozen=True, slots=True)
class _Round:
    """Some negotiations, so many at once."""

    at_once: int
    ended: Sequence[tuple[float, _Ended]]
    seconds: float
    signed: int | None

    @property
    def median(self) -> float:
        """Seconds that half of them did not exceed."""
        return percentile(self._times, 0.5)

    @property
    def per_second(self) -> float:
        """Those that led to an agreement, per second."""
        return (len(self.ended) - self.lost) / self.seconds

    @property
    def lost(self) -> int:
        """How many ended otherwise than FINALIZED."""
        return sum(ended.state != _FINALIZED for _, ended in self.ended)

    def row(self, name: str) -> list[str]:
        """The round as a line of the table."""
        return [
            name,
            str(self.at_once),
            str(len(self.ended)),
            milliseconds(self.median),
            milliseconds(percentile(self._times, 0.95)),
            f"{self.per_second:.1f}",
            str(self.lost),
            "none" if self.signed is None else str(self.signed),
        ]

    @property
    def _times(self) -> list[float]:
        return [seconds for seconds, _ in self.ended]


@dataclass(frozen=True, slots=True)
class _Result:
    """What one contestant has shown."""

    contestant: _Contestant
    ready_seconds: Sequence[float]
    idle: Sequence[Memory]
    after: Sequence[Memory]
    rounds: Sequence[_Round]

    def processes(self) -> list[str]:
        """Start and memory as a line of the table."""
        return [
            self.contestant.name,
            _each(milliseconds(seconds) for seconds in self.ready_seconds),
            _each(memory.written for memory in self.idle),
            _each(memory.written for memory in self.after),
            str(self.contestant.negotiations),
        ]


def measure() -> list[Table]:
    """Negotiations one after another, 16 and 64 at once, and what the processes need for it."""
    reason = _why_without_edc()
    results = [asyncio.run(_result(_OURS))]
    for contestant in () if reason else _EDCS:
        try:
            results.append(asyncio.run(_result(contestant)))
        except (EdcError, UnresolvedError) as problem:
            reason = f"{contestant.name} could not be measured: {problem}"
    return [_speed(results, reason), _processes(results)]


def _why_without_edc() -> str | None:
    try:
        require_java()
    except JavaMissingError as missing:
        return f"EDC was not measured: {missing}"
    return None


def _speed(results: Sequence[_Result], reason: str | None) -> Table:
    return Table(
        "Negotiation, request to FINALIZED, two processes over loopback",
        ("", "at once", "n", "p50", "p95", "per second", "ended otherwise", "signed by both"),
        [one.row(result.contestant.name) for result in results for one in result.rounds],
        [
            _against_the_goal(results[0].rounds),
            *_against_the_others(results),
            *_NOTES,
            *([reason] if reason else []),
        ],
    )


_NOTES: Final = (
    """Ours: SQLite with full sync, each state on disk before it counts, two signatures. EDC: stores in
memory, nothing signed, mock identities. The time runs from the request to the management API until the
consumer's connector says by itself that the negotiation has ended: in the answer to a request that waits
(ours), in a callback (EDC).""",
    f"Both processes and the client that measures share {os.cpu_count()} cores.",
)
_MEMORY_NOTES: Final = (
    """Resident memory of each process; with a plus, of the programs that it keeps ready beside itself, such
as the sandbox for queries. Idle: two seconds after the catalog was read.""",
    """Ready: ours when it says so on stdout, as both listeners accept connections; EDC when its startup check
answers, asked every 20 ms.""",
)


def _against_the_goal(ours: Sequence[_Round]) -> str:
    fastest = max(one.per_second for one in ours)
    lost = sum(one.lost for one in ours)
    return (
        f"Goal for ours: p50 under {milliseconds(GOAL)} one after another ({_held(ours[0].median < GOAL)},"
        f" {ours[0].median / GOAL:.0%} of it), {GOAL_PER_SECOND} a second"
        f" ({_held(fastest >= GOAL_PER_SECOND)}, {fastest:.0f}), none lost ({_held(lost == 0)})."
    )


def _held(is_so: bool) -> str:  # noqa: FBT001 - one word for it
    return "reached" if is_so else "missed"


def _against_the_others(results: Sequence[_Result]) -> list[str]:
    """How many times as long the others take."""
    ours = results[0].rounds[0].median
    return [
        f"One after another, {one.contestant.name}: {one.rounds[0].median / ours:.0f} times as long as ours."
        for one in results[1:]
    ]


def _processes(results: Sequence[_Result]) -> Table:
    return Table(
        "The processes behind it: provider / consumer",
        ("", "ready after process start", "memory, idle", "memory, afterwards", "after negotiations"),
        [result.processes() for result in results],
        _MEMORY_NOTES,
    )


def _each(texts: Iterable[str]) -> str:
    return " / ".join(texts)


# measuring

_REST_SECONDS: Final = 2.0


async def _result(contestant: _Contestant) -> _Result:
    async with contestant.start() as contest:
        await asyncio.sleep(_REST_SECONDS)
        idle = contest.memory()
        await _round(contest, contestant.warm_up, 1)
        rounds = [await _round(contest, count, at_once) for at_once, count in contestant.rounds.items()]
        return _Result(contestant, contest.ready_seconds, idle, contest.memory(), rounds)


async def _round(contest: _Contest, count: int, at_once: int) -> _Round:
    places = asyncio.Semaphore(at_once)

    async def one() -> tuple[float, _Ended]:
        async with places:
            began = time.perf_counter()
            ended = await contest.negotiate()
            return time.perf_counter() - began, ended

    began = time.perf_counter()
    all_ended = await asyncio.gather(*(one() for _ in range(count)))
    elapsed = time.perf_counter() - began
    agreements = [ended.agreement for _, ended in all_ended if ended.agreement is not None]
    signed = None if contest.signed is None else await contest.signed(agreements)
    return _Round(at_once, all_ended, elapsed, signed)


# who is measured


@asynccontextmanager
async def _ours() -> AsyncIterator[_Contest]:
    async with pair() as both:

        async def negotiate() -> _Ended:
            outcome = await both.negotiate()
            return _Ended(outcome["state"], outcome["agreement_id"])

        yield _Contest(
            both.ready_seconds,
            negotiate,
            lambda: [memory_of(pid) for pid in both.processes],
            lambda agreements: _signed(both, agreements),
        )


async def _signed(both: Pair, agreements: Sequence[str]) -> int:
    """How many agreements carry the valid signatures of two parties."""
    files = [await both.evidence(agreement) for agreement in agreements]
    return sum(len(verify_file(file).parties) == _BOTH for file in files)


@asynccontextmanager
async def _edcs(loop_milliseconds: int | None) -> AsyncIterator[_Contest]:
    async with edc_pair(loop_milliseconds) as both:
        yield _Contest(
            [one.ready_seconds for one in (both.provider, both.consumer)],
            lambda: _edc_ended(both),
            lambda: [memory_of(one.pid) for one in (both.provider, both.consumer)],
            None,
        )


async def _edc_ended(both: EdcPair) -> _Ended:
    return _Ended(await both.negotiate())


_OURS: Final = _Contestant("Allmende", 10, {1: 150, 16: 160, 64: 320}, _ours)
_EDCS: Final = (
    _Contestant(f"EDC {VERSION}, default loops", 3, {1: 15, 16: 192, 64: 448}, lambda: _edcs(None)),
    _Contestant(
        f"EDC {VERSION}, {TUNED_MILLISECONDS} ms loops",
        20,
        {1: 100, 16: 160, 64: 320},
        lambda: _edcs(TUNED_MILLISECONDS),
    ),
)
