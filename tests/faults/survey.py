"""Damage the files of a run, and kill its commands, at random; print every fault, and write how often there was one.

    python tests/faults/survey.py --damages 1000 --kills 100 --out benchmarks/results/faults.json

About half an hour on two cores. A damage is one bit flipped, a file cut, emptied or removed, and then a command that
reads it. A kill is SIGKILL at a random moment, and then the same command again. Both are drawn from --seed.
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

from mtsccd_jax.provenance import environment


def main() -> None:
    """Run the trials that are asked for; trials of the other kind stay in the file as they were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--damages", type=int, default=0, help="number of damages")
    parser.add_argument("--kills", type=int, default=0, help="number of kills")
    parser.add_argument("--step", action="append", choices=list(kills.STEPS), help="killed, repeatable (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    found |= {"command": " ".join(["python", *sys.argv]), "environment": environment()}

    def count(name: str, trials: Iterable[Any], faults: tuple[str, ...]) -> None:
        """Count the outcomes of each kind of trial, print faults, and keep what is known so far in the file."""
        found[name] = outcomes = {}
        for trial in trials:
            of_kind = outcomes.setdefault(trial.kind, {"trials": 0, **dict.fromkeys(faults, 0)})
            for key in ("trials", trial.outcome):
                of_kind[key] = of_kind.get(key, 0) + 1
            if trial.outcome in faults:
                print(trial, file=sys.stderr, flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps({name: outcomes}, indent=1))

    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if options.kills:
            whole = kills.Undisturbed(Path(folder) / "kills", tuple(options.step or kills.STEPS))
            count("kills", kills.trials(whole, options.kills, options.seed), kills.FAULTS)
        if options.damages:
            run = damages.TinyRun(Path(folder) / "tiny").make()
            count("damages", damages.trials(run, options.damages, options.seed), damages.FAULTS)


if __name__ == "__main__":
    main()
