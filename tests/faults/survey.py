"""Damage the files of a run, and kill its commands, at random; print every fault, and write how often there was one.

    python tests/faults/survey.py --damages 1000 --kills 100 --out benchmarks/results/faults.json

About half an hour on two cores. A damage is one bit flipped, a file cut, emptied or removed, and then a command that
reads it. A kill is SIGKILL at a random moment, and then the same command again. Both are drawn from --seed. A survey
that was stopped goes on where it was when it is started again: the trials in the file of --out count.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "helpers"))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "1")

import damages
import kills

from mtsccd_jax.files import replacing
from mtsccd_jax.provenance import environment


def main() -> None:
    """Run the trials that are asked for and not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--damages", type=int, default=0, help="number of damages")
    parser.add_argument("--kills", type=int, default=0, help="number of kills")
    parser.add_argument("--step", action="append", choices=list(kills.STEPS), help="killed, repeatable (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    found |= {"command": " ".join(["python", *sys.argv]), "environment": environment()}

    def made(name: str, kinds: Iterable[str]) -> int:
        """Return how many trials of some kinds were made before."""
        return sum(found.get(name, {}).get(kind, {"trials": 0})["trials"] for kind in kinds)

    def count(name: str, trials: Iterable[Any], faults: tuple[str, ...]) -> None:
        """Count the outcomes of each kind of trial, print faults, and keep what is known so far in the file."""
        outcomes = found.setdefault(name, {})
        for trial in trials:
            of_kind = outcomes.setdefault(trial.kind, {"trials": 0, **dict.fromkeys(faults, 0)})
            for key in ("trials", trial.outcome):
                of_kind[key] = of_kind.get(key, 0) + 1
            if trial.outcome in faults:
                print(trial, file=sys.stderr, flush=True)
            if options.out:
                with replacing(options.out) as file:
                    file.write(json.dumps(found, indent=1).encode() + b"\n")
        print(json.dumps({name: outcomes}, indent=1))

    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        steps = tuple(options.step or kills.STEPS)
        if numbers := range(made("kills", steps), options.kills):
            whole = kills.Undisturbed(Path(folder) / "kills", steps)
            count("kills", kills.trials(whole, numbers, options.seed), kills.FAULTS)
        if numbers := range(made("damages", damages.KINDS), options.damages):
            run = damages.TinyRun(Path(folder) / "tiny").make()
            count("damages", damages.trials(run, numbers, options.seed), damages.FAULTS)


if __name__ == "__main__":
    main()
