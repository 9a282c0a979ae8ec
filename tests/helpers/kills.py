"""Kill commands at random moments, run them again, and compare what they leave with a run that nothing disturbed."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from made_up_rows import results

from mtsccd_jax.engine.checkpoint import METADATA_FILE
from mtsccd_jax.engine.workdir import read_history, read_validations
from mtsccd_jax.report import rows

SETTINGS = ["model.width=0.25", "data.image_size=32", "engine.epochs=2", "engine.batch_size=16"]
SETTINGS += ["engine.checkpoint_every_s=0", "evaluation.resamples=20", "engine.eval_batch_size=64"]
OVERRIDES = [f"--set={setting}" for setting in SETTINGS]
TRAINED = ["--set=model.name=scnn", "--set=engine.keep=best", "--set=engine.validate=true", *OVERRIDES]
STAND_INS = ["--stand-ins", "--only", "resnet18", "--set=model.name=scnn", *OVERRIDES]

# Step -> command line; each step begins with what those before it left. `report` and `export` do not change the run.
STEPS: dict[str, list[str]] = {
    "synth": ["data", "synth", "--out", "archive", "--scale", "0.004", "--image-size", "32"],
    "build": ["data", "build", "mtsccd_lusc", "--archive", "archive", "--data-dir", "tfds"],
    "build pairs": ["data", "build", "mtsccd_lucd", "--archive", "archive", "--data-dir", "tfds"],
    "train": ["train", "demo", "--workdir", "run", "--data-dir", "tfds", *TRAINED],
    "evaluate": ["evaluate", "run"],
    "change": ["change", "run", "--method", "cfsm"],
    "retrieve": ["retrieve", "run", "--split", "test_a"],
    "report": ["report", "run"],
    "export": ["export", "run", "--format", "safetensors"],
    "reproduce": ["reproduce", "table6", "--workdir", "table", "--data-dir", "tfds", *STAND_INS],
}
# What a killed process must not leave once the command has been run again.
LEFTOVERS = ("*.unfinished", "incomplete.*", "*orbax-checkpoint-tmp*", ".*.lock")
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["all_imports"])


def command(place: Path, arguments: list[str]) -> None:
    """Run a command in a folder, in this process, and end with its exit status."""
    os.chdir(place)
    log = os.open("command.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from mtsccd_jax.cli import main

    sys.exit(main([*arguments, "-q"]))


def start(place: Path, step: str) -> Any:
    """Start a step in a folder, in a process of its own."""
    process = CONTEXT.Process(target=command, args=(place, STEPS[step]))
    process.start()
    return process


def finish(place: Path, step: str) -> float:
    """Run a step to its end, and return the seconds that it took."""
    started = time.monotonic()
    process = start(place, step)
    process.join()
    assert process.exitcode == 0, (step, (place / "command.log").read_text())
    return time.monotonic() - started


class Undisturbed:
    """The folder before each step, what is there after it, and how long it takes."""

    def __init__(self, root: Path, steps: tuple[str, ...] = tuple(STEPS)):
        self.root, self.after, self.seconds = root, dict[str, Any](), dict[str, float]()
        here = root / "here"
        here.mkdir(parents=True)
        for step in steps:
            shutil.copytree(here, self.before(step))
            self.seconds[step] = finish(here, step)
            self.after[step] = essence(here)

    def before(self, step: str) -> Path:
        """Return the folder as it is before a step."""
        return self.root / f"before {step}"


# Faults among what may become of a killed command.
FAULTS = ("not continued", "other results", "leftovers stay")


@dataclass(frozen=True)
class Trial:
    """One command killed and run again."""

    kind: str  # the step
    after_s: float
    outcome: str
    text: str = ""


def trials(whole: Undisturbed, numbers: Iterable[int], seed: int = 0) -> Iterator[Trial]:
    """Kill the steps in turn, each at a random moment of it, in the trials of these numbers."""
    steps = list(whole.after)
    for number in numbers:
        yield trial(whole, steps[number % len(steps)], random.Random(f"{seed} {number}").random())


def trial(whole: Undisturbed, step: str, moment: float) -> Trial:
    """Kill a step after a share of the time that it takes, run it again, and compare."""
    place = whole.root / "trial"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole.before(step), place)
    after_s = moment * whole.seconds[step]
    process = start(place, step)
    process.join(after_s)
    process.kill()
    process.join()
    left = leftovers(place)
    if not (step == "synth" and (place / "archive" / "MtSCCD").exists()):  # which is never written over
        process = start(place, step)
        process.join()
        if process.exitcode:
            said = (place / "command.log").read_text()
            return Trial(step, after_s, "not continued", f"status {process.exitcode}: {said[-500:]}")
    found, expected = essence(place), whole.after[step]
    if differing := sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)):
        return Trial(step, after_s, "other results", ", ".join(differing))
    if stay := leftovers(place):
        return Trial(step, after_s, "leftovers stay", ", ".join(stay))
    return Trial(step, after_s, "leftovers removed" if left else "same")


def leftovers(place: Path) -> list[str]:
    """Return what processes left unfinished in a folder."""
    return sorted(str(path.relative_to(place)) for pattern in LEFTOVERS for path in place.rglob(pattern))


def essence(place: Path) -> dict[str, Any]:
    """Return what the commands are for: files that are the same in every run, parameters, losses, scores and rows."""
    found: dict[str, Any] = {}
    for pattern in ("archive/**/*", "tfds/**/*", "run/model.safetensors", "run/report/**/*"):
        for path in place.glob(pattern):
            if path.is_file():
                content = path.read_bytes()
                if path.suffix == ".safetensors":  # whose header has its keys in any order
                    content = content[8 + int.from_bytes(content[:8], "little") :]
                found[str(path.relative_to(place))] = hashlib.sha256(content).hexdigest()
    for recipe in place.glob("**/recipe.json"):
        workdir = recipe.parent
        name = workdir.relative_to(place)
        found[f"{name}: losses"] = [record.loss for record in read_history(workdir)]
        found[f"{name}: scores"] = read_validations(workdir, 10**9)
        for step in (workdir / "checkpoints").iterdir():
            with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                known = json.loads((step / METADATA_FILE).read_text())["custom_metadata"]
                found[f"{name}: parameters of step {step.name}"] = known
        made = rows.load(workdir)
        found[f"{name}: rows"] = results(made)
        for row in made:
            sums = row.checksums["artefacts"]
            found[f"{name}: artefacts of {row.id}"] = {key: sums[key] for key in sums if key != "training"}
    return found
