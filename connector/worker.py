"""What happens without being asked: deliver the outbox, run and follow computations, tidy up.

Nothing that concerns us polls: the worker sleeps until a change wakes it or a
message falls due. Only whether others have taken credentials back or changed their ledgers must be asked.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from connector.ports import Changes
from connector.services.commissioning import Commissioning
from connector.services.computing import Computing
from connector.services.delivering import OUTBOX, Delivering
from connector.services.exchanging import TRANSFERS
from connector.services.handing_over import HandingOver
from connector.services.housekeeping import Housekeeping
from connector.services.vetting import BETWEEN_CHECKS, Vetting
from connector.services.witnessing import Witnessing

_SAFETY_NET = timedelta(seconds=30)
"""Longest sleep: an event can be lost only through a fault, and then this finds what is left."""
_AFTER_FAILURE = 1.0
_BETWEEN_TIDYINGS = timedelta(days=1)
_BETWEEN_COMPARISONS = timedelta(hours=6)
_ROUNDS = "rounds"
"""Topic of those who look at every change."""

log = logging.getLogger("allmende.worker")


class Worker:
    """Runs the loops of one connector.

    Args:
        delivering: Empties the outbox.
        computing: Runs other participants' computations.
        commissioning: Follows our own.
        handing_over: Sends data files to where consumers want them.
        housekeeping: Throws away what nobody needs any more, at the start and then daily.
        vetting: Asks every few minutes whether partners' credentials have been taken back.
        witnessing: Compares partners' ledgers with what they have shown before, some times a day.
        messages: Wakes the delivery.
        computations: Wakes what looks after computations; messages that move do not.
    """

    def __init__(
        self,
        *,
        delivering: Delivering,
        computing: Computing,
        commissioning: Commissioning,
        handing_over: HandingOver,
        housekeeping: Housekeeping,
        vetting: Vetting,
        witnessing: Witnessing,
        messages: Changes,
        computations: Changes,
    ) -> None:
        self._delivering = delivering
        self._computing = computing
        self._commissioning = commissioning
        self._handing_over = handing_over
        self._housekeeping = housekeeping
        self._vetting = vetting
        self._witnessing = witnessing
        self._messages = messages
        self._computations = computations

    async def run(self) -> None:
        """Run until cancelled; a failure of one round is logged and does not end the loop."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._loop(self._delivering.deliver_due))
                group.create_task(self._pushes(group))
                group.create_task(self._rounds(self._computing.run_waiting, group))
                group.create_task(self._rounds(self._commissioning.follow_open, group))
                group.create_task(self._now_and_then(self._housekeeping.tidy, _BETWEEN_TIDYINGS))
                group.create_task(self._now_and_then(self._vetting.recheck, BETWEEN_CHECKS))
                group.create_task(self._comparing())
        finally:
            await self._delivering.aclose()

    async def _loop(self, step: Callable[[], Awaitable[timedelta | None]]) -> None:
        with self._messages.watch(OUTBOX) as watch:
            while not self._messages.closed:
                pause = _SAFETY_NET
                try:
                    due_in = await step()
                    pause = _SAFETY_NET if due_in is None else min(due_in, _SAFETY_NET)
                except Exception:
                    log.exception("delivering failed")
                    await asyncio.sleep(_AFTER_FAILURE)
                await watch.next(pause)

    async def _pushes(self, group: asyncio.TaskGroup) -> None:
        """Start every push that has become due; what an earlier process left behind comes first."""
        try:
            waiting = await self._handing_over.take_up()
        except Exception:
            log.exception("earlier pushes could not be taken up")
            waiting = ()
        with self._messages.watch(TRANSFERS) as watch:
            while not self._messages.closed:
                for pid in (*waiting, *self._handing_over.due()):
                    group.create_task(_guarded(partial(self._handing_over.push, pid)))
                waiting = ()
                await watch.next(_SAFETY_NET)

    async def _rounds(self, step: Callable[[], Awaitable[None]], group: asyncio.TaskGroup) -> None:
        """Start a round at every change: a round that waits must not keep the next one from starting."""
        with self._computations.watch(_ROUNDS) as watch:
            while not self._computations.closed:
                group.create_task(_guarded(step))
                await watch.next(_SAFETY_NET)

    async def _now_and_then(self, step: Callable[[], Awaitable[object]], pause: timedelta) -> None:
        while not self._messages.closed:
            await _guarded(step)
            await asyncio.sleep(pause.total_seconds())

    async def _comparing(self) -> None:
        # Not at the start: partners that were started together would not answer yet.
        await asyncio.sleep(_BETWEEN_COMPARISONS.total_seconds())
        await self._now_and_then(self._witnessing.compare_all, _BETWEEN_COMPARISONS)


async def _guarded(step: Callable[[], Awaitable[object]]) -> None:
    try:
        await step()
    except Exception:
        log.exception("a round failed")
