"""A policy's terms as lines for a person, each with who makes it hold."""

from connector.ui.reading import TermLevel, TermLine
from policies.model import Policy
from policies.terms import classify


def term_lines(policy: Policy) -> tuple[TermLine, ...]:
    """Put a policy into words.

    Args:
        policy: An offer or an agreement.

    Returns:
        One line per term, in the policy's order.
    """
    return tuple(TermLine(use.rule, TermLevel(use.level.value), use.text) for use in classify(policy))
