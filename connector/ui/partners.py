"""What the steward's page about partners shows: who they are, who says so, and whether their books hold."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from connector.evidence.credentials import Credential
from connector.ports import HeldCredential, Presentation, RemoteDataset, ShownCredential
from connector.services.witnessing import PartnerLedger
from connector.ui.reading import (
    CredentialLine,
    CredentialState,
    PartnerFact,
    PartnerLine,
    PartnersView,
    Peer,
)
from policies.circumstances import Circumstances
from policies.facts import Partner
from policies.model import LanguageMap

_GENERAL: Final = "VerifiableCredential"
_LABELS: Final[Mapping[str, LanguageMap]] = {
    "organisation": {"de": "Organisation", "en": "Organisation"},
    "memberships": {"de": "Mitgliedschaften", "en": "Memberships"},
    "roles": {"de": "Rollen", "en": "Roles"},
    "security_levels": {"de": "Sicherheitsstufen", "en": "Security levels"},
    "seat": {"de": "Sitz", "en": "Seat"},
    "business_partner_number": {"de": "Nummer bei Catena-X", "en": "Number in Catena-X"},
    "business_partner_groups": {"de": "Gruppen", "en": "Groups"},
    "framework_agreements": {"de": "Rahmenverträge", "en": "Framework agreements"},
}


def partners_view(
    *,
    circumstances: Circumstances,
    presentations: Iterable[Presentation],
    ledgers: Iterable[PartnerLedger],
    held: Iterable[HeldCredential],
    catalogs: Iterable[RemoteDataset],
    now: datetime,
) -> PartnersView:
    """Gather what is known about each partner.

    Args:
        circumstances: What we state about partners, and what their credentials prove.
        presentations: What they have shown of their credentials.
        ledgers: What we know of the ledgers of those with whom we have an agreement.
        held: The credentials about us.
        catalogs: Datasets of others, which name them.
        now: The current time.
    """
    shown = {one.partner: one for one in presentations}
    books = {one.partner: one for one in ledgers}
    names = {one.provider: one.provider_name for one in catalogs}
    dids = sorted({*circumstances.partners, *shown, *books}, key=lambda did: (names.get(did, did), did))
    lines = tuple(
        _line(Peer(did, names.get(did)), circumstances, shown.get(did), books.get(did), now) for did in dids
    )
    own = tuple(_credential(one.credential, now, taken_back=False) for one in held)
    return PartnersView(lines, own)


def _line(
    peer: Peer,
    circumstances: Circumstances,
    shown: Presentation | None,
    ledger: PartnerLedger | None,
    now: datetime,
) -> PartnerLine:
    return PartnerLine(
        peer=peer,
        stated=peer.did in circumstances.partners,
        facts=tuple(_facts(circumstances.known_about(peer.did, now))),
        shown=None if shown is None else shown.shown,
        credentials=tuple(_shown(one, now) for one in shown.credentials) if shown else (),
        refused=shown.refused if shown else (),
        ledger_size=None if ledger is None else ledger.size,
        ledger_compared=None if ledger is None else ledger.compared,
        ledger_problem=None if ledger is None else ledger.problem,
    )


def _facts(known: Partner | None) -> Iterator[PartnerFact]:
    for name, label in _LABELS.items():
        value = None if known is None else getattr(known, name)
        values = sorted(value) if isinstance(value, frozenset) else [value] if value else []
        if values:
            yield PartnerFact(label, tuple(values))


def _shown(shown: ShownCredential, now: datetime) -> CredentialLine:
    return _credential(shown.credential, now, taken_back=shown.taken_back)


def _credential(credential: Credential, now: datetime, *, taken_back: bool) -> CredentialLine:
    state = CredentialState.VALID
    if taken_back:
        state = CredentialState.REVOKED
    elif not credential.counts_at(now):
        state = CredentialState.OVER
    return CredentialLine(
        kinds=tuple(kind for kind in credential.types if kind != _GENERAL),
        issuer=credential.issuer,
        until=credential.valid_until,
        state=state,
    )
