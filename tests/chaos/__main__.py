"""`python -m tests.chaos`: break an exchange for a while, then look whether anything is missing. Prints its figures."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from tests.chaos.run import Plan, chaos


def main() -> int:
    """Run it; exit code 4 when anything does not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python -m tests.chaos --seconds 600 --nodes 10 --seed 7"
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long things break")
    parser.add_argument("--nodes", type=int, default=10, help="partners, from 2 to 10")
    parser.add_argument("--rate", type=float, default=5.0, help="reports a second, of all together")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000), help="of an earlier run")
    parser.add_argument("--proxies", action="store_true", help="cut by proxies even where namespaces are allowed")
    parser.add_argument("--jump-minutes", type=int, default=0, help="clocks jump by at most so much, both ways")
    plan = Plan(**vars(parser.parse_args()))
    print(f"seed {plan.seed}: {plan.nodes} nodes, two relays, {plan.seconds:.0f} s", file=sys.stderr)
    path = Path(tempfile.mkdtemp(prefix="chaos-"))
    jumps = f" --jump-minutes {plan.jump_minutes}" if plan.jump_minutes else ""
    same = f"--seed {plan.seed} --nodes {plan.nodes} --seconds {plan.seconds:.0f}{jumps}"
    again = f"{same} breaks the same in the same order"
    kept = f"hint: homes, logs and the relays' database are in {path}; {again}"
    try:
        outcome = chaos(path, plan, tell=lambda words: print(words, file=sys.stderr))
    except BaseException:
        print(kept, file=sys.stderr)
        raise
    for name, value in outcome.figures().items():
        print(f"{name:48} {value:>18}")
    for found in outcome.found:
        print(f"error: {found}", file=sys.stderr)
    if not outcome.holds:
        print(kept, file=sys.stderr)
        return 4
    shutil.rmtree(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
