"""Messages of the protocol as an attacker sends them: nothing is changed, and nothing is told.

A consumer has asked for a contract, and a person at the provider has not decided yet.
"""

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.adapters.own_credentials import OwnCredentials, load_credentials
from connector.evidence.agreements import Party, agreement_statement
from connector.evidence.documents import digest
from connector.evidence.proofs import add_proof, sign
from tests.region.participants import (
    DATASETS,
    FORECASTING,
    STATEMENT,
    Participant,
    Region,
    Stranger,
    Voice,
    at_rest,
    constraint,
    dsp,
    leaks_nothing,
    offer,
    until,
    voice_of,
)

UNKNOWN = "urn:uuid:dddddddd-0000-4000-8000-000000000000"
EVIDENCE = "https://w3id.org/allmende/v1#evidence"
NOTHING_HERE = "There is nothing here for you."
NOT_RECOGNISED = "Who is calling could not be verified."


@dataclass
class Held:
    """A negotiation in REQUESTED, with its pid at either side."""

    region: Region
    provider_pid: str
    consumer_pid: str

    @property
    def pids(self) -> dict[str, str]:
        return {"providerPid": self.provider_pid, "consumerPid": self.consumer_pid}

    @property
    def provider(self) -> Participant:
        return self.region.rheinaue

    @property
    def consumer(self) -> Participant:
        return self.region.lastwerk

    def states(self) -> list[Any]:
        return [one.state() for one in (self.provider, self.consumer)]

    async def refused(self, answer: httpx.Response, status: int, before: list[Any]) -> str:
        """An attack was answered with an error of the protocol, and neither party's records changed."""
        assert answer.status_code == status, answer.text
        leaks_nothing(answer, self.region)
        assert self.states() == before
        body = answer.json()
        assert body["@type"] in {"ContractNegotiationError", "TransferError", "CatalogError"}
        assert body["code"] == str(status)
        return str(body["reason"][0])


@pytest.fixture
async def held(published: Region) -> Held:
    await published.publish(published.rheinaue, approval="manual")
    pid = await published.request(published.rheinaue)
    await until(lambda: any(record["held"] for record in published.rheinaue.rows("negotiations")))
    await until(lambda: published.lastwerk.rows("negotiations")[0]["state"] == "REQUESTED")
    return Held(published, str(published.rheinaue.rows("negotiations")[0]["pid"]), pid)


@pytest.fixture
def stranger(published: Region, tmp_path: Path) -> Stranger:
    return Stranger(tmp_path / "stranger", published.network)


def negotiation_messages(pids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Every message of a running negotiation by its path, well-formed."""
    wanted = {**offer(), "@id": UNKNOWN, "target": DATASETS["rheinaue"]}
    agreement = {
        **wanted,
        "@type": "Agreement",
        "assigner": "did:web:localhost%3A18081",
        "assignee": "did:web:localhost%3A18083",
        "timestamp": "2026-11-21T08:00:00Z",
    }
    return {
        "request": dsp("ContractRequestMessage", offer=wanted, **pids),
        "offers": dsp("ContractOfferMessage", offer=wanted, **pids),
        "agreement": dsp("ContractAgreementMessage", agreement=agreement, **pids),
        "agreement/verification": dsp("ContractAgreementVerificationMessage", **pids),
        "events": dsp("ContractNegotiationEventMessage", eventType="FINALIZED", **pids),
        "termination": dsp("ContractNegotiationTerminationMessage", reason=["enough"], **pids),
    }


def transfer_messages(pids: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {
        "start": dsp("TransferStartMessage", **pids),
        "suspension": dsp("TransferSuspensionMessage", **pids),
        "completion": dsp("TransferCompletionMessage", **pids),
        "termination": dsp("TransferTerminationMessage", **pids),
    }


# strangers


@pytest.mark.parametrize("side", ["provider", "consumer"])
async def test_a_stranger_cannot_tell_anothers_negotiation_from_none_at_all(
    held: Held, stranger: Stranger, side: str
) -> None:
    target, pid = (
        (held.provider, held.provider_pid) if side == "provider" else (held.consumer, held.consumer_pid)
    )
    before = held.states()

    for path, message in negotiation_messages(held.pids).items():
        real = await stranger.say(target, f"/negotiations/{pid}/{path}", message)
        elsewhere = json.loads(json.dumps(message).replace(pid, UNKNOWN))
        none = await stranger.say(target, f"/negotiations/{UNKNOWN}/{path}", elsewhere)

        assert await held.refused(real, 404, before) == NOTHING_HERE
        assert real.text.replace(pid, UNKNOWN) == none.text
    read = await stranger.say(target, f"/negotiations/{pid}", method="GET")
    assert await held.refused(read, 404, before) == NOTHING_HERE


async def test_a_stranger_cannot_move_or_read_anothers_transfer(contracted: Region, tmp_path: Path) -> None:
    stranger = Stranger(tmp_path / "stranger", contracted.network)
    only_one = [await contracted.agreement_with(contracted.rheinaue)]
    await contracted.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT, "agreements": only_one})
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    (record,) = contracted.rheinaue.rows("transfers")
    pids = {"providerPid": record["pid"], "consumerPid": record["peer_pid"]}
    held = Held(contracted, record["pid"], record["peer_pid"])
    before = held.states()

    for path, message in transfer_messages(pids).items():
        for target, pid in (
            (contracted.rheinaue, record["pid"]),
            (contracted.lastwerk, record["peer_pid"]),
        ):
            answer = await stranger.say(target, f"/transfers/{pid}/{path}", message)
            assert await held.refused(answer, 404, before) == NOTHING_HERE
    read = await stranger.say(contracted.rheinaue, f"/transfers/{record['pid']}", method="GET")
    assert await held.refused(read, 404, before) == NOTHING_HERE


async def test_a_stranger_gets_no_access_under_anothers_agreement(contracted: Region, tmp_path: Path) -> None:
    stranger = Stranger(tmp_path / "stranger", contracted.network)
    held = Held(contracted, "", "")
    before = held.states()
    message = dsp(
        "TransferRequestMessage",
        consumerPid=UNKNOWN,
        agreementId=await contracted.agreement_with(contracted.rheinaue),
        format="AllmendeQuery-PULL",
        callbackAddress=stranger.origin + "/dsp/2025-1",
    )

    for target in (contracted.rheinaue, contracted.lastwerk):
        answer = await stranger.say(target, "/transfers/request", message)
        assert await held.refused(answer, 404, before) == NOTHING_HERE
    assert [path for path in stranger.called if path != "/.well-known/did.json"] == []


async def test_another_participant_with_a_contract_of_its_own_is_a_stranger_here(held: Held) -> None:
    """The provider itself asks the consumer about the consumer's negotiation, under its own pid."""
    before = held.states()

    for path, message in negotiation_messages(held.pids).items():
        answer = await voice_of(held.provider).say(
            held.provider, f"/negotiations/{held.provider_pid}/{path}", message
        )
        assert await held.refused(answer, 404, before) == NOTHING_HERE


HEADERS = {
    "none": None,
    "empty": "",
    "no token": "Bearer",
    "no signature": "Bearer x.y.z",
    "basic": "Basic YWxsbWVuZGU6YWxsbWVuZGU=",
    "huge": "Bearer " + "a" * 20_000,
}


async def test_whoever_does_not_say_who_it_is_learns_nothing(held: Held) -> None:
    before = held.states()
    async with held.provider.public(headers={"content-type": "application/json"}) as client:
        for (method, path, content), header in itertools.product(
            (
                ("POST", "/catalog/request", json.dumps(dsp("CatalogRequestMessage"))),
                ("GET", f"/catalog/datasets/{DATASETS['rheinaue']}", None),
                ("GET", f"/negotiations/{held.provider_pid}", None),
                ("POST", "/negotiations/request", "{"),
                ("POST", f"/negotiations/{held.provider_pid}/termination", json.dumps(held.pids)),
                ("POST", "/transfers/request", "[" * 5000),
            ),
            HEADERS.values(),
        ):
            headers = {} if header is None else {"authorization": header}
            answer = await client.request(method, f"/dsp/2025-1{path}", headers=headers, content=content)

            assert await held.refused(answer, 404, before) == NOT_RECOGNISED


async def test_a_token_for_another_participant_is_worth_nothing(held: Held) -> None:
    before = held.states()
    voice = voice_of(held.consumer)
    passed_on = {"authorization": await voice.token(held.region.neckar)}

    path = f"/negotiations/{held.provider_pid}"
    answer = await voice.say(held.provider, path, method="GET", headers=passed_on)

    assert await held.refused(answer, 404, before) == NOT_RECOGNISED


async def test_a_token_that_was_used_is_worth_nothing(held: Held) -> None:
    voice = voice_of(held.consumer)
    token = {"authorization": await voice.token(held.provider)}
    path = f"/negotiations/{held.provider_pid}"
    assert (await voice.say(held.provider, path, method="GET", headers=token)).status_code == 200
    before = held.states()

    again = await voice.say(held.provider, path, method="GET", headers=token)

    assert await held.refused(again, 404, before) == NOT_RECOGNISED


async def test_a_key_that_signs_contracts_does_not_identify_its_owner(held: Held) -> None:
    keys = credentials(held.consumer)
    before = held.states()

    answer = await Voice(held.consumer.did, keys.contracts_key).say(
        held.provider, f"/negotiations/{held.provider_pid}", method="GET"
    )

    assert await held.refused(answer, 404, before) == NOT_RECOGNISED


def credentials(participant: Participant) -> OwnCredentials:
    return load_credentials(
        participant.directory, did=participant.did, base_url=participant.origin + "/dsp/2025-1"
    )


# the wrong pid, role or moment


async def test_pids_that_do_not_fit_the_address_are_refused(held: Held) -> None:
    before = held.states()
    for stated in (
        {**held.pids, "providerPid": UNKNOWN},
        {**held.pids, "consumerPid": UNKNOWN},
        {"providerPid": UNKNOWN, "consumerPid": UNKNOWN},
        {"providerPid": held.consumer_pid, "consumerPid": held.provider_pid},
    ):
        for path in ("termination", "request", "agreement/verification"):
            answer = await voice_of(held.consumer).say(
                held.provider,
                f"/negotiations/{held.provider_pid}/{path}",
                negotiation_messages(stated)[path],
            )
            assert "pid" in await held.refused(answer, 400, before)


async def test_a_consumer_cannot_send_what_only_a_provider_sends(held: Held) -> None:
    before = held.states()
    voice = voice_of(held.consumer)

    for path in ("offers", "agreement", "events"):
        message = negotiation_messages(held.pids)[path]
        answer = await voice.say(held.provider, f"/negotiations/{held.provider_pid}/{path}", message)
        await held.refused(answer, 400, before)


async def test_a_provider_cannot_send_what_only_a_consumer_sends(held: Held) -> None:
    before = held.states()
    voice = voice_of(held.provider)
    accepted = dsp("ContractNegotiationEventMessage", eventType="ACCEPTED", **held.pids)
    messages = negotiation_messages(held.pids)

    for path, message in (
        ("request", messages["request"]),
        ("events", accepted),
        ("agreement/verification", messages["agreement/verification"]),
    ):
        answer = await voice.say(held.consumer, f"/negotiations/{held.consumer_pid}/{path}", message)
        await held.refused(answer, 400, before)


async def test_nobody_gets_ahead_of_the_protocol(held: Held) -> None:
    """In REQUESTED a consumer can do nothing but end it, and nobody can finalise."""
    before = held.states()
    accepted = dsp("ContractNegotiationEventMessage", eventType="ACCEPTED", **held.pids)
    finalized = dsp("ContractNegotiationEventMessage", eventType="FINALIZED", **held.pids)
    consumer, provider = voice_of(held.consumer), voice_of(held.provider)
    ours, theirs = f"/negotiations/{held.provider_pid}", f"/negotiations/{held.consumer_pid}"
    messages = negotiation_messages(held.pids)

    for path in ("request", "agreement/verification"):
        await held.refused(await consumer.say(held.provider, f"{ours}/{path}", messages[path]), 400, before)
    await held.refused(await consumer.say(held.provider, f"{ours}/events", accepted), 400, before)
    await held.refused(await provider.say(held.consumer, f"{theirs}/events", finalized), 400, before)


async def test_what_is_finalised_cannot_be_undone_or_done_again(contracted: Region) -> None:
    (record,) = contracted.rheinaue.rows("negotiations")
    held = Held(contracted, record["pid"], record["peer_pid"])
    before = held.states()
    consumer, provider = voice_of(held.consumer), voice_of(held.provider)

    for path, message in negotiation_messages(held.pids).items():
        ours, theirs = (
            f"/negotiations/{held.provider_pid}/{path}",
            f"/negotiations/{held.consumer_pid}/{path}",
        )
        await held.refused(await consumer.say(held.provider, ours, message), 400, before)
        if path != "events":
            await held.refused(await provider.say(held.consumer, theirs, message), 400, before)


async def test_finalized_once_more_is_taken_and_changes_nothing(contracted: Region) -> None:
    """EDC says it twice, and ends the negotiation on its side if the second one is refused."""
    (record,) = contracted.rheinaue.rows("negotiations")
    held = Held(contracted, record["pid"], record["peer_pid"])
    before = [one.state("inbox") for one in (held.provider, held.consumer)]
    message = negotiation_messages(held.pids)["events"]

    answer = await voice_of(held.provider).say(
        held.consumer, f"/negotiations/{held.consumer_pid}/events", {**message, "eventType": "FINALIZED"}
    )

    assert answer.status_code == 200
    assert [one.state("inbox") for one in (held.provider, held.consumer)] == before


async def test_a_negotiation_of_a_dataset_cannot_be_turned_to_another_one(held: Held) -> None:
    """The provider answers the request with an offer on something else."""
    before = held.states()
    message = negotiation_messages(held.pids)["offers"]
    message["offer"]["target"] = UNKNOWN

    answer = await voice_of(held.provider).say(
        held.consumer, f"/negotiations/{held.consumer_pid}/offers", message
    )

    await held.refused(answer, 400, before)


async def test_an_offer_that_nobody_asked_for_binds_nobody(published: Region, stranger: Stranger) -> None:
    """A provider may offer at any time; the consumer's people decide, and nothing is accepted by itself."""
    message = dsp(
        "ContractOfferMessage",
        providerPid=UNKNOWN,
        callbackAddress=stranger.origin + "/dsp/2025-1",
        offer={**offer(), "@id": UNKNOWN, "target": UNKNOWN},
    )

    answer = await stranger.say(published.lastwerk, "/negotiations/offers", message)

    leaks_nothing(answer, published)
    (record,) = published.lastwerk.rows("negotiations")
    assert record["state"] == "OFFERED"
    assert record["held"]
    assert published.lastwerk.rows("outbox") == []
    assert published.lastwerk.rows("agreements") == []


# bodies


def nested(depth: int) -> bytes:
    message = json.dumps(dsp("CatalogRequestMessage", filter=["deep"]))
    return message.replace('"deep"', "[" * depth + "]" * depth).encode()


BODIES: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"<xml/>",
    "cut off": b'{"@context": [',
    "an array": b"[]",
    "a number": b"7",
    "not UTF-8": b'{"@type": "\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not a number": b'{"@type": NaN}',
    "deep": nested(5000),
    "deep enough": nested(200),
    "the same key twice": json.dumps(dsp("CatalogRequestMessage"))
    .replace("{", '{"@type": "ContractRequestMessage",', 1)
    .encode(),
    "no context": b'{"@type": "CatalogRequestMessage"}',
    "a context of its own": json.dumps(
        dsp("CatalogRequestMessage") | {"@context": {"@vocab": "https://example.org/"}}
    ).encode(),
    "a remote context": json.dumps(
        dsp("CatalogRequestMessage") | {"@context": ["http://localhost:18084/context.jsonld"]}
    ).encode(),
    "another message": json.dumps(dsp("TransferStartMessage", providerPid="a", consumerPid="b")).encode(),
    "a type that is no name": json.dumps(dsp("CatalogRequestMessage") | {"@type": {"a": 1}}).encode(),
}


async def test_a_body_that_is_no_message_is_refused_everywhere(held: Held, stranger: Stranger) -> None:
    before = held.states()
    voice = voice_of(held.consumer)
    paths = (
        "/catalog/request",
        "/negotiations/request",
        f"/negotiations/{held.provider_pid}/termination",
        "/transfers/request",
        f"/transfers/{held.provider_pid}/start",
    )

    for path, (name, body) in itertools.product(paths, BODIES.items()):
        answer = await voice.say(held.provider, path, content=body)
        assert answer.status_code == 400, f"{name}: {answer.text}"
        await held.refused(answer, 400, before)
        assert len(answer.content) < 2000, name
    assert stranger.called == [], "a context is never fetched"


async def test_another_content_type_is_refused(held: Held) -> None:
    before = held.states()
    message = negotiation_messages(held.pids)["termination"]
    path = f"/negotiations/{held.provider_pid}/termination"

    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "json",
    ):
        answer = await voice_of(held.consumer).say(
            held.provider, path, message, headers={"content-type": kind}
        )
        assert "application/json" in await held.refused(answer, 400, before)


async def test_a_body_that_is_too_long_is_not_read_to_its_end(held: Held) -> None:
    before = held.states()
    voice = voice_of(held.consumer)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 100_000
            yield b" " * 100_000

    path = "/dsp/2025-1/negotiations/request"
    async with held.provider.public(headers={"content-type": "application/json"}) as client:
        for content in (b" " * 5_000_000, endless()):
            headers = {"authorization": await voice.token(held.provider)}
            answer = await client.post(path, content=content, headers=headers)

            assert answer.status_code in {400, 413}
            assert "too long" in answer.text
            leaks_nothing(answer, held.region)
            assert held.states() == before
    assert sent < 10_000_000


# addresses that lead inside


INSIDE = (
    "https://169.254.169.254/dsp",
    "https://10.0.0.1/dsp",
    "http://192.168.1.1/dsp",
    "https://[fd00::1]/dsp",
    "https://[::ffff:10.0.0.1]/dsp",
    "http://169.254.169.254/latest/meta-data",
)
"""Addresses of other machines' own networks: refused, whoever says that they are his."""
BY_ANOTHER_NAME = ("http://2852039166/dsp", "http://0x7f.1/dsp", "https://0251.0376.0251.0376/dsp")
"""What turns out to lead inside, or nowhere, when its name is looked up."""
NO_ADDRESS = (
    "file:///etc/passwd",
    "gopher://localhost:18083/dsp",
    "https://user:secret@10.0.0.1/dsp",
    "//10.0.0.1/dsp",
    "not an address",
)
FOREIGN = (
    "http://localhost:18081/dsp/2025-1",
    "https://localhost:18081/dsp/2025-1",
    "http://localhost:18083.evil.example/dsp/2025-1",
    "https://evil.example/dsp/2025-1",
    "https://[::1]:9/dsp",
    *INSIDE,
    *BY_ANOTHER_NAME,
)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the connector has tried to connect to, beyond this process."""
    noted: list[str] = []

    async def note(_: object, host: str, *__: object, **___: object) -> None:
        noted.append(host)
        raise httpcore.ConnectError("noted")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", note)
    return noted


def request_from(address: str, number: int = 0) -> dict[str, Any]:
    return dsp(
        "ContractRequestMessage",
        consumerPid=f"urn:uuid:dddddddd-0000-4000-8000-{number:012}",
        callbackAddress=address,
        offer={**offer(), "@id": UNKNOWN, "target": DATASETS["rheinaue"]},
    ) | {EVIDENCE: {"@type": "@json", "@value": {"purpose": FORECASTING, "signing": ["eddsa-jcs-2022"]}}}


def with_services(stranger: Stranger, *addresses: str) -> None:
    """The stranger's DID document names these addresses as its own."""
    services = [
        {"id": f"{stranger.did}#{number}", "type": "DataService", "serviceEndpoint": address}
        for number, address in enumerate(addresses)
    ]
    stranger.document = {**stranger.document, "service": services}


def first_messages(agreement: str, address: str, number: int) -> dict[str, dict[str, Any]]:
    """Every message that states a callback address, by its path."""
    pid = f"urn:uuid:dddddddd-0000-4000-8000-{number:012}"
    wanted = {**offer(), "@id": UNKNOWN, "target": DATASETS["rheinaue"]}
    return {
        "/negotiations/request": request_from(address, number),
        "/negotiations/offers": dsp(
            "ContractOfferMessage", providerPid=pid, callbackAddress=address, offer=wanted
        ),
        "/transfers/request": dsp(
            "TransferRequestMessage",
            consumerPid=pid,
            agreementId=agreement,
            format="AllmendeQuery-PULL",
            callbackAddress=address,
        ),
    }


async def test_a_callback_address_that_is_not_the_senders_own_is_refused(
    contracted: Region, connected: list[str]
) -> None:
    """The sender is known and has a contract; only the address is not its own."""
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    held = Held(contracted, "", "")
    before = held.states()
    agreement = await contracted.agreement_with(contracted.rheinaue)

    for number, address in enumerate((*FOREIGN, *NO_ADDRESS)):
        for path, message in first_messages(agreement, address, number).items():
            answer = await voice_of(contracted.lastwerk).say(contracted.rheinaue, path, message)
            reason = await held.refused(answer, 400, before)
            assert "callbackAddress" in reason, (path, address)
            stated = "providerPid" if path.endswith("offers") else "consumerPid"
            assert answer.json()[stated] == message[stated]
    assert connected == []


async def test_a_private_address_is_refused_although_the_sender_says_that_it_is_its_own(
    published: Region, stranger: Stranger, connected: list[str]
) -> None:
    with_services(stranger, *INSIDE)
    held = Held(published, "", "")
    before = held.states()

    for number, address in enumerate(INSIDE):
        for path in ("/negotiations/request", "/negotiations/offers"):
            message = first_messages(UNKNOWN, address, number)[path]
            answer = await stranger.say(published.rheinaue, path, message)
            assert "is not called" in await held.refused(answer, 400, before)
    assert connected == []


async def test_a_name_that_leads_inside_is_never_called(
    published: Region, stranger: Stranger, connected: list[str]
) -> None:
    """Only a look-up shows where a name leads: it is asked when the first answer is to be sent."""
    with_services(stranger, *BY_ANOTHER_NAME)

    for number, address in enumerate(BY_ANOTHER_NAME):
        answer = await stranger.say(
            published.rheinaue, "/negotiations/request", request_from(address, number)
        )
        assert answer.status_code in {201, 400}, answer.text
        leaks_nothing(answer, published)

    await until(
        lambda: all(record["state"] == "REQUESTED" for record in published.rheinaue.rows("negotiations"))
    )
    await asyncio.sleep(0.5)
    assert not set(connected) - {"127.0.0.1"}, "this machine alone may be called here"
    assert not any(one["signed"] for one in published.rheinaue.rows("agreements"))
    assert (await published.ledger(published.rheinaue))["entries"] == []


async def test_the_trap_of_these_tests_notices_a_connection(
    published: Region, stranger: Stranger, connected: list[str]
) -> None:
    """Loopback is allowed here, so that this one is called."""
    with_services(stranger, "https://[::1]:9")

    await stranger.say(published.rheinaue, "/negotiations/request", request_from("https://[::1]:9/dsp"))

    await until(lambda: connected != [])
    assert set(connected) == {"::1"}


# agreements that are not what was negotiated: the consumer is attacked by its provider


def agreed_document(held: Held) -> dict[str, Any]:
    """What an honest provider would send: the rules that were asked for."""
    (record,) = held.consumer.rows("negotiations")
    return {
        **{name: record["offer"][name] for name in ("profile", "permission", "prohibition")},
        "@type": "Agreement",
        "@id": "urn:uuid:eeeeeeee-0000-4000-8000-000000000001",
        "target": DATASETS["rheinaue"],
        "assigner": held.provider.did,
        "assignee": held.consumer.did,
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def described(held: Held) -> str:
    """The digest of what the consumer has read in the catalog about the dataset."""
    views = [one["view"] for one in held.consumer.rows("remote_datasets")]
    (known,) = [view for view in views if view["identifier"] == DATASETS["rheinaue"]]
    names = ("identifier", "title", "description", "table", "columns")
    return digest({name: known[name] for name in names})


def statement_about(held: Held, agreement: dict[str, Any], **changes: Any) -> dict[str, Any]:
    (record,) = held.consumer.rows("negotiations")
    parties = tuple(
        Party(keys.did, keys.verification_method, keys.document.digest)
        for keys in (credentials(held.provider), credentials(held.consumer))
    )
    members = {
        "agreement": agreement,
        "provider_pid": held.provider_pid,
        "consumer_pid": held.consumer_pid,
        "offer_digest": digest(record["offer"]),
        "dataset_digest": "a" * 64,
        "description_digest": described(held),
        "parties": parties,
    }
    return agreement_statement(**(members | changes))


def proven(
    statement: dict[str, Any],
    keys: OwnCredentials,
    *,
    key: Ed25519PrivateKey | None = None,
    method: str | None = None,
    created: datetime | None = None,
) -> dict[str, Any]:
    proof = sign(
        statement,
        key=key or keys.contracts_key,
        verification_method=method or keys.verification_method,
        created=created or datetime.now(UTC),
    )
    return add_proof(statement, proof)


def agreement_message(held: Held, agreement: Any, statement: Any) -> dict[str, Any]:
    message = dsp("ContractAgreementMessage", agreement=agreement, **held.pids)
    if statement is None:
        return message
    return message | {EVIDENCE: {"@type": "@json", "@value": {"statement": statement}}}


async def send_agreement(held: Held, message: dict[str, Any]) -> httpx.Response:
    return await voice_of(held.provider).say(
        held.consumer, f"/negotiations/{held.consumer_pid}/agreement", message
    )


async def test_the_honest_agreement_of_these_tests_is_accepted(held: Held) -> None:
    agreement = agreed_document(held)
    statement = proven(statement_about(held, agreement), credentials(held.provider))

    answer = await send_agreement(held, agreement_message(held, agreement, statement))

    assert answer.status_code == 200
    assert held.consumer.rows("agreements")[0]["signed"] is True


def more_uses(agreement: Any) -> None:
    agreement["permission"][0]["constraint"][3] = constraint("count", "lteq", "6")


def fewer_uses(agreement: Any) -> None:
    agreement["permission"][0]["constraint"][3] = constraint("count", "lteq", "4")


def without_permission(agreement: Any) -> None:
    del agreement["permission"][1]


def one_more_prohibition(agreement: Any) -> None:
    agreement["prohibition"].append({"action": "distribute"})


def unknown_term(agreement: Any) -> None:
    agreement["permission"][0]["constraint"].append(constraint("moonPhase", "eq", "full"))


CHANGES: dict[str, Callable[[Any], None]] = {
    "more uses": more_uses,
    "fewer uses": fewer_uses,
    "a permission less": without_permission,
    "a prohibition more": one_more_prohibition,
    "an unknown term": unknown_term,
    "for somebody else": lambda agreement: agreement.update(assignee="did:web:somebody.example"),
    "by somebody else": lambda agreement: agreement.update(assigner="did:web:somebody.example"),
    "on another dataset": lambda agreement: agreement.update(target=UNKNOWN),
}


async def test_an_agreement_with_other_rules_is_refused_although_it_is_well_signed(held: Held) -> None:
    before = held.states()
    for name, change in CHANGES.items():
        agreement = copy.deepcopy(agreed_document(held))
        change(agreement)
        named = (agreement["assigner"], agreement["assignee"])
        strange = tuple(Party(did, did + "#contracts", "b" * 64) for did in named)
        honest = named == (held.provider.did, held.consumer.did)
        changes = {} if honest else {"parties": strange}
        statement = proven(statement_about(held, agreement, **changes), credentials(held.provider))

        answer = await send_agreement(held, agreement_message(held, agreement, statement))

        assert answer.status_code == 400, name
        await held.refused(answer, 400, before)


async def test_an_agreement_changed_after_signing_is_refused(held: Held) -> None:
    before = held.states()
    agreement = agreed_document(held)
    signed = proven(statement_about(held, agreement), credentials(held.provider))
    later = {**agreement, "timestamp": "2020-01-01T00:00:00Z"}

    answer = await send_agreement(held, agreement_message(held, later, signed))

    await held.refused(answer, 400, before)


def forged(signed: dict[str, Any]) -> dict[str, Any]:
    value = signed["proof"][0]["proofValue"]
    swapped = value[:-1] + ("2" if value[-1] != "2" else "3")
    return {**signed, "proof": [{**signed["proof"][0], "proofValue": swapped}]}


async def test_a_proof_that_is_forged_stale_or_by_another_key_is_refused(held: Held) -> None:
    before = held.states()
    agreement = agreed_document(held)
    statement = statement_about(held, agreement)
    keys, theirs = credentials(held.provider), credentials(held.consumer)
    attacker = Ed25519PrivateKey.generate()
    honest = proven(statement, keys)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    attacks = {
        "forged": forged(honest),
        "another key under the provider's name": proven(statement, keys, key=attacker),
        "the provider's key for tokens": proven(
            statement, keys, key=keys.tokens_key, method=keys.did + "#tokens"
        ),
        "the consumer's own key": proven(statement, theirs, key=attacker),
        "a stranger's key": proven(
            statement, keys, key=attacker, method="did:web:localhost%3A18084#contracts"
        ),
        "no proof": statement,
        "an empty set of proofs": {**statement, "proof": []},
        "two proofs": proven(honest, keys),
        "stale": proven(statement, keys, created=long_ago),
        "another suite": {**honest, "proof": [{**honest["proof"][0], "cryptosuite": "ecdsa-jcs-2019"}]},
        "another purpose": {**honest, "proof": [{**honest["proof"][0], "proofPurpose": "authentication"}]},
        "an option that we do not know": {
            **honest,
            "proof": [{**honest["proof"][0], "previousProof": "urn:x"}],
        },
        "another negotiation": proven(statement_about(held, agreement, provider_pid=UNKNOWN), keys),
        "another offer": proven(statement_about(held, agreement, offer_digest="c" * 64), keys),
        "another agreement": proven(
            statement_about(held, {**agreement, "@id": UNKNOWN}),
            keys,
        ),
    }

    for attack, signed in attacks.items():
        answer = await send_agreement(held, agreement_message(held, agreement, signed))
        assert answer.status_code == 400, attack
        await held.refused(answer, 400, before)


async def insist_on_signatures(participant: Participant) -> None:
    file = participant.directory / "allmende.toml"
    file.write_text("require_signatures = true\n" + file.read_text())
    await participant.restart()


async def test_an_agreement_without_any_signature_is_nothing_that_the_consumer_calls_signed(
    held: Held,
) -> None:
    answer = await send_agreement(held, agreement_message(held, agreed_document(held), None))

    assert answer.status_code == 200, "the message itself is a legal one"
    await until(lambda: held.consumer.rows("negotiations")[0]["state"] in {"AGREED", "VERIFIED"})
    (shown,) = await held.consumer.call("GET", "/api/agreements")
    assert shown["signed"] is False
    assert (await held.region.ledger(held.consumer))["entries"] == []
    assert held.consumer.state()["documents"] == []


async def test_an_agreement_without_any_signature_is_ended_by_a_consumer_that_insists(held: Held) -> None:
    await insist_on_signatures(held.consumer)
    agreement = agreed_document(held)

    answer = await send_agreement(held, agreement_message(held, agreement, None))

    assert answer.status_code == 200, "the message itself is a legal one"
    await until(lambda: held.consumer.rows("negotiations")[0]["state"] == "TERMINATED")
    (record,) = held.consumer.rows("negotiations")
    assert "not signed" in record["reason"]["en"]
    assert (await held.region.ledger(held.consumer))["entries"] == []
    assert held.consumer.state()["documents"] == []


async def test_a_second_agreement_cannot_take_the_name_of_the_first(agreed: Region) -> None:
    """One provider names its agreement like the one that the consumer has with another."""
    agreed_with_neckar = await agreed.agreement_with(agreed.neckar)
    await agreed.publish(agreed.rheinaue, approval="manual")
    pid = await agreed.request(agreed.rheinaue)
    await until(lambda: any(record["held"] for record in agreed.rheinaue.rows("negotiations")))
    theirs = next(record for record in agreed.rheinaue.rows("negotiations") if record["held"])
    held = Held(agreed, theirs["pid"], pid)
    await until(lambda: agreed.lastwerk.rows("outbox") == [])
    before = held.states()
    ours = next(record for record in agreed.lastwerk.rows("negotiations") if record["pid"] == pid)
    agreement = {
        **{name: ours["offer"][name] for name in ("profile", "permission", "prohibition")},
        "@type": "Agreement",
        "@id": agreed_with_neckar,
        "target": DATASETS["rheinaue"],
        "assigner": held.provider.did,
        "assignee": held.consumer.did,
        "timestamp": "2026-11-21T08:00:00Z",
    }

    answer = await send_agreement(held, agreement_message(held, agreement, None))

    await held.refused(answer, 400, before)


# signatures that are not the consumer's: the provider is attacked by its consumer


def agreeable(participant: Participant) -> ASGIApp:
    """A listener that shows the participant's DID document and takes every message."""
    document = dict(credentials(participant).document.content)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(document)(scope, receive, send)

    return serve


@pytest.fixture
async def agreed_only(published: Region) -> Held:
    """The provider has sent its signed agreement; the consumer says what it likes."""
    voice = voice_of(published.lastwerk)
    consumer_pid = "urn:uuid:ffffffff-0000-4000-8000-000000000001"
    published_offer = (await published.read_catalog(published.rheinaue))["datasets"][0]["offers"][0]
    request = dsp(
        "ContractRequestMessage",
        consumerPid=consumer_pid,
        callbackAddress=published.lastwerk.origin + "/dsp/2025-1",
        offer={**published_offer, "target": DATASETS["rheinaue"]},
    ) | {EVIDENCE: {"@type": "@json", "@value": {"purpose": FORECASTING, "signing": ["eddsa-jcs-2022"]}}}
    await published.lastwerk.stop()
    published.network.apps[published.lastwerk.origin] = agreeable(published.lastwerk)
    answer = await voice.say(published.rheinaue, "/negotiations/request", request)
    assert answer.status_code == 201
    await until(lambda: published.rheinaue.rows("negotiations")[0]["state"] == "AGREED")
    return Held(published, answer.json()["providerPid"], consumer_pid)


def verification(held: Held, proof: Any) -> dict[str, Any]:
    message = dsp("ContractAgreementVerificationMessage", **held.pids)
    return message if proof is None else message | {EVIDENCE: {"@type": "@json", "@value": {"proof": proof}}}


async def test_a_verification_with_a_wrong_signature_finalises_nothing(agreed_only: Held) -> None:
    held = agreed_only
    before = held.states()
    (record,) = held.provider.rows("agreements")
    statement = {name: value for name, value in record["statement"].items() if name != "proof"}
    keys, theirs = credentials(held.consumer), credentials(held.provider)
    attacker = Ed25519PrivateKey.generate()
    attacks = {
        "forged": forged(proven(statement, keys)),
        "another key": proven(statement, keys, key=attacker),
        "the key for tokens": proven(statement, keys, key=keys.tokens_key, method=keys.did + "#tokens"),
        "the provider's name": proven(statement, theirs, key=attacker),
        "about something else": proven({**statement, "datasetDigest": "0" * 64}, keys),
        "dated before the negotiation": proven(
            statement, keys, created=datetime.now(UTC) - timedelta(hours=1)
        ),
        "dated ahead": proven(statement, keys, created=datetime.now(UTC) + timedelta(hours=1)),
        "the provider's own proof again": {"proof": record["statement"]["proof"]},
    }
    path = f"/negotiations/{held.provider_pid}/agreement/verification"

    for attack, signed in attacks.items():
        answer = await voice_of(held.consumer).say(
            held.provider, path, verification(held, signed["proof"][0])
        )
        assert answer.status_code == 400, attack
        await held.refused(answer, 400, before)


async def test_a_peer_that_suddenly_does_not_sign_gets_a_contract_but_no_byte(agreed_only: Held) -> None:
    voice, provider = voice_of(agreed_only.consumer), agreed_only.provider
    path = f"/negotiations/{agreed_only.provider_pid}/agreement/verification"
    assert (await voice.say(provider, path, verification(agreed_only, None))).status_code == 200
    await until(lambda: provider.rows("negotiations")[0]["state"] == "FINALIZED")
    (shown,) = await provider.call("GET", "/api/agreements")
    assert shown["signed"] is False
    (entry,) = (await agreed_only.region.ledger(provider))["entries"]
    assert (entry["kind"], entry["agreement_id"]) == ("permit", shown["identifier"])

    requests = [
        dsp(
            "TransferRequestMessage",
            consumerPid=f"urn:uuid:cccccccc-0000-4000-8000-00000000000{number}",
            agreementId=shown["identifier"],
            format=transfer_format,
            callbackAddress=agreed_only.consumer.origin + "/dsp/2025-1",
        )
        for number, transfer_format in enumerate(FORMATS)
    ]
    for request in requests:
        for _ in range(2):
            answer = await voice.say(provider, "/transfers/request", request)
            assert answer.status_code == 400
            assert "accepts_unsigned" in answer.text, "the remedy is named"
    await at_rest(provider)

    assert provider.rows("transfers") == []
    assert provider.state()["uses"] == []
    entries = (await agreed_only.region.ledger(provider))["entries"]
    assert [one["kind"] for one in entries] == ["permit", *["refusal"] * len(FORMATS)], (
        "each once, however often it is sent"
    )


FORMATS = ("AllmendeQuery-PULL", "AllmendeCompute-PULL", "HttpData-PULL")


async def test_a_verification_without_a_signature_ends_the_negotiation_of_a_provider_that_insists(
    agreed_only: Held,
) -> None:
    await insist_on_signatures(agreed_only.provider)
    path = f"/negotiations/{agreed_only.provider_pid}/agreement/verification"

    answer = await voice_of(agreed_only.consumer).say(
        agreed_only.provider, path, verification(agreed_only, None)
    )

    assert answer.status_code == 200, "the message itself is a legal one"
    await until(lambda: agreed_only.provider.rows("negotiations")[0]["state"] == "TERMINATED")
    (record,) = agreed_only.provider.rows("negotiations")
    assert "not signed" in record["reason"]["en"]
    (entry,) = (await agreed_only.region.ledger(agreed_only.provider))["entries"]
    assert (entry["kind"], entry["agreement_id"]) == ("refusal", record["pid"])


async def test_an_agreement_that_is_not_finalised_opens_nothing(agreed_only: Held) -> None:
    before = agreed_only.states()
    (agreement,) = agreed_only.provider.rows("agreements")
    message = dsp(
        "TransferRequestMessage",
        consumerPid=UNKNOWN,
        agreementId=agreement["identifier"],
        format="AllmendeQuery-PULL",
        callbackAddress=agreed_only.consumer.origin + "/dsp/2025-1",
    )

    answer = await voice_of(agreed_only.consumer).say(agreed_only.provider, "/transfers/request", message)

    assert "not in force" in await agreed_only.refused(answer, 400, before)
