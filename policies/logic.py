"""Three-valued logic: true, false, and None for what is not known.

Source:
    Kleene's strong logic; `xone` and `andSequence` after ODRL 2.2, section 2.5.2.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from policies.model import Connective

Truth = bool | None
"""Whether something holds; None where it cannot be told."""


def not_(truth: Truth) -> Truth:
    """Negate: what is not known stays unknown."""
    return None if truth is None else not truth


def all_of(truths: Iterable[Truth]) -> Truth:
    """Tell whether everything holds: one false decides, then one unknown."""
    values = tuple(truths)
    if False in values:
        return False
    return None if None in values else True


def any_of(truths: Iterable[Truth]) -> Truth:
    """Tell whether anything holds: one true decides, then one unknown."""
    values = tuple(truths)
    if True in values:
        return True
    return None if None in values else False


def exactly_one(truths: Iterable[Truth]) -> Truth:
    """Tell whether exactly one holds: two true decide, whatever is unknown."""
    values = tuple(truths)
    certain = values.count(True)
    if certain > 1:
        return False
    return None if None in values else certain == 1


def all_in_sequence(truths: Iterable[Truth]) -> Truth:
    """Tell whether everything holds in order; the first that does not decides."""
    for truth in truths:
        if truth is not True:
            return truth
    return True


JOIN: Final[Mapping[Connective, Callable[[Iterable[Truth]], Truth]]] = {
    Connective.AND: all_of,
    Connective.OR: any_of,
    Connective.XONE: exactly_one,
    Connective.AND_SEQUENCE: all_in_sequence,
}
