"""Delivering: our messages reach the counterparty, however often that has to be tried.

Source:
    docs/adr/0003-exchanges.md
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from connector.ports import (
    MOST_DUE,
    Changes,
    Clock,
    OutboundMessage,
    PeerAnswer,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    Store,
    Transaction,
)
from schemas.strict_json import JsonObject, JsonValue, MalformedJsonError, loads

OUTBOX = "outbox"
"""Topic of the changes that call for another look into the outbox."""
RETRIES = (0.2, 0.4, 0.8, 1.5, 3.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds until the next attempt; the last one repeats."""
MOST_AT_ONCE = 16
"""Messages under way to one participant at the same time: one that does not answer holds up no other."""
MOST_ATTEMPTS = 500
"""After about eight hours of silence a message counts as refused."""
_ANSWER_SECONDS = 5
_OK = range(200, 300)
_TRY_AGAIN = frozenset({404, 408, 409, 425, 429})
"""Statuses that pass. EDC says 409 to a message that comes before it has saved its own state."""
_TRY_AGAIN_LIMIT = 8
_MOST_ANSWER_BYTES = 1_000_000


_Exchange = tuple[str, str]
"""Kind of an exchange, and our pid of it."""


class Sender(Protocol):
    """A use case that has sent a message, and wants to know what became of it."""

    def acknowledged(self, tx: Transaction, pid: str, answer: JsonObject | None, now: datetime) -> None:
        """The counterparty has taken it."""
        ...

    def refused(self, tx: Transaction, pid: str, reason: str, now: datetime) -> None:
        """The counterparty has refused it."""
        ...


@dataclass(slots=True)
class _Lane:
    """What is on its way to one participant, and what waits for that, in order."""

    under_way: int = 0
    waiting: dict[_Exchange, OutboundMessage] = field(default_factory=dict)


class Delivering:
    """Empties the outbox.

    Args:
        store: Where the outbox is.
        clock: Tells the time.
        peers: Talks to counterparties.
        senders: Who sent it, by kind of exchange.
        changes: Learns the pid and the kind of each exchange whose message has been dealt with, and of
            messages for later.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        peers: Peers,
        senders: Mapping[str, Sender],
        changes: Changes,
    ) -> None:
        self._store = store
        self._clock = clock
        self._peers = peers
        self._senders = senders
        self._changes = changes
        self._under_way: dict[_Exchange, asyncio.Task[None]] = {}
        self._next: dict[_Exchange, OutboundMessage] = {}
        self._lanes: dict[str, _Lane] = {}
        self._left_over = False
        store.follow_outbox(self._post)

    async def deliver_due(self) -> timedelta | None:
        """Start sending all messages that are due, each exchange for itself.

        Returns:
            Time until the next message is due; None where none waits.
        """
        now = self._clock.now()
        due, later = await self._store.transact(lambda tx: (tx.due(now), tx.next_due(now)))
        self._left_over = len(due) >= MOST_DUE
        for message in due:
            self._start(message)
        return None if later is None else max(later - self._clock.now(), timedelta(0))

    def _post(self, messages: Sequence[OutboundMessage]) -> None:
        """Messages have been saved: what is due leaves at once, without another look into the outbox."""
        now = self._clock.now()
        for message in messages:
            if message.not_before <= now:
                self._start(message)
            else:
                self._changes.notify(OUTBOX)

    async def aclose(self) -> None:
        """Give up what is under way; the outbox keeps it for the next start."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _start(self, message: OutboundMessage) -> None:
        exchange = (message.exchange, message.pid)
        lane = self._lanes.setdefault(message.peer, _Lane())
        if exchange in self._under_way:
            self._next[exchange] = message
        elif lane.under_way >= MOST_AT_ONCE:
            lane.waiting[exchange] = message
        else:
            lane.under_way += 1
            task = self._under_way[exchange] = asyncio.create_task(self._attempt(message))
            task.add_done_callback(lambda _: self._finish(message))

    def _finish(self, message: OutboundMessage) -> None:
        exchange = (message.exchange, message.pid)
        del self._under_way[exchange]
        self._lanes[message.peer].under_way -= 1
        following = self._next.pop(exchange, None)
        if following is not None and following.body != message.body:
            self._start(following)
        self._advance(message.peer)
        if self._left_over:
            self._changes.notify(OUTBOX)
        self._changes.notify(message.pid, message.exchange)

    def _advance(self, peer: str) -> None:
        """Let the next message to a participant leave, if there is one and room for it."""
        lane = self._lanes[peer]
        while lane.waiting and lane.under_way < MOST_AT_ONCE:
            self._start(lane.waiting.pop(next(iter(lane.waiting))))
        if not lane.under_way:
            del self._lanes[peer]

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
    words = "; ".join(map(_words, texts))
    return f"{words} (status {answer.status})" if words else f"status {answer.status}"


def _words(reason: JsonValue) -> str:
    """A reason as a sentence: as it stands, tagged with a language, or one per language."""
    if isinstance(reason, dict):
        reason = next((reason[name] for name in ("@value", "en") if name in reason), reason)
    return reason if isinstance(reason, str) else json.dumps(reason)
