"""The protocol tables as diagrams, for docs/protocol.md."""

from connector.protocol.machine import Machine, Party, Transition

_LETTERS = {Party.CONSUMER: "C", Party.PROVIDER: "P"}


def state_diagram(machine: Machine) -> str:
    """Draw a protocol table: each arrow with its message and who may send it, C or P.

    Args:
        machine: The table.

    Returns:
        A Mermaid `stateDiagram-v2`, one line per line of the table, final states last.
    """
    lines = [_arrow(line) for line in machine.transitions]
    ends = [f"    {state} --> [*]" for state in machine.states() if machine.is_final(state)]
    return "\n".join(["stateDiagram-v2", *lines, *ends])


def _arrow(line: Transition) -> str:
    senders = ", ".join(letter for party, letter in _LETTERS.items() if party in line.senders)
    return f"    {line.source or '[*]'} --> {line.target}: {line.message} ({senders})"
