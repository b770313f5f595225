"""The fast way to a canonical form gives the same bytes as a library that follows RFC 8785 to the letter."""

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from connector.evidence.documents import canonical
from connector.evidence.errors import EvidenceError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
@example({"\ue000": 1, "\U0001f33e": 2})  # in UTF-16, the order of these two is the other way round
@example({"b": 1, "a": [1.0, 1e21, -0.0]})
@example('\x00\x1f\x7f\u2028\ud7ff\b\t\n\f\r"\\/')
@example({"n": 2**53 - 1})
@example({"n": 2**53})
@example(["\ud800"])
@example({"\udfff": None})
def test_every_value_gets_the_bytes_of_rfc_8785_or_is_refused_as_there(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(EvidenceError, match="no canonical form"):
            canonical(value)
    else:
        assert canonical(value) == expected
