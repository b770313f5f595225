"""The profile's page names every own term, and its example is a policy that is accepted."""

import json
import re
from pathlib import Path

from policies.left_operands import LEFT_OPERANDS
from policies.odrl import parse_policy
from policies.purposes import PURPOSES
from policies.templates import TEMPLATES
from policies.terms import require_enforceable

PAGE = (Path(__file__).parents[3] / "docs" / "policy-profile.md").read_text(encoding="utf-8")
GERMAN_PAGE = (Path(__file__).parents[3] / "docs" / "de" / "nutzungsregeln.md").read_text(encoding="utf-8")
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
            listed = set(re.findall(r"`(eq|neq|lt|lteq|gt|gteq|isA|isPartOf|isAnyOf|isAllOf|isNoneOf)`", row))
            assert listed == {operator.value for operator in known.stations}, term


def test_the_example_is_accepted() -> None:
    [example] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    require_enforceable(parse_policy(json.loads(example)))


def test_every_template_is_on_the_page_with_its_keys() -> None:
    for name, template in TEMPLATES.items():
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
        assert re.findall(r"`(\w+)`", row.split("|")[3]) == [key.name for key in template.keys], name


def test_every_template_is_on_the_german_page() -> None:
    for name in TEMPLATES:
        assert f"| `{name}` |" in GERMAN_PAGE, name
