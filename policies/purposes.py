"""The purposes that can be compared: a hierarchy in which a purpose may have several parents.

Source:
    Data Privacy Vocabulary 2.2, purposes (https://w3id.org/dpv#Purpose), an
    excerpt; docs/policy-profile.md for our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.logic import Truth
from policies.model import LanguageMap
from schemas.vocabulary import DPV, POLICY


@dataclass(frozen=True, slots=True)
class Purpose:
    """One purpose.

    Attributes:
        broader: Absolute IRIs of the purposes that it is a kind of.
        label: What it is called, in German and English.
    """

    broader: tuple[str, ...]
    label: LanguageMap


def _purpose(*broader: str, de: str, en: str) -> Purpose:
    return Purpose(broader, {"de": de, "en": en})


_ANY: Final = DPV + "Purpose"
_SERVICE: Final = DPV + "ServiceProvision"
_RESEARCH: Final = DPV + "ResearchAndDevelopment"

PURPOSES: Final[Mapping[str, Purpose]] = {
    POLICY + "GridOperation": _purpose(_SERVICE, de="Netzbetrieb", en="grid operation"),
    POLICY + "LoadForecasting": _purpose(POLICY + "GridOperation", de="Lastprognose", en="load forecasting"),
    POLICY + "GridPlanning": _purpose(POLICY + "GridOperation", de="Netzplanung", en="grid planning"),
    _ANY: _purpose(de="Jeder Zweck", en="any purpose"),
    _SERVICE: _purpose(_ANY, de="Erbringung von Diensten", en="service provision"),
    DPV + "ServiceOptimisation": _purpose(
        _SERVICE, de="Verbesserung von Diensten", en="service optimisation"
    ),
    DPV + "ServiceUsageAnalytics": _purpose(
        _SERVICE, de="Auswertung der Dienstnutzung", en="service usage analytics"
    ),
    DPV + "Personalisation": _purpose(_ANY, de="Personalisierung", en="personalisation"),
    DPV + "ServicePersonalisation": _purpose(
        DPV + "Personalisation",
        _SERVICE,
        de="Personalisierung von Diensten",
        en="service personalisation",
    ),
    DPV + "SellProducts": _purpose(_SERVICE, de="Verkauf von Produkten", en="selling products"),
    DPV + "SellDataToThirdParties": _purpose(
        DPV + "SellProducts", de="Verkauf von Daten an Dritte", en="selling data to third parties"
    ),
    DPV + "SellInsightsFromData": _purpose(
        DPV + "SellProducts",
        de="Verkauf von Erkenntnissen aus Daten",
        en="selling insights from data",
    ),
    DPV + "CommercialPurpose": _purpose(_ANY, de="Gewerblicher Zweck", en="commercial purpose"),
    DPV + "NonCommercialPurpose": _purpose(_ANY, de="Nicht gewerblicher Zweck", en="non-commercial purpose"),
    _RESEARCH: _purpose(_ANY, de="Forschung und Entwicklung", en="research and development"),
    DPV + "AcademicResearch": _purpose(_RESEARCH, de="Hochschulforschung", en="academic research"),
    DPV + "ScientificResearch": _purpose(
        _RESEARCH, de="Wissenschaftliche Forschung", en="scientific research"
    ),
    DPV + "CommercialResearch": _purpose(
        DPV + "CommercialPurpose", _RESEARCH, de="Gewerbliche Forschung", en="commercial research"
    ),
    DPV + "NonCommercialResearch": _purpose(
        DPV + "NonCommercialPurpose",
        _RESEARCH,
        de="Nicht gewerbliche Forschung",
        en="non-commercial research",
    ),
    DPV + "Marketing": _purpose(_ANY, de="Marketing", en="marketing"),
    DPV + "Advertising": _purpose(DPV + "Marketing", de="Werbung", en="advertising"),
    DPV + "PersonalisedAdvertising": _purpose(
        DPV + "Advertising",
        DPV + "Personalisation",
        de="Personalisierte Werbung",
        en="personalised advertising",
    ),
    DPV + "PublicBenefit": _purpose(_ANY, de="Gemeinwohl", en="public benefit"),
    DPV + "CombatClimateChange": _purpose(
        DPV + "PublicBenefit", de="Klimaschutz", en="combating climate change"
    ),
    DPV + "ProvideOfficialStatistics": _purpose(
        DPV + "PublicBenefit", de="Amtliche Statistik", en="official statistics"
    ),
    DPV + "FulfilmentOfObligation": _purpose(
        _ANY, de="Erfüllung einer Pflicht", en="fulfilment of an obligation"
    ),
    DPV + "LegalCompliance": _purpose(
        DPV + "FulfilmentOfObligation", de="Einhaltung von Gesetzen", en="legal compliance"
    ),
}
"""Every purpose whose place in the hierarchy is known, by absolute IRI."""


def is_a(narrower: str, wider: str) -> Truth:
    """Tell whether a purpose is another one or a kind of it.

    Args:
        narrower: Absolute IRI of the purpose in question.
        wider: Absolute IRI of the purpose that it may be a kind of.

    Returns:
        True or False; None where one of the two is not in the hierarchy, for
        then nobody here can tell what it is a kind of.
    """
    if narrower == wider:
        return True
    if narrower not in PURPOSES or wider not in PURPOSES:
        return None
    return any(is_a(parent, wider) is True for parent in PURPOSES[narrower].broader)


def label(purpose: str) -> LanguageMap:
    """Name a purpose for people, in German and English; by its IRI where it has no name."""
    known = PURPOSES.get(purpose)
    return known.label if known else {"de": purpose, "en": purpose}
