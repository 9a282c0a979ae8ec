"""Damage the files that a run reads, one at a time, and say what the command made of it."""

import contextlib
import io
import json
import random
import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from made_up_rows import results

from mtsccd_jax.checksums import with_sha256
from mtsccd_jax.cli import main
from mtsccd_jax.report import rows
from mtsccd_jax.report.workdirs import FAILURES_FILE

SETTINGS = ["model.name=scnn", "model.width=0.25", "data.image_size=32", "engine.epochs=3", "engine.batch_size=16"]
SETTINGS += ["engine.keep=best", "engine.validate=true", "engine.checkpoint_every_s=0", "evaluation.resamples=20"]
SETTINGS += ["engine.eval_batch_size=64", "optim.warmup_epochs=0", "optim.learning_rate=0.01"]
# Keys of a command's JSON that no two runs share.
INCIDENTAL = ("images_per_s", "seconds", "compile_s")

# Faults among what may become of a damaged file; otherwise it is told, or made again, or the result is the same.
FAULTS = ("not named", "silently wrong", "traceback")


def flip(content: bytes, chance: random.Random) -> bytes:
    """Change one bit."""
    damaged = bytearray(content)
    damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "flip": flip,
    "cut": lambda content, chance: content[: chance.randrange(len(content))],
    "empty": lambda content, chance: b"",
    "missing": lambda content, chance: None,
}


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    status: int
    result: Any
    text: str
    error: str = ""  # of a traceback


def said(*arguments: object) -> Said:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        except BaseException:
            return Said(1, None, err.getvalue(), traceback.format_exc())
    lines = out.getvalue().strip().splitlines()
    return Said(status, json.loads(lines[-1]) if lines else None, err.getvalue())


def essence(value: Any) -> Any:
    """Return a command's JSON without what no two runs share."""
    if isinstance(value, dict):
        return {key: essence(item) for key, item in value.items() if key not in INCIDENTAL}
    return [essence(item) for item in value] if isinstance(value, list) else value


class TinyRun:
    """A run of seconds with all files that commands write: data sets, checkpoints, rows, artefacts, an index."""

    def __init__(self, root: Path):
        self.root, self.workdir, self.data = root, root / "run", root / "tfds"
        self.sound = root.with_name(f"{root.name}-sound")

    def make(self) -> "TinyRun":
        """Make it by the commands, once."""
        if not self.sound.exists():
            for arguments in (
                ("data", "synth", "--out", self.root / "archive", "--scale", "0.004", "--image-size", "32"),
                ("data", "build", "mtsccd_lusc", "--archive", self.root / "archive", "--data-dir", self.data),
                ("data", "build", "mtsccd_lucd", "--archive", self.root / "archive", "--data-dir", self.data),
                self.command("train"),
                self.command("evaluate"),
                self.command("change"),
                self.command("retrieve"),
            ):
                done = said(*arguments, "-q")
                assert done.status == 0, done
            failed = {"network": "demo", "protocol": "cfsm", "split": "test_b", "seed": 0, "reason": "out of memory"}
            (self.workdir / FAILURES_FILE).write_text(json.dumps([with_sha256(failed)]))
            shutil.copytree(self.root, self.sound)
        return self

    def restore(self) -> None:
        """Put every file back as it was made."""
        shutil.rmtree(self.root)
        shutil.copytree(self.sound, self.root)

    def command(self, name: str) -> tuple[object, ...]:
        """Return a command of the run."""
        where = {
            "train": ("demo", "--workdir", self.workdir, "--data-dir", self.data),
            "evaluate": (self.workdir, "--split", "test_a"),
            "change": (self.workdir, "--method", "cfsm", "--split", "test_a"),
            "retrieve": (self.workdir, "--split", "test_b"),
        }.get(name, (self.workdir,))
        settings = [f"--set={setting}" for setting in SETTINGS] if name == "train" else []
        return (name, *where, *settings)

    def outcome(self, name: str) -> tuple[Said, Any]:
        """Run a command; return what it said, and all that it left of results."""
        done = said(*self.command(name))
        left: Any = None
        if done.status == 0:
            if name in WRITTEN:
                made = [row for row in rows.load(self.workdir) if (row.protocol, row.split) == WRITTEN[name]]
                left = results(made), [row.checksums["artefacts"] for row in made]
            if name == "report":
                left = (self.workdir / "report" / "index.html").read_text(encoding="utf-8")
        return done, (done.status, essence(done.result), left)


# Command -> the row that it writes.
WRITTEN = {"evaluate": ("scene", "test_a"), "change": ("cfsm", "test_a"), "retrieve": ("retrieval", "test_b")}
# Kind of file -> its places in the run, and the commands that read it.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "recipe": ("run/recipe.json", ("evaluate", "train")),
    "history": ("run/training.jsonl", ("evaluate", "train")),
    "checkpoint": ("run/checkpoints/*/**/*", ("evaluate", "train")),
    "rows": ("run/rows.jsonl", ("verify", "report", "evaluate")),
    "artefact": ("run/artefacts/*.npz", ("verify", "report")),
    "index": ("run/index/*.npz", ("retrieve",)),
    "compiled": ("run/compiled/**/*", ("evaluate",)),
    "data set": ("tfds/mtsccd_lusc/**/*", ("evaluate", "train")),
    "data set of pairs": ("tfds/mtsccd_lucd/**/*", ("change",)),
    "failures": ("run/failures.json", ("report",)),
}
# Without the file nothing is known to have failed, as before anything did; its rows are missing all the same.
NO_DAMAGE = ("failures", "missing")


@dataclass(frozen=True)
class Trial:
    """One damage, and its outcome."""

    kind: str
    file: str
    damage: str
    command: str
    outcome: str
    text: str


def trials(run: TinyRun, numbers: Iterable[int], seed: int = 0) -> Iterator[Trial]:
    """Damage one file after the other, of all kinds in turn, each in a run that is whole otherwise."""
    expected = dict[str, Any]()
    run.restore()
    kinds = [kind for kind, (place, _) in KINDS.items() if any(run.root.glob(place))]  # programs may be kept elsewhere
    for number in numbers:
        kind, chance = kinds[number % len(kinds)], random.Random(f"{seed} {number}")
        place, commands = KINDS[kind]
        files = sorted(path for path in run.root.glob(place) if path.is_file() and path.stat().st_size)
        file, command = chance.choice(files), chance.choice(commands)
        damage = chance.choice([name for name in DAMAGES if (kind, name) != NO_DAMAGE])
        if command not in expected:
            expected[command] = run.outcome(command)[1]
            run.restore()
        content = DAMAGES[damage](file.read_bytes(), chance)
        file.unlink() if content is None else file.write_bytes(content)
        done, left = run.outcome(command)
        yield Trial(
            kind, str(file.relative_to(run.root)), damage, command, *judged(done, left, expected[command], file)
        )
        run.restore()


def judged(done: Said, left: Any, expected: Any, file: Path) -> tuple[str, str]:
    """Return the outcome of a trial, and what was said."""
    lines = done.text.strip().splitlines()
    if done.error or "Traceback" in done.text:
        return "traceback", done.error or done.text
    if done.status:
        return "told" if done.status in (2, 3) and names(done, file) else "not named", done.text
    warned = any(line.startswith("warning") for line in lines)
    if left == expected:
        return ("made again" if warned else "same"), done.text
    on_page = isinstance(left[2], str) and file.name in left[2]
    return ("told" if on_page or (warned and names(done, file)) else "silently wrong"), done.text


def names(done: Said, file: Path) -> bool:
    """Return whether a file, or a folder that it lies deep in, is named in what was said."""
    near = [place.name for place in (file, *file.parents[:4]) if place.name not in ("run", "tfds")]
    return any(name in done.text for name in near)
