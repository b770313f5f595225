"""The diagrams of docs/protocol.md are what the tables say, and they can be drawn."""

import re

import pytest

from connector.protocol.machine import Machine
from connector.protocol.negotiation import NEGOTIATION
from tests.architecture.protocol_page import MACHINES, PAGE, block_of, with_diagrams

ARROW = re.compile(r"    (\[\*\]|[A-Z]+) --> (\[\*\]|[A-Z]+)(: [a-z]+ \((C|P|C, P)\))?")


def test_the_page_shows_what_the_tables_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_diagrams(page), "run `python -m tests.architecture.protocol_page`"
    assert page.count("```mermaid") == len(MACHINES)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_line_of_a_table_is_one_arrow_and_nothing_else_is(machine: Machine) -> None:
    _, _, _, title, *arrows, _ = block_of(machine).splitlines()
    assert title == "stateDiagram-v2"
    assert all(ARROW.fullmatch(arrow) for arrow in arrows)
    assert len(arrows) == len(machine.transitions) + sum(map(machine.is_final, machine.states()))


def test_a_negotiation_is_drawn_as_the_specification_describes_it() -> None:
    """Typed from DSP 2025-1, section 7.2."""
    drawn = block_of(NEGOTIATION)
    for arrow in (
        "[*] --> REQUESTED: request (C)",
        "[*] --> OFFERED: offer (P)",
        "REQUESTED --> AGREED: agreement (P)",
        "OFFERED --> ACCEPTED: acceptance (C)",
        "AGREED --> VERIFIED: verification (C)",
        "VERIFIED --> FINALIZED: finalization (P)",
        "REQUESTED --> TERMINATED: termination (C, P)",
        "FINALIZED --> [*]",
        "TERMINATED --> [*]",
    ):
        assert f"    {arrow}\n" in drawn
    assert "FINALIZED --> TERMINATED" not in drawn


def test_a_page_without_its_diagrams_is_noticed() -> None:
    with pytest.raises(ValueError, match="contract negotiation, not 0"):
        with_diagrams("# The protocol\n")
