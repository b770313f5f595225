"""Run all parts of the benchmark, or those that are named, and print the page's tables as Markdown.

    python -m bench.run [start] [negotiation] [stations] [query] [governed] [delivery] [sandbox]
        [evaluation] [evidence]

Nothing here asserts a time: a slow machine is no failure.
"""

import sys
from collections.abc import Callable, Sequence

from bench import (
    delivery,
    evaluation,
    evidence,
    governed,
    machine,
    negotiation,
    query,
    sandbox,
    start,
    stations,
)
from bench.measuring import Table

PARTS: dict[str, Callable[[], list[Table]]] = {
    "start": start.measure,
    "negotiation": negotiation.measure,
    "stations": stations.measure,
    "query": query.measure,
    "governed": governed.measure,
    "delivery": delivery.measure,
    "sandbox": sandbox.measure,
    "evaluation": evaluation.measure,
    "evidence": evidence.measure,
}


def main(names: Sequence[str]) -> int:
    """Run parts by name; all of them where none is named.

    Returns:
        0, or 2 where a name is unknown.
    """
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    print(f"Machine: {machine.describe()}. {machine.load()}\n\nCommand: `{_command(names)}`", flush=True)
    for name in names or PARTS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        print(f"\n## {name}", flush=True)
        for table in PARTS[name]():
            print(f"\n{table.markdown()}", flush=True)
    return 0


def _command(names: Sequence[str]) -> str:
    return " ".join(["python", "-m", "bench.run", *names])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
