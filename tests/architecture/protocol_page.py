"""Brings the diagrams of docs/protocol.md up to date: `python -m tests.architecture.protocol_page`."""

import re
from pathlib import Path

from connector.protocol.computation import COMPUTATION
from connector.protocol.diagram import state_diagram
from connector.protocol.machine import Machine
from connector.protocol.negotiation import NEGOTIATION
from connector.protocol.transfer import TRANSFER

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
MACHINES = (NEGOTIATION, TRANSFER, COMPUTATION)


def block_of(machine: Machine) -> str:
    """A diagram as it stands on the page, with a mark by which it is found again."""
    return f"<!-- diagram: {machine.name} -->\n\n```mermaid\n{state_diagram(machine)}\n```\n"


def with_diagrams(page: str) -> str:
    """A page with every marked diagram drawn anew."""
    for machine in MACHINES:
        pattern = rf"<!-- diagram: {machine.name} -->\n+```mermaid\n.*?```\n"
        page, found = re.subn(pattern, block_of(machine), page, flags=re.DOTALL)
        if found != 1:
            raise ValueError(
                f"docs/protocol.md needs exactly one diagram of the {machine.name}, not {found}."
            )
    return page


if __name__ == "__main__":
    PAGE.write_text(with_diagrams(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
