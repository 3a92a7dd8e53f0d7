"""Run the claims of the lessons: ``python -m tests.claims 01 04``, all without a number.

    python -m tests.claims 01 --seeds 3 --first 100    # seeds 100, 101, 102: recorded nowhere
    python -m tests.claims 01 --only seams             # those whose sentence or name has the word
    python -m tests.claims table                       # write notebooks/CLAIMS.md

Recorded are whole runs of a lesson from seed 0 on. The exit status is 1 if a claim fell.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Iterable

from benchmarks.record import RESULTS
from tests.claims import CLAIMS, Claim, Outcome
from tests.claims.lessons import LESSONS, TABLE, load, recorded_name, table


def run(claim: Claim, seeds: Iterable[int]) -> list[Outcome]:
    """Measure a claim with every seed; one that raises has fallen."""
    outcomes = []
    for seed in seeds:
        try:
            held, measured = claim.measure(seed)
            outcomes.append(Outcome(bool(held), measured))
        except Exception:
            outcomes.append(Outcome(False, traceback.format_exc(limit=-1).splitlines()[-1]))
    return outcomes


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.claims", description=__doc__)
    parser.add_argument("lessons", nargs="*", metavar="NN", help=f"{', '.join(LESSONS)}, or table")
    parser.add_argument("--seeds", type=int, help="how many, instead of each claim's own number")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", metavar="WORD")
    args = parser.parse_args()
    if args.lessons == ["table"]:
        TABLE.write_text(table())
        return
    if unknown := set(args.lessons) - set(LESSONS):
        parser.error(f"no claims on {', '.join(sorted(unknown))}: there are {', '.join(LESSONS)}")
    whole = args.first == 0 and args.seeds is None and not args.only
    fallen = 0
    for lesson in args.lessons or LESSONS:
        load(lesson)
        rows = []
        for claim in (c for c in CLAIMS if c.lesson == lesson):
            if args.only.lower() not in f"{claim.sentence} {claim.measure.__name__}".lower():
                continue
            seeds = range(args.first, args.first + (args.seeds or claim.seeds))
            outcomes = run(claim, seeds)
            held = sum(outcome.held for outcome in outcomes)
            fallen += held < len(outcomes)
            print(f"{lesson} {held}/{len(outcomes)} {claim.measure.__name__}: {claim.sentence}")
            for seed, outcome in zip(seeds, outcomes, strict=True):
                print(f"      seed {seed}: {'' if outcome.held else 'FELL '}{outcome.measured}")
            rows.append({"sentence": claim.sentence, "outcomes": outcomes})
        if whole and rows:
            (RESULTS / recorded_name(lesson)).write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(fallen > 0)


if __name__ == "__main__":
    main()
