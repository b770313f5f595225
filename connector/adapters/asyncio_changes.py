"""Tells waiting tasks of one event loop that something has changed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta


class AsyncioWatch:
    """Somebody who watches; a change between two looks is not lost."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something has changed."""
        self._changed.set()

    async def next(self, timeout: timedelta) -> None:  # noqa: ASYNC109 - the port's promise
        """Wait for a change since the last call, or until the time has passed."""
        if not self._changed.is_set():
            try:
                async with asyncio.timeout(timeout.total_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                return
        self._changed.clear()


class AsyncioChanges:
    """Wakes those who watch a topic; they look for themselves."""

    def __init__(self) -> None:
        self._watches: dict[str, set[AsyncioWatch]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the connector is stopping."""
        return self._closed

    def notify(self, *topics: str) -> None:
        """Something has changed; without a topic, everybody looks."""
        for topic in topics or self._watches:
            for watch in self._watches.get(topic, ()):
                watch.wake()

    @contextmanager
    def watch(self, topic: str) -> Iterator[AsyncioWatch]:
        """Watch one topic until the block ends."""
        watch = AsyncioWatch()
        watches = self._watches.setdefault(topic, set())
        watches.add(watch)
        if self._closed:
            watch.wake()
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches:
                self._watches.pop(topic, None)

    def close(self) -> None:
        """Let nobody wait any longer: the connector is stopping."""
        self._closed = True
        self.notify()
