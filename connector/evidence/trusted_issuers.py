"""Whose credentials count for what: from a partner's credentials to what a policy may ask about it.

A participant names the issuers that it trusts, and what for. Everything else
that a credential states is ignored, and so is every other credential.

Source:
    docs/credentials.md; DCP 1.0, trust model.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from connector.evidence.credentials import Credential
from policies.facts import Partner
from policies.places import PLACE
from schemas.strict_json import JsonValue

Fact = Literal[
    "memberships",
    "roles",
    "security_levels",
    "business_partner_groups",
    "framework_agreements",
    "organisation",
    "seat",
    "business_partner_number",
]
"""What a credential may prove about a partner (`policies.facts.Partner`)."""
SETS: Final[tuple[Fact, ...]] = (
    "memberships",
    "roles",
    "security_levels",
    "business_partner_groups",
    "framework_agreements",
)
"""Facts of which a partner may have several."""
SINGLE: Final[tuple[Fact, ...]] = ("organisation", "seat", "business_partner_number")
"""Facts of which a partner has one."""


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer that a participant trusts, with one type of its credentials and what that proves.

    Attributes:
        issuer: The issuer's DID.
        credential: Type of the credential, such as `MembershipCredential`.
        proves: What the credential as such proves: values by fact.
        claims: What the claims of its subject prove: the claim's name by fact.
        catena_x_member: Whether it proves an active membership of Catena-X.
    """

    issuer: str
    credential: str
    proves: Mapping[str, frozenset[str]] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    catena_x_member: bool = False


def attested(credentials: Iterable[Credential], trusted: Iterable[TrustedIssuer]) -> Partner | None:
    """Say what credentials prove about a partner.

    Args:
        credentials: The partner's credentials that count now: signed, in time, not taken back.
        trusted: Whose credentials count for what.

    Returns:
        What they prove; what they do not is unknown rather than false, as a partner
        shows the credentials that it likes. Two credentials that name different
        organisations, seats or numbers prove none. None where nothing is proven.
    """
    counting = [
        (rule, credential)
        for credential in credentials
        for rule in trusted
        if rule.issuer == credential.issuer and rule.credential in credential.types
    ]
    if not counting:
        return None
    found: dict[str, set[str]] = {fact: set() for fact in (*SETS, *SINGLE)}
    for rule, credential in counting:
        for fact, value in _proven(rule, credential):
            found[fact].add(value)
    return Partner(
        complete=False,
        catena_x_member=any(rule.catena_x_member for rule, _ in counting),
        **{fact: frozenset(found[fact]) for fact in SETS},  # type: ignore[arg-type] # names and types as in Partner
        **{fact: _one(found[fact]) for fact in SINGLE},  # type: ignore[arg-type] # likewise
    )


def _proven(rule: TrustedIssuer, credential: Credential) -> Iterator[tuple[str, str]]:
    for fact, values in rule.proves.items():
        yield from ((fact, value) for value in values)
    for fact, name in rule.claims.items():
        for value in _texts(credential.claims.get(name)):
            if fact != "seat" or PLACE.fullmatch(value):
                yield fact, value


def _texts(value: JsonValue) -> Iterator[str]:
    """The texts that a claim states, alone, in a list, or as names of things."""
    for one in value if isinstance(value, list) else [value]:
        named = one.get("id") if isinstance(one, dict) else one
        if isinstance(named, str) and named:
            yield named


def _one(values: set[str]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None
