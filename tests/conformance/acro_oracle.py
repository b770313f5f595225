"""Judge tables with the `acro` package. Runs in the interpreter that has it, see test_acro.py.

Reads JSON from standard input: a list of `{"rows": [[a, b, value], …], "statistic": …}` with the
statistics mean, sum and count; writes, for each, the checks that every cell fails:
`[[a, b, ["NKCheck", …]], …]`.
"""

import json
import logging
import os
import sys
import tempfile


def main() -> None:
    """Judge all tables."""
    logging.disable(logging.WARNING)
    asked = json.load(sys.stdin)
    sys.stdout, answers = sys.stderr, sys.stdout
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        json.dump([judged(**table) for table in asked], answers)


def judged(rows: list, statistic: str) -> list:
    """Judge the cross table of the first two columns."""
    import acro  # noqa: PLC0415 - only where it is installed
    import pandas as pd  # noqa: PLC0415 - as above

    frame = pd.DataFrame(rows, columns=["a", "b", "value"])
    session = acro.ACRO(suppress=False)
    if statistic == "count":
        session.crosstab(frame.a, frame.b)
    else:
        session.crosstab(frame.a, frame.b, values=frame.value, aggfunc=statistic)
    outcome = session.results.get_index(0).outcome
    return [
        [
            a,
            b if isinstance(b, str) else b[-1],
            [check.strip() for check in str(outcome.loc[a, b]).split(";") if check.strip()],
        ]
        for a in outcome.index
        for b in outcome.columns
    ]


if __name__ == "__main__":
    main()
