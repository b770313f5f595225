"""The purposes that can be compared: a hierarchy in which a purpose may have several parents.

Source:
    Data Privacy Vocabulary 2.2, purposes (https://w3id.org/dpv#Purpose);
    docs/policy-profile.md for our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.dpv import DPV_PURPOSES
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


PURPOSES: Final[Mapping[str, Purpose]] = {
    POLICY + "GridOperation": _purpose(DPV + "ServiceProvision", de="Netzbetrieb", en="grid operation"),
    POLICY + "LoadForecasting": _purpose(POLICY + "GridOperation", de="Lastprognose", en="load forecasting"),
    POLICY + "GridPlanning": _purpose(POLICY + "GridOperation", de="Netzplanung", en="grid planning"),
    **{
        DPV + term: _purpose(*(DPV + parent for parent in parents.split()), de=de, en=en)
        for term, parents, de, en in DPV_PURPOSES
    },
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
