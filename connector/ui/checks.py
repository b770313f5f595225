"""The checks of an output as sentences.

A receipt states each check as a short English phrase; this says the same in
both languages. A phrase of another connector that is not known here is shown
as it came.
"""

import re
from typing import Final

from connector.ui.formatting import format_number
from connector.ui.translating import TRANSLATORS
from policies.model import LanguageMap

_SENTENCES: Final = tuple(
    (re.compile(pattern), key)
    for pattern, key in (
        (r"declared", "check.declared"),
        (r"numbers only", "check.numbers_only"),
        (r"at most (?P<limit>[0-9]{1,12}) values", "check.values"),
        (r"rounded to (?P<digits>[0-9]{1,3}) significant digits", "check.rounded"),
        (r"encoded anew", "check.encoded_anew"),
        (r"safetensors without metadata", "check.plain_model"),
        (r"(?P<count>[0-9]{1,12}) of at most (?P<limit>[0-9]{1,12}) parameters", "check.parameters"),
        (r"finite numbers", "check.finite"),
        (r"single precision", "check.single_precision"),
    )
)


def check_sentence(phrase: str) -> LanguageMap:
    """Say what a check has found.

    Args:
        phrase: The phrase in the receipt, such as `at most 200 values`.

    Returns:
        A sentence per language; the phrase itself in both where it is not known.
    """
    for pattern, key in _SENTENCES:
        found = pattern.fullmatch(phrase)
        if found is not None:
            return {
                language: translate(key, **_numbers(found, language))
                for language, translate in TRANSLATORS.items()
            }
    return dict.fromkeys(TRANSLATORS, phrase)


def _numbers(found: re.Match[str], language: str) -> dict[str, str]:
    return {name: format_number(int(digits), language) for name, digits in found.groupdict().items()}
