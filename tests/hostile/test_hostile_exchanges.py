"""Every message of the protocol, in both roles, sent wrongly in every way: an error, and nothing changes.

A contract is made and a transfer process has started; then every later message
of both exchanges arrives at both sides with somebody else's name, with wrong
pids, at the wrong moment, from the wrong side, and in bodies that are none.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.region.participants import (
    DATASETS,
    STATEMENT,
    Participant,
    Region,
    Stranger,
    Voice,
    at_rest,
    dsp,
    leaks_nothing,
    offer,
    voice_of,
)

UNKNOWN = "urn:uuid:dddddddd-0000-4000-8000-000000000000"
OTHER = "urn:uuid:dddddddd-0000-4000-8000-000000000001"
NOTHING_HERE = "There is nothing here for you."
ERRORS = {"negotiations": "ContractNegotiationError", "transfers": "TransferError"}

OFFER = {**offer(), "@id": UNKNOWN, "target": DATASETS["rheinaue"]}
AGREEMENT = {
    **OFFER,
    "@type": "Agreement",
    "assigner": "did:web:localhost%3A18081",
    "assignee": "did:web:localhost%3A18083",
    "timestamp": "2026-11-21T08:00:00Z",
}
LATER = {
    "negotiations": {
        "request": ("provider", "ContractRequestMessage", {"offer": OFFER}),
        "events": ("provider", "ContractNegotiationEventMessage", {"eventType": "ACCEPTED"}),
        "agreement/verification": ("provider", "ContractAgreementVerificationMessage", {}),
        "termination": ("both", "ContractNegotiationTerminationMessage", {"reason": ["enough"]}),
        "offers": ("consumer", "ContractOfferMessage", {"offer": OFFER}),
        "agreement": ("consumer", "ContractAgreementMessage", {"agreement": AGREEMENT}),
        "events ": ("consumer", "ContractNegotiationEventMessage", {"eventType": "FINALIZED"}),
    },
    "transfers": {
        "start": ("both", "TransferStartMessage", {}),
        "suspension": ("both", "TransferSuspensionMessage", {"reason": ["a moment"]}),
        "completion": ("both", "TransferCompletionMessage", {}),
        "termination": ("both", "TransferTerminationMessage", {"reason": ["enough"]}),
    },
}
"""Every later message by exchange and path: who takes it, its type, and what it says beside the pids."""


@dataclass(frozen=True)
class Case:
    """One later message that arrives at one side."""

    region: Region
    exchange: str
    path: str
    side: str
    kind: str
    members: dict[str, Any]
    provider_pid: str
    consumer_pid: str

    @property
    def target(self) -> Participant:
        return self.region.rheinaue if self.side == "provider" else self.region.lastwerk

    @property
    def counterparty(self) -> Voice:
        return voice_of(self.region.lastwerk if self.side == "provider" else self.region.rheinaue)

    @property
    def pid(self) -> str:
        """The attacked side's pid."""
        return self.provider_pid if self.side == "provider" else self.consumer_pid

    @property
    def name(self) -> str:
        return f"{self.kind} {self.members.get('eventType', '')} at the {self.side}"

    def message(self, **changes: Any) -> dict[str, Any]:
        pids = {"providerPid": self.provider_pid, "consumerPid": self.consumer_pid}
        return dsp(self.kind, **(self.members | pids | changes))

    def address(self, pid: str | None = None) -> str:
        return f"/{self.exchange}/{pid or self.pid}/{self.path.strip()}"

    async def say(
        self, message: Any = None, *, by: Voice | None = None, pid: str | None = None, **raw: Any
    ) -> httpx.Response:
        return await (by or self.counterparty).say(self.target, self.address(pid), message, **raw)


@pytest.fixture
async def region(contracted: Region) -> Region:
    """A contract, and a transfer process that has started."""
    only = [await contracted.agreement_with(contracted.rheinaue)]
    await contracted.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT, "agreements": only})
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    return contracted


def cases(region: Region, *, wrong_side: bool = False) -> Iterator[Case]:
    """Every later message at each side that takes it, or else at each side that never does."""
    for exchange, messages in LATER.items():
        (record,) = region.rheinaue.rows(exchange)
        for path, (taker, kind, members) in messages.items():
            for side in ("provider", "consumer"):
                if (taker in {side, "both"}) is not wrong_side:
                    pids = record["pid"], record["peer_pid"]
                    yield Case(region, exchange, path, side, kind, members, *pids)


def states(region: Region) -> list[Any]:
    return [region.rheinaue.state(), region.lastwerk.state()]


class Watched:
    """Checks that nothing changes, and that each answer is an error of the protocol."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._before = states(region)

    def refused(self, case: Case, answer: httpx.Response, status: int, *, stated: bool = True) -> str:
        assert answer.status_code == status, f"{case.name}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/json"
        leaks_nothing(answer, self._region)
        body = answer.json()
        assert body["@type"] == ERRORS[case.exchange], case.name
        assert body["@context"] == ["https://w3id.org/dspace/2025/1/context.jsonld"]
        assert body["code"] == str(status)
        if stated:
            said = json.loads(answer.request.content)
            assert body["providerPid"] == said["providerPid"], case.name
            assert body["consumerPid"] == said["consumerPid"], case.name
        else:
            assert body["providerPid"], case.name
            assert body["consumerPid"], case.name
        (reason,) = body["reason"]
        assert states(self._region) == self._before, case.name
        return str(reason)


def test_the_table_holds_every_later_message_of_the_protocol() -> None:
    """As DSP 2025-1 lists them, in both roles."""
    taken = [
        (side, kind, members.get("eventType"))
        for messages in LATER.values()
        for taker, kind, members in messages.values()
        for side in (("provider", "consumer") if taker == "both" else (taker,))
    ]
    assert len(taken) == len({*map(str, taken)}) == 16
    assert sum(side == "provider" for side, _, _ in taken) == 8


async def test_an_unknown_pid_is_nothing(region: Region) -> None:
    watched = Watched(region)
    for case in cases(region):
        own = "providerPid" if case.side == "provider" else "consumerPid"
        answer = await case.say(case.message(**{own: UNKNOWN}), pid=UNKNOWN)
        assert watched.refused(case, answer, 404) == NOTHING_HERE


async def test_the_pid_of_others_is_nothing(region: Region, tmp_path: Path) -> None:
    """Not to a stranger, and not to the party itself under its own number."""
    stranger = Stranger(tmp_path / "stranger", region.network)
    watched = Watched(region)
    for case in cases(region):
        for voice in (stranger, voice_of(case.target)):
            answer = await case.say(case.message(), by=voice)
            assert watched.refused(case, answer, 404) == NOTHING_HERE
        theirs = case.consumer_pid if case.side == "provider" else case.provider_pid
        answer = await case.say(case.message(), pid=theirs)
        assert watched.refused(case, answer, 404) == NOTHING_HERE


async def test_pids_in_the_body_that_are_not_the_exchanges_are_refused(region: Region) -> None:
    watched = Watched(region)
    for case in cases(region):
        for pids in (
            {"providerPid": UNKNOWN},
            {"consumerPid": UNKNOWN},
            {"providerPid": UNKNOWN, "consumerPid": OTHER},
            {"providerPid": case.consumer_pid, "consumerPid": case.provider_pid},
            {"providerPid": case.pid, "consumerPid": case.pid},
        ):
            assert "pid" in watched.refused(case, await case.say(case.message(**pids)), 400)


async def test_a_message_at_the_wrong_side_is_refused(region: Region) -> None:
    watched = Watched(region)
    wrong = list(cases(region, wrong_side=True))
    assert len(wrong) == 6
    for case in wrong:
        assert "cannot send" in watched.refused(case, await case.say(case.message()), 400)
    start = next(case for case in cases(region) if (case.path, case.side) == ("start", "provider"))
    assert "a consumer cannot send start" in watched.refused(start, await start.say(start.message()), 400)


async def test_no_message_is_legal_once_all_is_over(region: Region) -> None:
    (record,) = region.rheinaue.rows("transfers")
    await region.rheinaue.call("POST", f"/api/transfers/{record['pid']}/moves", {"action": "termination"})
    await at_rest(region.rheinaue, region.lastwerk)
    watched = Watched(region)
    for case in cases(region):
        if (case.path.strip(), case.side) == ("events", "consumer"):
            continue  # FINALIZED said twice is taken, see test_hostile_messages
        assert "cannot send" in watched.refused(case, await case.say(case.message()), 400)


def deep(case: Case) -> bytes:
    return json.dumps(case.message(x=["deep"])).replace('"deep"', "[" * 5000 + "]" * 5000).encode()


def repeated(case: Case) -> bytes:
    return json.dumps(case.message()).replace("{", '{"providerPid": "urn:uuid:x", ', 1).encode()


def another_type(case: Case) -> bytes:
    return json.dumps(case.message() | {"@type": "CatalogRequestMessage"}).encode()


def without(name: str) -> Callable[[Case], bytes]:
    def body(case: Case) -> bytes:
        message = case.message()
        del message[name]
        return json.dumps(message).encode()

    return body


BODIES: dict[str, Callable[[Case], bytes]] = {
    "too long": lambda _: b" " * 4_000_001,
    "too deep": deep,
    "a key twice": repeated,
    "cut off": lambda case: json.dumps(case.message()).encode()[:-1],
    "empty": lambda _: b"",
    "a list": lambda case: json.dumps([case.message()]).encode(),
    "another type": another_type,
    "no type": without("@type"),
    "no context": without("@context"),
    "no providerPid": without("providerPid"),
    "no consumerPid": without("consumerPid"),
    "a remote context": lambda case: json.dumps(
        case.message() | {"@context": ["http://localhost:18084/x"]}
    ).encode(),
}


@pytest.mark.parametrize("attack", BODIES)
async def test_a_body_that_is_no_message_is_refused(region: Region, attack: str) -> None:
    watched = Watched(region)
    for case in cases(region):
        answer = await case.say(content=BODIES[attack](case))
        assert watched.refused(case, answer, 400, stated=False)
        assert len(answer.content) < 2000


async def test_a_body_that_does_not_end_is_refused(region: Region) -> None:
    watched = Watched(region)
    for case in cases(region):
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(1000):
                sent += 100_000
                yield b" " * 100_000

        headers = {
            "authorization": await case.counterparty.token(case.target),
            "content-type": "application/json",
        }
        async with case.target.public() as client:
            path = "/dsp/2025-1" + case.address()
            answer = await client.post(path, content=endless(), headers=headers)
        assert "too long" in watched.refused(case, answer, 400, stated=False)
        assert sent < 10_000_000


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
async def test_another_content_type_is_refused(region: Region, kind: str) -> None:
    watched = Watched(region)
    for case in cases(region):
        answer = await case.say(case.message(), headers={"content-type": kind})
        assert "application/json" in watched.refused(case, answer, 400, stated=False)


FIRST: dict[str, tuple[str, dict[str, Any]]] = {
    "negotiations/request": ("ContractRequestMessage", {"consumerPid": UNKNOWN, "offer": OFFER}),
    "negotiations/offers": ("ContractOfferMessage", {"providerPid": UNKNOWN, "offer": OFFER}),
    "transfers/request": (
        "TransferRequestMessage",
        {"consumerPid": UNKNOWN, "agreementId": UNKNOWN, "format": "AllmendeQuery-PULL"},
    ),
}
"""Every first message; where it may be called back is tested in test_hostile_messages."""


@pytest.mark.parametrize("path", FIRST)
async def test_a_first_message_in_a_body_that_is_none_is_refused(region: Region, path: str) -> None:
    kind, members = FIRST[path]
    watched = Watched(region)
    exchange = path.partition("/")[0]
    for attack, body in BODIES.items():
        if attack.startswith("no ") and attack.endswith("Pid"):
            continue  # the first message has one of them only
        case = Case(region, exchange, path, "provider", kind, members, "", UNKNOWN)
        answer = await case.counterparty.say(case.target, f"/{path}", content=body(case))
        assert watched.refused(case, answer, 400, stated=False), attack


@pytest.mark.parametrize("path", FIRST)
async def test_a_first_message_must_say_who_and_where(region: Region, path: str) -> None:
    kind, members = FIRST[path]
    callback = {"callbackAddress": region.lastwerk.origin + "/dsp/2025-1"}
    watched = Watched(region)
    case = Case(region, path.partition("/")[0], path, "provider", kind, members, "", "")
    for missing in (*members, "callbackAddress"):
        message = {name: value for name, value in dsp(kind, **members, **callback).items() if name != missing}
        answer = await case.counterparty.say(case.target, f"/{path}", message)
        assert missing in watched.refused(case, answer, 400, stated=False)


async def test_access_under_an_agreement_that_is_none_is_refused(region: Region) -> None:
    """An agreement that nobody knows, one of somebody else, and one in which the roles are the other way."""
    (agreement,) = region.rheinaue.rows("agreements")
    watched = Watched(region)
    case = Case(region, "transfers", "request", "provider", "TransferRequestMessage", {}, "", "")
    for target, voice, identifier in (
        (region.rheinaue, voice_of(region.lastwerk), UNKNOWN),
        (region.lastwerk, voice_of(region.rheinaue), agreement["identifier"]),
    ):
        origin = region.lastwerk.origin if target is region.rheinaue else region.rheinaue.origin
        message = dsp(
            "TransferRequestMessage",
            consumerPid=OTHER,
            agreementId=identifier,
            format="AllmendeQuery-PULL",
            callbackAddress=origin + "/dsp/2025-1",
        )
        answer = await voice.say(target, "/transfers/request", message)
        assert watched.refused(case, answer, 404, stated=False) == NOTHING_HERE
    for kind in ("SFTP", "", "AllmendeQuery-PUSH"):
        message = dsp(
            "TransferRequestMessage",
            consumerPid=OTHER,
            agreementId=agreement["identifier"],
            format=kind,
            callbackAddress=region.lastwerk.origin + "/dsp/2025-1",
        )
        answer = await voice_of(region.lastwerk).say(region.rheinaue, "/transfers/request", message)
        assert "format" in watched.refused(case, answer, 400, stated=False)
