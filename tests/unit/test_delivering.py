"""Messages leave as soon as they are saved; a participant that does not answer holds up no other."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.adapters.asyncio_changes import AsyncioChanges
from connector.adapters.sql_store import SqlStore
from connector.evidence.ledger import leaf_hash
from connector.ports import OutboundMessage, PeerAnswer, Transaction
from connector.services.delivering import MOST_AT_ONCE, OUTBOX, Delivering
from schemas.strict_json import JsonObject

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
SLOW, QUICK = "did:web:slow.example", "did:web:quick.example"


class Clock:
    def now(self) -> datetime:
        return NOW


class Peers:
    """Answers at once, but for the participants that are held back."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.most_at_once = 0
        self._under_way = 0
        self._held: dict[str, asyncio.Event] = {}

    def hold(self, peer: str) -> asyncio.Event:
        self._held[peer] = asyncio.Event()
        return self._held[peer]

    async def send(self, method: str, url: str, *, audience: str | None = None, **_: Any) -> PeerAnswer:
        self.sent.append(url)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            if audience in self._held:
                await self._held[audience].wait()
        finally:
            self._under_way -= 1
        assert method == "POST"
        return PeerAnswer(200, b"{}", {})


class Sender:
    """A use case that answers each acknowledgement with the messages of a script."""

    def __init__(self, script: Mapping[str, OutboundMessage]) -> None:
        self._script = script
        self.acknowledged_pids: list[str] = []

    def acknowledged(self, tx: Transaction, pid: str, _: JsonObject | None, __: datetime) -> None:
        self.acknowledged_pids.append(pid)
        following = self._script.get(pid)
        if following is not None and self.acknowledged_pids.count(pid) == 1:
            tx.enqueue(following)

    def refused(self, _: Transaction, pid: str, reason: str, __: datetime) -> None:
        raise AssertionError(f"{pid} was refused: {reason}")


def message(pid: str, peer: str = QUICK, *, path: str = "/first", **changes: Any) -> OutboundMessage:
    standard: dict[str, Any] = {
        "exchange": "negotiations",
        "pid": pid,
        "kind": "request",
        "peer": peer,
        "address": f"https://{peer.removeprefix('did:web:')}",
        "path": f"{path}/{pid}",
        "body": json.dumps({"pid": pid, "path": path}),
        "not_before": NOW,
    }
    return OutboundMessage(**standard | changes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = SqlStore(f"sqlite:///{tmp_path / 'store.sqlite'}", leaf_hash)
    yield store
    store.close()


class Scene:
    def __init__(self, store: SqlStore, script: Mapping[str, OutboundMessage] | None = None) -> None:
        self.store = store
        self.peers = Peers()
        self.changes = AsyncioChanges()
        self.sender = Sender(script or {})
        self.delivering = Delivering(
            store=store,
            clock=Clock(),
            peers=self.peers,
            senders={"negotiations": self.sender},
            changes=self.changes,
        )

    async def post(self, messages: Sequence[OutboundMessage]) -> None:
        def work(tx: Transaction) -> None:
            for one in messages:
                tx.enqueue(one)

        await self.store.transact(work)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - a test looks from outside
                await asyncio.sleep(0.001)


async def test_a_message_leaves_without_anybody_looking_into_the_outbox(store: SqlStore) -> None:
    scene = Scene(store)
    await scene.post([message("a")])
    await scene.until(lambda: scene.sender.acknowledged_pids == ["a"])
    assert await store.transact(lambda tx: tx.due(NOW)) == ()


async def test_the_answer_to_an_acknowledgement_leaves_too_and_once(store: SqlStore) -> None:
    scene = Scene(store, {"a": message("a", path="/second")})
    await scene.post([message("a")])
    await scene.until(lambda: scene.sender.acknowledged_pids == ["a", "a"])
    assert scene.peers.sent == ["https://quick.example/first/a", "https://quick.example/second/a"]


async def test_a_participant_that_does_not_answer_holds_up_no_other(store: SqlStore) -> None:
    scene = Scene(store)
    release = scene.peers.hold(SLOW)
    slow_ones = [f"slow-{number}" for number in range(3 * MOST_AT_ONCE)]
    await scene.post([message(pid, SLOW) for pid in slow_ones])
    await scene.post([message("quick")])
    await scene.until(lambda: scene.sender.acknowledged_pids == ["quick"])
    assert scene.peers.most_at_once == MOST_AT_ONCE + 1
    release.set()
    await scene.until(lambda: len(scene.sender.acknowledged_pids) == len(slow_ones) + 1)
    assert sorted(scene.sender.acknowledged_pids) == sorted([*slow_ones, "quick"])
    assert len(scene.peers.sent) == len(slow_ones) + 1


async def test_more_than_the_outbox_hands_out_at_a_time_is_delivered_after_a_restart(store: SqlStore) -> None:
    before = [message(f"m-{number}") for number in range(250)]

    def work(tx: Transaction) -> None:
        for one in before:
            tx.enqueue(one)

    await store.transact(work)  # nobody follows the outbox yet: this is what an earlier process left
    scene = Scene(store)
    with scene.changes.watch(OUTBOX) as watch:
        while await store.transact(lambda tx: tx.due(NOW)):
            await scene.delivering.deliver_due()
            await asyncio.wait_for(watch.next(timedelta(seconds=5)), 10)
    assert sorted(scene.sender.acknowledged_pids) == sorted(one.pid for one in before)


async def test_a_message_for_later_calls_for_another_look_and_does_not_leave(store: SqlStore) -> None:
    scene = Scene(store)
    with scene.changes.watch(OUTBOX) as watch:
        await scene.post([message("later", not_before=NOW + timedelta(seconds=5))])
        await asyncio.wait_for(watch.next(timedelta(seconds=30)), 10)
        due_in = await scene.delivering.deliver_due()
    assert due_in == timedelta(seconds=5)
    assert scene.peers.sent == []
