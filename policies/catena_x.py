"""The policy terms of Catena-X 2025/9: their names, and what they are worth here.

Two of them say until when data may be used, and a clock can check that. Four
say who the partner is in Catena-X; the provider's register of participants and
credentials of issuers that it trusts answer that. The rest are clauses of a
contract: promises, shown as such.

Source:
    Catena-X ODRL profile 2025-09 (https://w3id.org/catenax/2025/9/policy/).
"""

from collections.abc import Mapping
from typing import Final

from policies.model import Operator

CATENA_X: Final = "https://w3id.org/catenax/2025/9/policy/"
CATENA_X_PROFILES: Final = frozenset({CATENA_X + "profile2405", CATENA_X.removesuffix("/")})
"""IRIs under which policies name this profile."""
_CONTEXTS: Final = frozenset({CATENA_X + "context.jsonld", CATENA_X + "odrl.jsonld"})

USAGE_END_DATE: Final = CATENA_X + "DataUsageEndDate"
USAGE_END_DAYS: Final = CATENA_X + "DataUsageEndDurationDays"

_EQ: Final = (Operator.EQ,)
_ANY: Final = (Operator.IS_ANY_OF,)
_ALL: Final = (Operator.IS_ALL_OF,)

CLAUSES: Final[Mapping[str, tuple[str, str, tuple[Operator, ...]]]] = {
    "AffiliatesBpnl": ("Weitergabe an verbundene Unternehmen", "sharing with affiliates", _ANY),
    "AffiliatesRegion": (
        "Weitergabe an verbundene Unternehmen in Regionen",
        "sharing with affiliates in regions",
        _ANY,
    ),
    "ConfidentialInformationMeasures": (
        "Maßnahmen zur Vertraulichkeit",
        "confidentiality measures",
        _EQ,
    ),
    "ConfidentialInformationSharing": (
        "Weitergabe vertraulicher Informationen",
        "sharing of confidential information",
        _ANY,
    ),
    "ContractReference": ("Verweis auf einen Vertrag", "contract reference", _ALL),
    "ContractTermination": ("Folgen des Vertragsendes", "consequences of termination", _EQ),
    "DataFrequency": ("Häufigkeit des Datenaustauschs", "frequency of the data exchange", _EQ),
    "DataProvisioningEndDate": ("Ende der Bereitstellung", "end of provisioning", _EQ),
    "DataProvisioningEndDurationDays": (
        "Dauer der Bereitstellung in Tagen",
        "days of provisioning",
        _EQ,
    ),
    "DataUsageEndDefinition": ("Ende der Nutzung nach Vertrag", "end of use by contract", _EQ),
    "ExclusiveUsage": ("Ausschließliche Nutzung", "exclusive use", _EQ),
    "JurisdictionLocation": ("Gerichtsstand", "place of jurisdiction", _EQ),
    "JurisdictionLocationReference": (
        "Gerichtsstand nach Partei",
        "place of jurisdiction by party",
        _EQ,
    ),
    "Liability": ("Haftung", "liability", _EQ),
    "ManagedLegalEntityBpnl": (
        "Weitergabe an betreute Gesellschaften",
        "sharing with managed legal entities",
        _ANY,
    ),
    "ManagedLegalEntityRegion": (
        "Weitergabe an betreute Gesellschaften in Regionen",
        "sharing with managed legal entities in regions",
        _ANY,
    ),
    "Precedence": ("Rangfolge der Verträge", "precedence of contracts", _EQ),
    "UsagePurpose": ("Nutzungszweck nach Catena-X", "purpose by Catena-X", _ANY),
    "UsageRestriction": ("Nutzungsbeschränkung", "restriction of use", _ALL),
    "VersionChanges": ("Versionswechsel", "changes of version", _EQ),
    "Warranty": ("Gewährleistung", "warranty", _EQ),
    "WarrantyDefinition": ("Dauer der Gewährleistung nach Vertrag", "warranty period by contract", _EQ),
    "WarrantyDurationMonths": ("Monate der Gewährleistung", "months of warranty", _EQ),
}
"""The clauses of a contract, which nothing here can check: name to German, English, operators."""

_OR_NONE: Final = (Operator.IS_ANY_OF, Operator.IS_NONE_OF)

IDENTITIES: Final[Mapping[str, tuple[str, str, tuple[Operator, ...]]]] = {
    "Membership": ("Mitgliedschaft in Catena-X", "membership of Catena-X", _EQ),
    "BusinessPartnerNumber": ("Geschäftspartnernummer", "business partner number", _OR_NONE),
    "BusinessPartnerGroup": ("Gruppe von Geschäftspartnern", "group of business partners", _OR_NONE),
    "FrameworkAgreement": ("Rahmenvertrag", "framework agreement", _EQ),
}
"""Who the partner is in Catena-X: name to German, English, operators."""

CATENA_X_MEMBERSHIP: Final = CATENA_X + "Membership"
BUSINESS_PARTNER_NUMBER: Final = CATENA_X + "BusinessPartnerNumber"
BUSINESS_PARTNER_GROUP: Final = CATENA_X + "BusinessPartnerGroup"
FRAMEWORK_AGREEMENT: Final = CATENA_X + "FrameworkAgreement"

_NAMES: Final = frozenset(
    {*CLAUSES, *IDENTITIES, "DataUsageEndDate", "DataUsageEndDurationDays", "access", "WarrantyDuration"}
)


def with_full_terms(document: Mapping[str, object]) -> dict[str, object]:
    """Write the short names of a Catena-X policy as full IRIs.

    The published context is not processed: its words are fixed, and only a
    document that names it may use them. Whole numbers, which Catena-X writes
    bare, become texts.

    Args:
        document: Any policy.

    Returns:
        The same policy; unchanged unless its `@context` names Catena-X.
    """
    context = document.get("@context")
    named = context if isinstance(context, list) else [context]
    if not any(isinstance(url, str) and url in _CONTEXTS for url in named):
        return dict(document)
    return {key: _full(key, value) for key, value in document.items()}


def _full(key: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _full(name, member) for name, member in value.items()}
    if isinstance(value, list):
        return [_full(key, member) for member in value]
    if key in {"leftOperand", "action", "profile"} and isinstance(value, str):
        name = value.removeprefix("cx-policy:")
        return CATENA_X + name if name in _NAMES or value != name else value
    if key == "rightOperand" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value
