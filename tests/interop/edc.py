"""A real Eclipse EDC as a process: control plane and data plane, and what its management API can do.

Source:
    docs/conformance.md; EDC's management API, version 3.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.interop.maven import BUILD, class_path, resolve
from tests.interop.processes import free_ports, stop

HERE = Path(__file__).parent
VERSIONS: Final = ("0.14.0", "0.15.1")
PROTOCOL: Final = "dataspace-protocol-http:2025-1"
PULL: Final = "HttpData-PULL"
PUSH: Final = "HttpData-PUSH"
USE: Final[Sequence[Mapping[str, Any]]] = ({"action": "use"},)
"""The permission of an open offer. EDC drops empty lists, and its offers are then invalid."""

_EDC: Final = "https://w3id.org/edc/v0.0.1/ns/"
_VOCABULARY: Final = {"@vocab": _EDC}
_ODRL: Final = "http://www.w3.org/ns/odrl.jsonld"
_MAIN: Final = "org.eclipse.edc.boot.system.runtime.BaseRuntime"
_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_LOOPS: Final = (
    "edc.negotiation.consumer.state-machine.iteration-wait-millis",
    "edc.negotiation.provider.state-machine.iteration-wait-millis",
    "edc.transfer.state-machine.iteration-wait-millis",
    "edc.dataplane.state-machine.iteration-wait-millis",
    "edc.data.plane.selector.state-machine.iteration-wait-millis",
)
_ENDINGS: Final = ("contract.negotiation.finalized", "contract.negotiation.terminated")
_ENDED: Final = frozenset({"TERMINATED", "FINALIZED", "COMPLETED"})
_CLEARED: Final = frozenset({"DEPROVISIONING", "DEPROVISIONING_REQUESTED", "DEPROVISIONED"})
Json = dict[str, Any]


class EdcError(Exception):
    """EDC did not do what was asked; the sentence says what it said."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where and with what token to fetch data, as a provider told EDC's consumer."""

    endpoint: str
    token: str


class Edc:
    """A running EDC.

    Args:
        participant: Its participant identifier.
        address: Base address of its protocol endpoints.
        process: Its process.
        management: Client of its management API.
        ready_seconds: How long it took from process start to ready.
    """

    def __init__(
        self,
        *,
        participant: str,
        address: str,
        process: subprocess.Popen[bytes],
        management: httpx.AsyncClient,
        ready_seconds: float,
    ) -> None:
        self.participant = participant
        self.address = address
        self.ready_seconds = ready_seconds
        self._process = process
        self._management = management

    @property
    def pid(self) -> int:
        """Identifier of its process."""
        return self._process.pid

    # as provider

    async def offer(self, asset: str, url: str, permission: Sequence[Mapping[str, Any]] = USE) -> None:
        """Put the data of an HTTP address on offer under a policy with these permissions."""
        await self.create_asset(asset, url)
        await self.create_policy(f"policy-{asset}", permission)
        await self.create_contract_definition(f"definition-{asset}", f"policy-{asset}", asset)

    async def create_asset(self, identifier: str, url: str) -> None:
        """Name the data that lie at an HTTP address."""
        source = {"@type": "DataAddress", "type": "HttpData", "baseUrl": url, "proxyPath": "true"}
        body = {"@id": identifier, "properties": {"name": identifier}, "dataAddress": source}
        await self._post("/v3/assets", body)

    async def create_policy(self, identifier: str, permission: Sequence[Mapping[str, Any]] = USE) -> None:
        """Make a policy with these permissions, in compact ODRL."""
        policy = {"@context": _ODRL, "@type": "Set", "permission": list(permission)}
        await self._post("/v3/policydefinitions", {"@id": identifier, "policy": policy})

    async def create_contract_definition(self, identifier: str, policy: str, asset: str) -> None:
        """Offer an asset under a policy to everybody."""
        selector = {
            "@type": "Criterion",
            "operandLeft": f"{_EDC}id",
            "operator": "=",
            "operandRight": asset,
        }
        body = {"@id": identifier, "accessPolicyId": policy, "contractPolicyId": policy}
        await self._post("/v3/contractdefinitions", {**body, "assetsSelector": [selector]})

    # as consumer

    async def catalog(self, address: str, participant: str) -> Json:
        """Read a provider's catalog."""
        return await self._post("/v3/catalog/request", _counterparty(address, participant))

    async def dataset(self, address: str, participant: str, identifier: str) -> Json:
        """Read one dataset of a provider's catalog."""
        body = {"@type": "DatasetRequest", "@id": identifier, **_counterparty(address, participant)}
        return await self._post("/v3/catalog/dataset/request", body)

    async def negotiate(
        self, address: str, participant: str, dataset: Json, *, callback: str | None = None
    ) -> str:
        """Ask for a contract on a dataset's first offer.

        Args:
            address: The provider's protocol address.
            participant: Its participant identifier.
            dataset: The dataset, as in the catalog that EDC read.
            callback: An HTTP address that EDC is to tell when the negotiation has ended.

        Returns:
            EDC's identifier of the negotiation.
        """
        offer = items(dataset, "hasPolicy")[0]
        policy = {
            **offer,
            "@context": _ODRL,
            "@type": "Offer",
            "assigner": {"@id": participant},
            "target": {"@id": dataset["@id"]},
        }
        body: Json = {"@type": "ContractRequest", "counterPartyAddress": address, "protocol": PROTOCOL}
        if callback is not None:
            body["callbackAddresses"] = [
                {"@type": "CallbackAddress", "uri": callback, "events": _ENDINGS, "transactional": False}
            ]
        return await self._created("/v3/contractnegotiations", {**body, "policy": policy})

    async def negotiation(self, identifier: str) -> Json:
        """A negotiation as it stands."""
        return await self._get(f"/v3/contractnegotiations/{identifier}")

    async def negotiations(self) -> list[Json]:
        """All negotiations, in both roles."""
        return await self._query("/v3/contractnegotiations/request")

    async def transfers(self) -> list[Json]:
        """All transfer processes, in both roles."""
        return await self._query("/v3/transferprocesses/request")

    async def agreed(self, identifier: str, seconds: float = 30) -> str:
        """Wait until a negotiation is FINALIZED.

        Returns:
            The identifier under which EDC requests transfers; in 0.15 it is not the one on the wire.
        """
        path = f"/v3/contractnegotiations/{identifier}"
        await self._reached(path, {"FINALIZED"}, seconds)
        return str((await self.negotiation(identifier))["contractAgreementId"])

    async def terminate_negotiation(self, identifier: str, reason: str) -> None:
        """End a negotiation from this side.

        EDC tells the provider only if it knows its pid: wait until the state is REQUESTED.
        """
        body = {"@type": "TerminateNegotiation", "@id": identifier, "reason": reason}
        await self._post(f"/v3/contractnegotiations/{identifier}/terminate", body)

    async def transfer(
        self, address: str, agreement: str, transfer_type: str = PULL, destination: str | None = None
    ) -> str:
        """Ask for the data of an agreement.

        Args:
            address: The provider's protocol address.
            agreement: Identifier of the agreement.
            transfer_type: The distribution's format.
            destination: For a push, the HTTP address that is to receive the data.

        Returns:
            EDC's identifier of the transfer process.
        """
        body: Json = {
            "@type": "TransferRequest",
            "counterPartyAddress": address,
            "protocol": PROTOCOL,
            "contractId": agreement,
            "transferType": transfer_type,
        }
        if destination is not None:
            body["dataDestination"] = {"type": "HttpData", "baseUrl": destination}
        return await self._created("/v3/transferprocesses", body)

    async def transferred(self, identifier: str, state: str, seconds: float = 30) -> None:
        """Wait until a transfer process is in a state.

        After COMPLETED and TERMINATED, EDC's provider goes on by itself to states of its own
        (DEPROVISIONING and later), which count as reached; the two cannot be told apart then.
        """
        path = f"/v3/transferprocesses/{identifier}/state"
        await self._reached(path, {state} | (_CLEARED if state in _ENDED else set()), seconds)

    async def suspend(self, identifier: str, reason: str) -> None:
        """Suspend a transfer process from this side."""
        body = {"@type": "SuspendTransfer", "reason": reason}
        await self._post(f"/v3/transferprocesses/{identifier}/suspend", body)

    async def resume(self, identifier: str) -> None:
        """Resume a transfer process from this side."""
        await self._post(f"/v3/transferprocesses/{identifier}/resume", {})

    async def terminate(self, identifier: str, reason: str) -> None:
        """End a transfer process from this side."""
        body = {"@type": "TerminateTransfer", "reason": reason}
        await self._post(f"/v3/transferprocesses/{identifier}/terminate", body)

    async def access(self, identifier: str, seconds: float = 10) -> Access:
        """Where to fetch the data of a started transfer; it is known a moment after STARTED."""
        deadline = time.monotonic() + seconds
        while True:
            answer = await self._management.get(f"/v3/edrs/{identifier}/dataaddress")
            if answer.status_code != httpx.codes.NOT_FOUND or time.monotonic() > deadline:
                break
            await asyncio.sleep(_POLL_SECONDS)
        found = _taken(answer)
        return Access(_named(found, "endpoint"), _named(found, "authorization"))

    # the parts

    async def _reached(self, path: str, states: AbstractSet[str], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (current := (found := await self._get(path)).get("state")) not in states:
            if current in _ENDED | _CLEARED or time.monotonic() > deadline:
                wanted = " or ".join(sorted(states))
                reason = found.get("errorDetail", "no reason given")
                raise EdcError(f"{self.participant}: {path} is {current}, not {wanted}: {reason}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _created(self, path: str, body: Json) -> str:
        return str((await self._post(path, body))["@id"])

    async def _query(self, path: str) -> list[Json]:
        answer = await self._management.post(path, json={"@context": _VOCABULARY, "limit": 10_000})
        found: list[Json] = _taken(answer)
        return found

    async def _get(self, path: str) -> Json:
        found: Json = _taken(await self._management.get(path))
        return found

    async def _post(self, path: str, body: Json) -> Json:
        found: Json = _taken(await self._management.post(path, json={"@context": _VOCABULARY, **body}))
        return found


@asynccontextmanager
async def running_edc(
    version: str, participant: str, directory: Path, *, loop_milliseconds: int | None = None
) -> AsyncIterator[Edc]:
    """Run an EDC of its own until the block ends.

    Args:
        version: One of `VERSIONS`.
        participant: Its participant identifier.
        directory: A new directory for its configuration, keys and log.
        loop_milliseconds: How long its state machines wait between two looks;
            EDC's own 1000 if None.

    Yields:
        The EDC, ready.

    Raises:
        EdcError: It did not become ready.
        UnresolvedError: Maven could not fetch it.
    """
    library = await asyncio.to_thread(resolve, HERE / f"edc-{version}.pom.xml", BUILD / "edc" / version)
    at = _Ports(*free_ports(6))
    configuration = _configure(directory, participant, at, loop_milliseconds)
    started = time.monotonic()
    process = _start(library, configuration, directory / "edc.log")
    try:
        await _ready(process, f"http://localhost:{at.default}/api/check/startup", directory / "edc.log")
        base = f"http://localhost:{at.management}/management"
        async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as client:
            yield Edc(
                participant=participant,
                address=f"http://localhost:{at.protocol}/protocol/2025-1",
                process=process,
                management=client,
                ready_seconds=time.monotonic() - started,
            )
    finally:
        await asyncio.to_thread(stop, process)


def items(document: Json, name: str) -> list[Json]:
    """A property's values; EDC may write a single one without its list."""
    found = document.get(name, [])
    return found if isinstance(found, list) else [found]


@dataclass(frozen=True, slots=True)
class _Ports:
    default: int
    management: int
    protocol: int
    control: int
    version: int
    public: int


def _configure(directory: Path, participant: str, at: _Ports, loop_milliseconds: int | None) -> Path:
    """Write an EDC's properties and keys."""
    directory.mkdir(parents=True)
    settings = {
        "edc.participant.id": participant,
        "edc.hostname": "localhost",
        **_listener("", at.default, "/api"),
        **_listener("management", at.management, "/management"),
        **_listener("protocol", at.protocol, "/protocol"),
        **_listener("control", at.control, "/control"),
        **_listener("version", at.version, "/.well-known/api"),
        **_listener("public", at.public, "/public"),
        "edc.dsp.callback.address": f"http://localhost:{at.protocol}/protocol",
        "edc.dataplane.api.public.baseurl": f"http://localhost:{at.public}/public",
        **_keys(directory),
        **({} if loop_milliseconds is None else dict.fromkeys(_LOOPS, str(loop_milliseconds))),
    }
    file = directory / "edc.properties"
    file.write_text("".join(f"{name}={_escaped(value)}\n" for name, value in settings.items()))
    return file


def _listener(name: str, port: int, path: str) -> dict[str, str]:
    prefix = f"web.http.{name}." if name else "web.http."
    return {f"{prefix}port": str(port), f"{prefix}path": path}


def _keys(directory: Path) -> dict[str, str]:
    """Keys of the data plane's tokens: the private one stands in the configuration, for want of a vault."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = directory / "public.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return {
        "edc.transfer.proxy.token.signer.privatekey.alias": "private-key",
        "edc.transfer.proxy.token.verifier.publickey.alias": "public-key",
        "private-key": private,
        "edc.iam.publickeys.k1.id": "public-key",
        "edc.iam.publickeys.k1.path": str(public),
    }


def _start(library: Path, configuration: Path, log: Path) -> subprocess.Popen[bytes]:
    command = ["java", f"-Dedc.fs.config={configuration}", "-cp", class_path(library), _MAIN]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EDC_", "WEB_"))}
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)


async def _ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        while True:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise EdcError(f"EDC did not become ready: {_complaint(log)}")
            await asyncio.sleep(_POLL_SECONDS)


def _complaint(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if "SEVERE" in line), "no reason given")


def _counterparty(address: str, participant: str) -> Json:
    return {"counterPartyAddress": address, "counterPartyId": participant, "protocol": PROTOCOL}


def _taken(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise EdcError(
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
        )
    return answer.json() if answer.content else {}


def _named(document: Json, name: str) -> str:
    """A field under its short name (0.14) or its IRI (0.15)."""
    value = document.get(name, document.get(_EDC + name))
    if not isinstance(value, str):
        raise EdcError(f"EDC's data address has no {name}: {sorted(document)}")
    return value


def _escaped(value: str) -> str:
    """A value as a Java properties file wants it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
