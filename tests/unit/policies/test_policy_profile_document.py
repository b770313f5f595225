"""The profile's page names every own term, and its example is a policy that is accepted."""

import json
import re
from pathlib import Path

from policies.left_operands import LEFT_OPERANDS
from policies.odrl import parse_policy
from policies.purposes import PURPOSES
from policies.terms import require_enforceable

PAGE = (Path(__file__).parents[3] / "docs" / "policy-profile.md").read_text(encoding="utf-8")
POLICY = "https://w3id.org/allmende/policy/v1#"


def test_every_own_term_is_on_the_page() -> None:
    own = {term for term in (*LEFT_OPERANDS, *PURPOSES) if term.startswith(POLICY)}
    assert own
    for term in own:
        assert f"| `…#{term.removeprefix(POLICY)}`" in PAGE, term


def test_every_operator_that_is_enforced_is_on_the_page() -> None:
    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `")}
    for term, known in LEFT_OPERANDS.items():
        if term.startswith(POLICY):
            row = rows["…#" + term.removeprefix(POLICY)]
            listed = set(re.findall(r"`(eq|neq|lt|lteq|gt|gteq|isA|isAnyOf|isNoneOf)`", row))
            assert listed == {operator.value for operator in known.stations}, term


def test_the_example_is_accepted() -> None:
    [example] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    require_enforceable(parse_policy(json.loads(example)))
