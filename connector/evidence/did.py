"""Participants' names (`did:web`) and the documents that list their keys.

Pure: turns names into addresses and documents into values; fetching is
`connector.adapters.did_identity`.

Source:
    W3C DID Core 1.0, W3C Controlled Identifiers 1.0, did:web method specification.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from connector.evidence.documents import digest, mappings, moment_of, text, texts
from connector.evidence.errors import DidError, EvidenceError
from connector.evidence.multikey import PublicKey, decode_key, encode_key
from schemas.errors import in_english
from schemas.strict_json import JsonObject, JsonValue
from schemas.vocabulary import ALLMENDE

DID_CONTEXT: Final = "https://www.w3.org/ns/did/v1"
MULTIKEY_CONTEXT: Final = "https://w3id.org/security/multikey/v1"
CONTRACTS: Final = "#contracts"
"""Fragment of the key that signs agreements, receipts and tree heads."""
TOKENS: Final = "#tokens"
"""Fragment of the key that signs the tokens of our requests."""

KEY_SUCCESSION: Final = ALLMENDE + "keySuccession"
"""Member of a DID document: what keys that were given up have signed about their successors, oldest first."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"(?=[^:%]{{1,253}}(?:[:%]|$))(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?"
_PORT = r"(?:%3A(?P<port>[1-9][0-9]{0,4}))?"
_PATH = r"(?P<path>(?::[A-Za-z0-9._~-]+)*)"
_DID_WEB = re.compile(rf"did:web:(?P<host>{_HOST}){_PORT}{_PATH}")
_DID = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+")
_MOST_CHARACTERS: Final = 1_000
_MOST_METHODS: Final = 64
_RELATIONSHIPS: Final = ("assertionMethod", "authentication", "capabilityInvocation")
_COORDINATE_BYTES: Final = 32
_LAST_PORT: Final = 65_535


def did_url(did: str, *, loopback_http: bool = False) -> str:
    """Where the document of a `did:web` name lies.

    A name has exactly one spelling: upper-case hosts, `%3a`, IP addresses,
    userinfo, queries, fragments, dot segments and other escapes are refused.

    Args:
        did: Such as `did:web:daten.example.de` or `did:web:localhost%3A8081`.
        loopback_http: Read `localhost` without TLS; for demonstrations and tests.

    Returns:
        Such as `https://daten.example.de/.well-known/did.json`.

    Raises:
        DidError: The name is not a strictly spelled `did:web` name.

    Source:
        did:web method specification, section 2.5.2.
    """
    match = _DID_WEB.fullmatch(did) if len(did) <= _MOST_CHARACTERS else None
    if match is None:
        raise DidError(
            f"{did[:200]!r} is not a did:web name that we accept: lower-case host name (no IP address), "
            "optional %3A and port, optional path of plain segments.",
            f"{did[:200]!r} ist kein did:web-Name, den wir annehmen: Rechnername in kleinen Buchstaben "
            "(keine IP-Adresse), wahlweise %3A und Port, wahlweise ein Pfad aus einfachen Teilen.",
        )
    segments = match["path"].split(":")[1:]
    if any(segment.strip(".") == "" for segment in segments):
        raise DidError(
            f"{did[:200]!r} has a path segment of dots only.",
            f"{did[:200]!r} hat einen Pfadteil, der nur aus Punkten besteht.",
        )
    if match["port"] and int(match["port"]) > _LAST_PORT:
        raise DidError(
            f"{did[:200]!r} names a port above {_LAST_PORT}.",
            f"{did[:200]!r} nennt einen Port über {_LAST_PORT}.",
        )
    scheme = "http" if loopback_http and match["host"] == "localhost" else "https"
    authority = match["host"] + (f":{match['port']}" if match["port"] else "")
    path = "/".join(segments) if segments else ".well-known"
    return f"{scheme}://{authority}/{path}/did.json"


def did_of(base_url: str) -> str:
    """The `did:web` name of a participant whose public listener has this address.

    Args:
        base_url: Such as `https://daten.example.de` or `http://localhost:8081`.

    Raises:
        DidError: The address has no `did:web` name, such as an IP address.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise DidError(
            f"{base_url!r} is not a plain http(s) address.",
            f"{base_url!r} ist keine einfache http(s)-Adresse.",
        )
    path = parts.path.strip("/")
    did = "did:web:" + parts.netloc.replace(":", "%3A") + (":" + path.replace("/", ":") if path else "")
    did_url(did)
    return did


@dataclass(frozen=True, slots=True)
class VerificationMethod:
    """A public key, and who controls it.

    Attributes:
        identifier: Such as `did:web:daten.example.de#contracts`.
        controller: DID of the party that controls it.
        key: The key.
        ended: From when on its owner no longer uses it (`expires` or `revoked`,
            whichever is earlier); None while it is in use.
    """

    identifier: str
    controller: str
    key: PublicKey
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """An address that a participant lists in its DID document."""

    identifier: str
    kinds: tuple[str, ...]
    endpoint: str


@dataclass(frozen=True, slots=True)
class DidDocument:
    """A participant's keys and addresses, read from its DID document.

    Attributes:
        did: Whose document it is.
        methods: The keys of kinds that we can verify with.
        relationships: Per relationship, such as `assertionMethod`, the
            identifiers of the keys that may be used for it.
        services: Addresses; only those that are single strings.
        content: The document, verbatim.
        digest: SHA-256 of the document's canonical form.
        order: The keys listed under `assertionMethod`, in the document's order.
    """

    did: str
    methods: Mapping[str, VerificationMethod]
    relationships: Mapping[str, frozenset[str]]
    services: tuple[Service, ...]
    content: JsonObject
    digest: str
    order: tuple[str, ...] = ()

    def key(self, identifier: str, relationship: str, *, at: datetime | None = None) -> PublicKey:
        """The key of this name, if this participant may use it for this purpose.

        Args:
            identifier: Such as `did:web:daten.example.de#contracts`.
            relationship: Such as `assertionMethod`.
            at: When it was used; None for a use whose time is checked elsewhere.

        Raises:
            DidError: The document does not list it, or another party controls it.
        """
        method = self.methods.get(identifier)
        if method is None:
            raise DidError(
                f"The DID document of {self.did} has no usable key {identifier!r}.",
                f"Das DID-Dokument von {self.did} hat keinen brauchbaren Schlüssel {identifier!r}.",
            )
        if method.controller != self.did:
            raise DidError(
                f"The key {identifier!r} is controlled by {method.controller!r}, not by {self.did}.",
                f"Über den Schlüssel {identifier!r} verfügt {method.controller!r}, nicht {self.did}.",
            )
        if identifier not in self.relationships[relationship]:
            raise DidError(
                f"The DID document of {self.did} does not list {identifier!r} under {relationship}.",
                f"Das DID-Dokument von {self.did} führt {identifier!r} nicht unter {relationship}.",
            )
        if at is not None and method.ended is not None and at > method.ended:
            raise DidError(
                f"The key {identifier!r} was used at {at.isoformat()}, after {self.did} had given it up "
                f"({method.ended.isoformat()}).",
                f"Der Schlüssel {identifier!r} wurde am {at.isoformat()} benutzt, nachdem {self.did} "
                f"ihn aufgegeben hatte ({method.ended.isoformat()}).",
            )
        return method.key

    @property
    def signing_method(self) -> str:
        """Identifier of the key that this participant signs statements with: the first one in use.

        Raises:
            DidError: The document lists no Ed25519 key in use under assertionMethod.
        """
        for identifier in self.order:
            method = self.methods.get(identifier)
            if method is not None and method.ended is None and isinstance(method.key, Ed25519PublicKey):
                return identifier
        raise DidError(
            f"The DID document of {self.did} lists no Ed25519 key in use under assertionMethod.",
            f"Das DID-Dokument von {self.did} führt unter assertionMethod keinen Ed25519-Schlüssel, "
            "der in Gebrauch ist.",
        )

    def endpoint(self, kind: str) -> str | None:
        """The address of the first service of a kind, such as `CatalogService`; None without one."""
        return next((service.endpoint for service in self.services if kind in service.kinds), None)


@dataclass(frozen=True, slots=True)
class RetiredKey:
    """A key that signed agreements and receipts, and no longer does.

    Attributes:
        fragment: Such as `#contracts`.
        key: The public key.
        ended: When it was given up, with a time zone.
        succession: What it signed about its successor (`connector.evidence.succession`).
    """

    fragment: str
    key: Ed25519PublicKey
    ended: datetime
    succession: JsonObject


def build_did_document(
    *,
    did: str,
    contracts_key: Ed25519PublicKey,
    tokens_key: Ed25519PublicKey,
    data_service: str,
    catalog_service: str,
    credential_service: str | None = None,
    contracts: str = CONTRACTS,
    tokens: str = TOKENS,
    retired: Sequence[RetiredKey] = (),
) -> JsonObject:
    """Our own DID document.

    Contracts and tokens have separate keys, so that a stolen token key signs no
    contract. A contract key that was given up stays in the document with the
    time of its end, so that what it signed before stays verifiable.

    Args:
        did: Our name.
        contracts_key: Signs agreements, receipts and tree heads.
        tokens_key: Signs the tokens that identify our requests.
        data_service: Address of our DSP version document (`…/.well-known/dspace-version`).
        catalog_service: Address of our DSP catalog (`…/catalog`).
        credential_service: Address at which our credentials are asked for; None where there is none.
        contracts: Fragment of the contracts key.
        tokens: Fragment of the tokens key.
        retired: Contract keys that were given up, oldest first.

    Source:
        DSP 2025-1, section 4.4 (discovery by DID service); DCP 1.0, sections 4.3 and 5.2;
        W3C Controlled Identifiers 1.0, section 2.2 (`expires`).
    """
    services = {"DataService": data_service, "CatalogService": catalog_service}
    if credential_service is not None:
        services["CredentialService"] = credential_service
    document: JsonObject = {
        "@context": [DID_CONTEXT, MULTIKEY_CONTEXT],
        "id": did,
        "verificationMethod": [
            _multikey(did, contracts, contracts_key),
            _multikey(did, tokens, tokens_key),
            *(_retired_multikey(did, one) for one in retired),
        ],
        "assertionMethod": [did + contracts, *(did + one.fragment for one in reversed(retired))],
        "authentication": [did + tokens],
        "capabilityInvocation": [did + tokens],
        "service": [
            {"id": f"{did}#{kind}", "type": kind, "serviceEndpoint": endpoint}
            for kind, endpoint in services.items()
        ],
    }
    if retired:
        document[KEY_SUCCESSION] = [one.succession for one in retired]
    return document


def _multikey(did: str, fragment: str, key: Ed25519PublicKey) -> JsonObject:
    return {
        "id": did + fragment,
        "type": "Multikey",
        "controller": did,
        "publicKeyMultibase": encode_key(key),
    }


def _retired_multikey(did: str, retired: RetiredKey) -> JsonObject:
    ended = retired.ended.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**_multikey(did, retired.fragment, retired.key), "expires": ended}


def parse_did_document(content: JsonObject, *, did: str) -> DidDocument:
    """Read a DID document and check that it is the one that was asked for.

    Keys of kinds that we do not know are left out rather than refused: a
    participant may have other uses for them.

    Args:
        content: The document.
        did: Whose document it must be.

    Raises:
        DidError: It is malformed, belongs to another DID, names a key twice or
            publishes a private key.
    """
    try:
        return _parse(content, did)
    except DidError:
        raise
    except EvidenceError as error:
        raise DidError(
            f"The DID document of {did[:200]} is malformed: {error}",
            f"Das DID-Dokument von {did[:200]} ist fehlerhaft: {error.reason['de']}",
        ) from error


def _parse(content: JsonObject, did: str) -> DidDocument:
    if not _DID.fullmatch(did):
        raise DidError(f"{did[:200]!r} is not a DID.", f"{did[:200]!r} ist keine DID.")
    if text(content, "id") != did:
        raise DidError(
            f"The DID document says it belongs to {content['id']!r}, not to {did!r}.",
            f"Das DID-Dokument gehört nach eigener Angabe zu {content['id']!r}, nicht zu {did!r}.",
        )
    entries = list(mappings(content, "verificationMethod")) if "verificationMethod" in content else []
    relationships = {}
    order: tuple[str, ...] = ()
    for name in _RELATIONSHIPS:
        references, embedded = _relationship(content.get(name, []), did)
        relationships[name] = frozenset(references)
        entries += embedded
        if name == _RELATIONSHIPS[0]:
            order = references
    return DidDocument(
        did=did,
        methods=_methods(entries, did),
        relationships=relationships,
        services=_services(content.get("service", [])),
        content=content,
        digest=digest(content),
        order=order,
    )


def _absolute(reference: str, did: str) -> str:
    return did + reference if reference.startswith("#") else reference


def _relationship(value: JsonValue, did: str) -> tuple[tuple[str, ...], list[JsonObject]]:
    """The keys listed for a purpose, and those that are written down only there."""
    if not isinstance(value, list):
        raise DidError(
            f"The DID document of {did} has a verification relationship that is not a list.",
            f"Das DID-Dokument von {did} hat eine Schlüsselverwendung (verification relationship), "
            "die keine Liste ist.",
        )
    embedded = [entry for entry in value if isinstance(entry, dict)]
    named = (
        entry if isinstance(entry, str) else text(entry, "id")
        for entry in value
        if isinstance(entry, (str, dict))
    )
    return tuple(_absolute(name, did) for name in named), embedded


def _methods(entries: list[JsonObject], did: str) -> dict[str, VerificationMethod]:
    if len(entries) > _MOST_METHODS:
        raise DidError(
            f"The DID document of {did} lists more than {_MOST_METHODS} keys.",
            f"Das DID-Dokument von {did} führt mehr als {_MOST_METHODS} Schlüssel.",
        )
    methods: dict[str, VerificationMethod] = {}
    seen = set()
    for entry in entries:
        identifier = _absolute(text(entry, "id"), did)
        if identifier in seen:
            raise DidError(
                f"The DID document of {did} lists the key {identifier!r} twice.",
                f"Das DID-Dokument von {did} führt den Schlüssel {identifier!r} zweimal.",
            )
        seen.add(identifier)
        key = _public_key(entry)
        if key is not None and identifier.startswith(did + "#"):
            controller = text(entry, "controller")
            methods[identifier] = VerificationMethod(identifier, controller, key, _ended(entry))
    return methods


def _ended(entry: Mapping[str, JsonValue]) -> datetime | None:
    """When a key was given up, of which a document may name two moments."""
    moments = [moment_of(entry, name) for name in ("expires", "revoked") if name in entry]
    return min(moments, default=None)


def _public_key(entry: Mapping[str, JsonValue]) -> PublicKey | None:
    multibase, jwk = entry.get("publicKeyMultibase"), entry.get("publicKeyJwk")
    if entry.get("type") == "Multikey" and isinstance(multibase, str):
        return _known_key(multibase)
    if isinstance(jwk, dict):
        return _jwk(jwk)
    return None


def _known_key(multibase: str) -> PublicKey | None:
    try:
        return decode_key(multibase)
    except EvidenceError:
        return None


def _jwk(jwk: Mapping[str, JsonValue]) -> PublicKey | None:
    """A key as a JSON Web Key (RFC 7517), as other connectors publish theirs."""
    if "d" in jwk:
        raise DidError(
            "The DID document publishes a private key; its owner must replace that key.",
            "Das DID-Dokument veröffentlicht einen privaten Schlüssel; dessen Eigentümer muss ihn ersetzen.",
        )
    try:
        match (jwk.get("kty"), jwk.get("crv")):
            case ("OKP", "Ed25519"):
                return Ed25519PublicKey.from_public_bytes(_coordinate(jwk, "x"))
            case ("EC", "P-256"):
                x, y = (int.from_bytes(_coordinate(jwk, name), "big") for name in ("x", "y"))
                return EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    except ValueError as error:
        raise DidError(
            f"The DID document holds a malformed JSON Web Key: {error}",
            f"Das DID-Dokument enthält einen fehlerhaften JSON Web Key {in_english(error)}.",
        ) from error
    return None


def _coordinate(jwk: Mapping[str, JsonValue], name: str) -> bytes:
    data = urlsafe_b64decode(text(jwk, name) + "=")
    if len(data) != _COORDINATE_BYTES:
        raise DidError(
            f"The member {name!r} of a JSON Web Key must hold {_COORDINATE_BYTES} bytes.",
            f"Das Member {name!r} eines JSON Web Key muss {_COORDINATE_BYTES} Bytes enthalten.",
        )
    return data


def _services(value: JsonValue) -> tuple[Service, ...]:
    if not isinstance(value, list):
        raise DidError(
            "The member 'service' of a DID document must be a list.",
            "Das Member „service“ eines DID-Dokuments muss eine Liste sein.",
        )
    services = []
    for entry in value:
        if isinstance(entry, dict) and isinstance(entry.get("serviceEndpoint"), str):
            kinds = texts(entry, "type") if isinstance(entry.get("type"), list) else (text(entry, "type"),)
            services.append(Service(text(entry, "id"), kinds, text(entry, "serviceEndpoint")))
    return tuple(services)
