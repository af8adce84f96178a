# SPDX-License-Identifier: Apache-2.0
"""A command: tells the story of seeds, in full if one goes wrong. `python -m tests.simulation 17 18-30`."""

import argparse
import sys
import time
import traceback
from collections import Counter

from tests.simulation.faults import POINTS
from tests.simulation.story import tell
from tests.simulation.world import found, scratch
from tests.statements import compiled_once


def main() -> int:
    """Run the seeds that are asked for; 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="+", help="a number, or two with a dash between")
    parser.add_argument("--history", action="store_true", help="print what happened, also when all went well")
    options = parser.parse_args()
    counts, failures = Counter[str](), 0
    with compiled_once(), scratch() as folder:
        founding = found(folder)
        for asked in options.seeds:
            first, _, last = asked.partition("-")
            for seed in range(int(first), int(last or first) + 1):
                begin = time.process_time()
                outcome = tell(seed, founding)
                counts += outcome.counts
                failures += outcome.error is not None
                if outcome.error is not None or options.history:
                    print(outcome.history)
                if outcome.error is not None:
                    traceback.print_exception(outcome.error)
                print(
                    f"seed {seed}: {'FAILED' if outcome.error else 'ok'}, {time.process_time() - begin:.2f} s,"
                    f" {outcome.opened} opened, {outcome.failed} failed, {outcome.caught} forgeries in quarantine,"
                    f" {outcome.forks} numbered anew",
                    flush=True,
                )
    for name in POINTS:
        print(f"{counts[name]:6} {name}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
