"""Delivering: our messages reach the counterparty, however often that has to be tried.

Source:
    docs/adr/0003-exchanges.md
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from connector.ports import (
    Clock,
    OutboundMessage,
    PeerAnswer,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    Store,
    Transaction,
)
from schemas.strict_json import JsonObject, MalformedJsonError, loads

RETRIES = (0.2, 0.4, 0.8, 1.5, 3.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds until the next attempt; the last one repeats."""
MOST_AT_ONCE = 64
"""Messages under way at the same time."""
MOST_ATTEMPTS = 500
"""After about eight hours of silence a message counts as refused."""
_ANSWER_SECONDS = 5
_OK = range(200, 300)
_TRY_AGAIN = frozenset({404, 408, 409, 425, 429})
"""Statuses that pass. EDC says 409 to a message that comes before it has saved its own state."""
_TRY_AGAIN_LIMIT = 8
_MOST_ANSWER_BYTES = 1_000_000


class Sender(Protocol):
    """A use case that has sent a message, and wants to know what became of it."""

    def acknowledged(self, tx: Transaction, pid: str, answer: JsonObject | None, now: datetime) -> None:
        """The counterparty has taken it."""
        ...

    def refused(self, tx: Transaction, pid: str, reason: str, now: datetime) -> None:
        """The counterparty has refused it."""
        ...


class Delivering:
    """Empties the outbox.

    Args:
        store: Where the outbox is.
        clock: Tells the time.
        peers: Talks to counterparties.
        senders: Who sent it, by kind of exchange.
        changed: Called with the pid of an exchange whose message has been dealt with.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        peers: Peers,
        senders: Mapping[str, Sender],
        changed: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._peers = peers
        self._senders = senders
        self._changed = changed
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def deliver_due(self) -> timedelta | None:
        """Start sending all messages that are due, each exchange for itself.

        Returns:
            Time until the next message is due; None where none waits.
        """
        now = self._clock.now()
        due, later = await self._store.transact(lambda tx: (tx.due(now), tx.next_due(now)))
        for message in due:
            self._start(message)
        return None if later is None else max(later - self._clock.now(), timedelta(0))

    async def aclose(self) -> None:
        """Give up what is under way; the outbox keeps it for the next start."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _start(self, message: OutboundMessage) -> None:
        key = (message.exchange, message.pid)
        if key in self._under_way or len(self._under_way) >= MOST_AT_ONCE:
            return
        task = asyncio.create_task(self._attempt(message))
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._finish(message))

    def _finish(self, message: OutboundMessage) -> None:
        del self._under_way[(message.exchange, message.pid)]
        self._changed(message.pid)

    async def _attempt(self, message: OutboundMessage) -> None:
        try:
            answer = await self._peers.send(
                "POST",
                message.address + message.path,
                audience=message.peer,
                body=message.body.encode(),
                timeout=timedelta(seconds=_ANSWER_SECONDS),
                max_bytes=_MOST_ANSWER_BYTES,
            )
        except PeerUnreachableError:
            await self._later(message)
        except PeerRefusedError as refusal:
            await self._refused(message, str(refusal))
        else:
            await self._answered(message, answer)

    async def _answered(self, message: OutboundMessage, answer: PeerAnswer) -> None:
        if answer.status in _OK:
            await self._acknowledged(message, _object(answer.body))
        elif answer.status in _TRY_AGAIN and message.attempts < _TRY_AGAIN_LIMIT:
            await self._later(message)
        else:
            await self._refused(message, reason_in(answer))

    async def _acknowledged(self, message: OutboundMessage, body: JsonObject | None) -> None:
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            if _still_waiting(tx, message):
                tx.dequeue(message.exchange, message.pid)
                self._senders[message.exchange].acknowledged(tx, message.pid, body, now)

        await self._store.transact(work)

    async def _refused(self, message: OutboundMessage, reason: str) -> None:
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            if _still_waiting(tx, message):
                tx.dequeue(message.exchange, message.pid)
                self._senders[message.exchange].refused(tx, message.pid, reason, now)

        await self._store.transact(work)

    async def _later(self, message: OutboundMessage) -> None:
        if message.attempts >= MOST_ATTEMPTS:
            await self._refused(message, "The counterparty could not be reached.")
            return
        pause = timedelta(seconds=RETRIES[min(message.attempts, len(RETRIES) - 1)])
        again = replace(message, attempts=message.attempts + 1, not_before=self._clock.now() + pause)

        def work(tx: Transaction) -> None:
            if _still_waiting(tx, message):
                tx.enqueue(again)

        await self._store.transact(work)


def _still_waiting(tx: Transaction, message: OutboundMessage) -> bool:
    """Whether nothing has overtaken a message while it was under way."""
    current = tx.outbound(message.exchange, message.pid)
    return current is not None and current.body == message.body


def _object(body: bytes) -> JsonObject | None:
    try:
        value = loads(body) if body else None
    except MalformedJsonError:
        return None
    return value if isinstance(value, dict) else None


def reason_in(answer: PeerAnswer) -> str:
    """Why a counterparty refused, in its own words where it gave any."""
    body = _object(answer.body) or {}
    reason = body.get("reason") or body.get("dspace:reason") or body.get("detail") or body.get("code")
    texts = reason if isinstance(reason, list) else [reason] if reason else []
    words = "; ".join(text if isinstance(text, str) else json.dumps(text) for text in texts)
    return f"{words} (status {answer.status})" if words else f"status {answer.status}"
