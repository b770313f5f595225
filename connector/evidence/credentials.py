"""Verifiable credentials: what an issuer states about a participant.

Pure: turns what a signed token states into a value. Whether the signature fits
is for `connector.adapters.dcp_credentials`, whose word counts for
`connector.evidence.trusted_issuers`.

A credential is read in both forms that dataspaces use: as the payload of its
token (data model 2.0), and below the claim `vc` (data model 1.1). What we cannot
check, such as a schema or a state of an unknown kind, makes a credential unreadable.

Source:
    W3C Verifiable Credentials Data Model 1.1 and 2.0; Securing Verifiable
    Credentials using JOSE and COSE; DCP 1.0, profiles `vc11-sl2021/jwt` and `vc20-bssl/jwt`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from connector.evidence.documents import digest, text
from connector.evidence.errors import CredentialError, EvidenceError
from schemas.strict_json import JsonObject, JsonValue

CREDENTIALS_CONTEXT: Final = "https://www.w3.org/ns/credentials/v2"
VERIFIABLE_CREDENTIAL: Final = "VerifiableCredential"
PRESENTATION: Final = "VerifiablePresentation"
STATUS_KINDS: Final = frozenset({"BitstringStatusListEntry", "StatusList2021Entry"})
STATUS_PURPOSES: Final = frozenset({"revocation", "suspension"})
_MOST_STATUSES: Final = 4
_MOST_INDEX_DIGITS: Final = 9
_MOST_CREDENTIALS: Final = 50
_ENVELOPE: Final = "EnvelopedVerifiableCredential"
_ENVELOPED: Final = "data:application/vc+jwt,"


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """Where it stands whether a credential has been taken back.

    Attributes:
        purpose: `revocation` or `suspension`.
        address: Where the list lies.
        index: The credential's place in it, from 0.
    """

    purpose: str
    address: str
    index: int


@dataclass(frozen=True, slots=True)
class Credential:
    """What an issuer states about a participant.

    Attributes:
        identifier: What the issuer calls it; a digest of its content where it has no name.
        issuer: DID of who states it.
        subject: DID of whom it is about.
        types: What it is, such as `MembershipCredential`.
        claims: What is stated about the subject.
        enveloped: Whether it is the whole payload of its token (data model 2.0).
        valid_from: From when on it counts; None where it does not say.
        valid_until: Until when it counts; None where it does not say.
        statuses: Where it stands whether it has been taken back.
    """

    identifier: str
    issuer: str
    subject: str
    types: tuple[str, ...]
    claims: JsonObject
    enveloped: bool
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    statuses: tuple[StatusEntry, ...] = field(default_factory=tuple)

    def counts_at(self, now: datetime) -> bool:
        """Whether the credential has begun and not ended."""
        begun = self.valid_from is None or now >= self.valid_from
        return begun and (self.valid_until is None or now < self.valid_until)

    def require_about(self, did: str) -> None:
        """Refuse a credential about somebody else.

        Raises:
            CredentialError: It is.
        """
        if self.subject != did:
            raise CredentialError(
                f"The credential is about {self.subject}, not about {did}.",
                f"Der Nachweis handelt von {self.subject} und nicht von {did}.",
            )

    def require_current(self, now: datetime) -> None:
        """Refuse a credential that has not begun, or has ended.

        Raises:
            CredentialError: It counts only later, or no longer.
        """
        if self.counts_at(now):
            return
        if self.valid_from is not None and now < self.valid_from:
            begins = self.valid_from.isoformat()
            raise CredentialError(
                f"The credential counts only from {begins} on.", f"Der Nachweis zählt erst ab {begins}."
            )
        ended = "" if self.valid_until is None else self.valid_until.isoformat()
        raise CredentialError(
            f"The credential expired at {ended}.", f"Der Nachweis ist am {ended} abgelaufen."
        )


def read_credential(claims: JsonObject) -> Credential:
    """Read what a credential's token states.

    Args:
        claims: The token's payload.

    Returns:
        The credential; its signature and its state are still to be checked.

    Raises:
        CredentialError: It is malformed, contradicts itself, is about several subjects,
            or asks for a check that is not made here.
    """
    enveloped = "vc" not in claims
    content = claims if enveloped else claims["vc"]
    if not isinstance(content, dict):
        raise CredentialError("The token holds no credential.")
    try:
        return _read(content, claims, enveloped=enveloped)
    except CredentialError:
        raise
    except EvidenceError as problem:
        raise CredentialError(f"The credential is malformed: {problem}") from problem


def _read(content: JsonObject, claims: JsonObject, *, enveloped: bool) -> Credential:
    if content.get("credentialSchema"):
        raise CredentialError(
            "The credential asks to be checked against a schema (credentialSchema), which is not done here. "
            "Ask its issuer for one without.",
            "Der Nachweis will gegen ein Schema geprüft werden (credentialSchema). Das geschieht hier nicht. "
            "Bitten Sie den Aussteller um einen ohne Schema.",
        )
    subject = _only(content.get("credentialSubject"))
    named = content.get("id", claims.get("jti"))
    return Credential(
        identifier=named if isinstance(named, str) and named else f"urn:sha256:{digest(content)}",
        issuer=_agreed(_issuer(content), claims.get("iss"), "issuer", needed=not enveloped),
        subject=_agreed(text(subject, "id"), claims.get("sub"), "subject", needed=False),
        types=_types(content),
        claims={name: value for name, value in subject.items() if name != "id"},
        enveloped=enveloped,
        valid_from=max(_moments(content, claims, "validFrom", "issuanceDate", "nbf"), default=None),
        valid_until=min(_moments(content, claims, "validUntil", "expirationDate", "exp"), default=None),
        statuses=tuple(_statuses(content.get("credentialStatus"))),
    )


def _only(value: JsonValue) -> JsonObject:
    subjects = value if isinstance(value, list) else [value]
    if len(subjects) != 1 or not isinstance(subjects[0], dict):
        raise CredentialError("The credential must be about exactly one subject.")
    return subjects[0]


def _issuer(content: Mapping[str, JsonValue]) -> JsonValue:
    issuer = content.get("issuer")
    return issuer.get("id") if isinstance(issuer, dict) else issuer


def _agreed(stated: JsonValue, in_token: JsonValue, what: str, *, needed: bool) -> str:
    """A name that the credential and its token must state alike, so that nobody reads two of them."""
    if not isinstance(stated, str) or not stated:
        raise CredentialError(f"The credential names no {what}.")
    if in_token is None and not needed:
        return stated
    if stated != in_token:
        raise CredentialError(f"The credential's {what} is {stated!r}, its token's {in_token!r}.")
    return stated


def _types(content: Mapping[str, JsonValue]) -> tuple[str, ...]:
    value = content.get("type")
    types = value if isinstance(value, list) else [value]
    named = tuple(one for one in types if isinstance(one, str) and one)
    if not named or len(named) != len(types):
        raise CredentialError("The credential does not say of which type it is.")
    return named


def _moments(content: JsonObject, claims: JsonObject, *names: str) -> list[datetime]:
    """Every moment that a credential or its token states under one of these names."""
    *in_credential, in_token = names
    moments = [_moment(content[name], name) for name in in_credential if content.get(name) is not None]
    if claims.get(in_token) is not None:
        moments.append(_seconds(claims[in_token], in_token))
    return moments


def _moment(value: JsonValue, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise CredentialError(f"The credential's {name} is no time with a zone.")
    return moment.astimezone(UTC)


def _seconds(value: JsonValue, name: str) -> datetime:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise CredentialError(f"The token's {name} is no time.")


def _statuses(value: JsonValue) -> Iterator[StatusEntry]:
    entries = value if isinstance(value, list) else [] if value is None else [value]
    if len(entries) > _MOST_STATUSES:
        raise CredentialError(f"The credential has more than {_MOST_STATUSES} states.")
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("type") not in STATUS_KINDS:
            raise CredentialError("The credential's state stands in a list of a kind that we do not know.")
        purpose, size = text(entry, "statusPurpose"), entry.get("statusSize", 1)
        if purpose not in STATUS_PURPOSES or size != 1:
            raise CredentialError(f"The credential has a state of an unknown kind, {purpose[:40]!r}.")
        index = str(entry.get("statusListIndex"))
        if not (index.isascii() and index.isdigit() and len(index) <= _MOST_INDEX_DIGITS):
            raise CredentialError("The credential's place in a list of states is no number.")
        yield StatusEntry(purpose, text(entry, "statusListCredential"), int(index))


def read_presentation(claims: JsonObject) -> tuple[str, ...]:
    """Read the credentials that a presentation's token holds.

    Args:
        claims: The token's payload.

    Returns:
        The credentials, each a token that is still to be read and verified.

    Raises:
        CredentialError: It is malformed, holds too many, or credentials that are no tokens.
    """
    content = claims.get("vp", claims)
    if not isinstance(content, dict) or PRESENTATION not in _types(content):
        raise CredentialError("The token holds no presentation.")
    value = content.get("verifiableCredential", [])
    held = value if isinstance(value, list) else [value]
    if len(held) > _MOST_CREDENTIALS:
        raise CredentialError(f"The presentation holds more than {_MOST_CREDENTIALS} credentials.")
    return tuple(_token(one) for one in held)


def _token(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.get("type") == _ENVELOPE:
        enveloped = value.get("id")
        if isinstance(enveloped, str) and enveloped.startswith(_ENVELOPED):
            return enveloped.removeprefix(_ENVELOPED)
    raise CredentialError("The presentation holds a credential that is no signed token.")


def write_presentations(held: Mapping[str, Credential]) -> Iterator[JsonObject]:
    """Write presentations: one for the credentials of each data model, as DCP allows no mixing.

    Args:
        held: The credentials by their tokens.

    Yields:
        Claims of a presentation's token, without those that name its parties and its time.
    """
    wrapped = [token for token, credential in held.items() if not credential.enveloped]
    if wrapped:
        yield {
            "vp": {
                "@context": ["https://www.w3.org/2018/credentials/v1"],
                "type": [PRESENTATION],
                "verifiableCredential": list(wrapped),
            }
        }
    enveloped = [token for token, credential in held.items() if credential.enveloped]
    if enveloped:
        yield {
            "@context": [CREDENTIALS_CONTEXT],
            "type": [PRESENTATION],
            "verifiableCredential": [
                {"@context": CREDENTIALS_CONTEXT, "id": _ENVELOPED + token, "type": _ENVELOPE}
                for token in enveloped
            ],
        }
