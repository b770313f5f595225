"""The `allmende` command, and `python -m connector`: starts the program that the first argument names.

A serving connector is a program of its own, because what a process loads decides
how soon it is ready and how much memory it holds from then on.
"""

import gc
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Final

NOT_FOR_CONNECTORS: Final = ("httpx._main", "numpy", "pyarrow._s3fs", "pydantic.v1")
"""What libraries load just because it is installed, and do without where it is not: httpx its own
command line with Rich and Pygments, Arrow NumPy and files in a cloud, models of an older Pydantic."""


_SWITCH_SECONDS: Final = 0.0005


def main() -> None:
    """Run the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a character must not end the command.
            stream.reconfigure(errors="replace")
    serving = sys.argv[1:2] == ["serve"]
    if serving:
        _save_memory()
        # Who has waited for the disk shall not wait ten times as long for the interpreter.
        sys.setswitchinterval(_SWITCH_SECONDS)
    # All that is loaded stays: looking through it for garbage again and again is a fifth of the start.
    gc.disable()
    program = import_module("connector.serving" if serving else "connector.cli")
    gc.freeze()
    gc.enable()
    program.main(sys.argv[2 if serving else 1 :])


def _save_memory() -> None:
    for name in NOT_FOR_CONNECTORS:
        sys.modules[name] = None  # type: ignore[assignment]  # what Python documents for forbidding an import
    # Arrow's own allocator would keep what reading a data file needs: 40 MiB after a publication.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


if __name__ == "__main__":
    main()
