"""Tells waiting tasks of one event loop that something has changed."""

import asyncio
from datetime import timedelta


class AsyncioChanges:
    """Wakes everybody who waits, at every change; they look for themselves."""

    def __init__(self) -> None:
        self._version = 0
        self._event = asyncio.Event()
        self._closed = False

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    @property
    def closed(self) -> bool:
        """Whether the connector is stopping."""
        return self._closed

    def notify(self) -> None:
        """Something has changed."""
        self._version += 1
        self._event.set()
        self._event = asyncio.Event()

    def close(self) -> None:
        """Let nobody wait any longer: the connector is stopping."""
        self._closed = True
        self.notify()

    async def wait_past(self, version: int, timeout: timedelta) -> None:  # noqa: ASYNC109 - the port's promise
        """Wait until something has changed after `version`, or the time has passed."""
        if self._closed or self._version > version:
            return
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._event.wait()
        except TimeoutError:
            return
