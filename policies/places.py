"""Where something is: ISO 3166 countries and NUTS regions, and which of them contains which.

A NUTS code begins with its country, and each further character names a region
inside the one before: `DE` contains `DE1` (Baden-Württemberg), which contains
`DE11` (Stuttgart). NUTS writes Greece and the United Kingdom differently than
ISO 3166 does.

Source:
    ISO 3166-1 alpha-2; Regulation (EC) No 1059/2003 (NUTS).
"""

import re
from typing import Final

from policies.logic import Truth

PLACE: Final = re.compile(r"[A-Z]{2}[0-9A-Z]{0,3}")
"""A country, or a region of NUTS level 1 to 3."""

_NUTS_TO_ISO: Final = {"EL": "GR", "UK": "GB"}


def is_within(place: str, area: str) -> Truth:
    """Tell whether a place lies in an area.

    Args:
        place: Where something is, as a country or a NUTS region.
        area: The area in question, likewise.

    Returns:
        True or False; None where the place is known less exactly than the area
        (somewhere in `DE`, but is that in `DE1`?) or one of the two is no code.
    """
    if not PLACE.fullmatch(place) or not PLACE.fullmatch(area):
        return None
    inner, outer = _canonical(place), _canonical(area)
    if inner.startswith(outer):
        return True
    return None if outer.startswith(inner) else False


def _canonical(code: str) -> str:
    return _NUTS_TO_ISO.get(code[:2], code[:2]) + code[2:]
