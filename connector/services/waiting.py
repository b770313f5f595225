"""Waiting: read again at every change, until what was read has come to rest or the time is over."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from connector.ports import Changes

T = TypeVar("T")


async def settled(
    changes: Changes,
    topic: str,
    read: Callable[[], Awaitable[T]],
    is_settled: Callable[[T], bool],
    patience: timedelta,
) -> T:
    """Wait for something to come to rest.

    Args:
        changes: Tells when to look again.
        topic: What has to change, such as the pid of an exchange.
        read: Reads it.
        is_settled: Whether it has come to rest.
        patience: Longest wait.

    Returns:
        What was read last: settled, or not, when the time is over or the connector stops.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total_seconds()
    with changes.watch(topic) as watch:
        while True:
            value = await read()
            remaining = deadline - loop.time()
            if is_settled(value) or remaining <= 0 or changes.closed:
                return value
            await watch.next(timedelta(seconds=remaining))
