"""Whoever watches a topic learns of its changes, of each one, and of no other."""

import asyncio
from datetime import timedelta

from connector.adapters.asyncio_changes import AsyncioChanges

LONG = timedelta(seconds=30)
SHORT = timedelta(seconds=0.01)


async def _is_woken(watching: asyncio.Task[None]) -> bool:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return watching.done()


async def test_a_change_wakes_those_who_watch_its_topic_and_no_others() -> None:
    changes = AsyncioChanges()
    with changes.watch("a") as first, changes.watch("a") as second, changes.watch("b") as other:
        tasks = [asyncio.create_task(watch.next(LONG)) for watch in (first, second, other)]
        await asyncio.sleep(0)
        changes.notify("a")
        assert [await _is_woken(task) for task in tasks] == [True, True, False]
        tasks[2].cancel()


async def test_a_change_between_two_looks_is_not_lost() -> None:
    changes = AsyncioChanges()
    with changes.watch("a") as watch:
        changes.notify("a")
        await asyncio.wait_for(watch.next(LONG), 1)


async def test_a_change_wakes_once() -> None:
    changes = AsyncioChanges()
    with changes.watch("a") as watch:
        changes.notify("a")
        await watch.next(LONG)
        began = asyncio.get_running_loop().time()
        await watch.next(SHORT)
        assert asyncio.get_running_loop().time() - began >= SHORT.total_seconds() / 2


async def test_without_a_topic_everybody_is_woken() -> None:
    changes = AsyncioChanges()
    with changes.watch("a") as first, changes.watch("b") as second:
        changes.notify()
        await asyncio.wait_for(asyncio.gather(first.next(LONG), second.next(LONG)), 1)


async def test_nobody_waits_once_the_connector_stops() -> None:
    changes = AsyncioChanges()
    with changes.watch("a") as before:
        changes.close()
        await asyncio.wait_for(before.next(LONG), 1)
    with changes.watch("a") as after:
        await asyncio.wait_for(after.next(LONG), 1)
    assert changes.closed
