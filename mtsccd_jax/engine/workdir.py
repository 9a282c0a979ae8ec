"""The folder of one experiment: which recipe it belongs to, and what its training did step by step."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from mtsccd_jax.config import Recipe, from_dict, identity, to_dict
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing

RECIPE_FILE = "recipe.json"
HISTORY_FILE = "training.jsonl"


@dataclass(frozen=True)
class Run:
    """What a work directory is of.

    Attributes:
        recipe: its recipe.
        class_names: the classes that its network was made for.
        data: name of the training data.
        train_examples: how many there are.
        weights_sha256: checksum of the file of published weights that the network began with, None for random ones.
    """

    recipe: Recipe
    class_names: tuple[str, ...]
    data: str
    train_examples: int
    weights_sha256: str | None = None


def check_recipe(workdir: Path, recipe: Recipe) -> None:
    """Raises InputError, with the keys that differ, where the work directory holds another recipe."""
    if (workdir / RECIPE_FILE).exists():
        old, new = identity(load(workdir).recipe), identity(recipe)
        differing = [
            f"{key} ({old.get(key)} there, {value} asked for)" for key, value in new.items() if old.get(key) != value
        ]
        if differing:
            raise InputError(
                f"{workdir}: holds another run; differing: {', '.join(differing)}. Choose another --workdir"
            )


def claim(workdir: Path, run: Run) -> None:
    """Makes the work directory this run's, or checks that it already is.

    Raises:
        InputError: it holds another recipe or another class list; the keys that differ are named.
    """
    check_recipe(workdir, run.recipe)
    if (workdir / RECIPE_FILE).exists():
        present, differing = load(workdir), []
        if present.class_names != run.class_names:
            differing.append(f"classes ({len(present.class_names)} there, {len(run.class_names)} asked for)")
        if run.weights_sha256 not in (None, present.weights_sha256):
            differing.append("the weights in model.init (another file of that name)")
        if present.train_examples != run.train_examples:
            differing.append(f"training examples ({present.train_examples} there, {run.train_examples} now)")
        if differing:
            raise InputError(
                f"{workdir}: holds another run; differing: {', '.join(differing)}. Choose another --workdir"
            )
        return
    values = {
        "recipe": to_dict(run.recipe),
        "class_names": list(run.class_names),
        "data": run.data,
        "train_examples": run.train_examples,
        "weights_sha256": run.weights_sha256,
    }
    with replacing(workdir / RECIPE_FILE) as stream:
        stream.write(json.dumps(values, indent=1, ensure_ascii=False).encode() + b"\n")


def load(workdir: Path) -> Run:
    """The run that a work directory holds.

    Raises:
        InputError: it holds none, or its recipe file cannot be read.
    """
    path = workdir / RECIPE_FILE
    if not path.exists():
        raise InputError(f"{workdir}: no trained run here ({RECIPE_FILE} is missing); run `mtsccd-jax train` first")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Run(
            from_dict(values["recipe"]),
            tuple(values["class_names"]),
            values["data"],
            int(values["train_examples"]),
            values.get("weights_sha256"),
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a recipe file ({error!r}); choose another work directory") from None


@dataclass(frozen=True)
class StepRecord:
    """One line of the training history."""

    step: int
    epoch: int
    loss: float
    accuracy: float
    gradient_norm: float
    learning_rate: float
    images_per_s: float | None = None


class History:
    """The training history, one JSON line a step; what lies beyond the checkpoint that is resumed is dropped."""

    def __init__(self, workdir: Path, resume_step: int):
        self.path = workdir / HISTORY_FILE
        kept = [line for line in _whole_lines(self.path) if line["step"] <= resume_step]
        self.records = _step_records(kept)
        with replacing(self.path) as stream:
            stream.write("".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file: IO[str] = self.path.open("a", encoding="utf-8")

    def extend(self, records: Iterable[StepRecord]) -> None:
        """Appends records and hands them to the operating system."""
        for record in records:
            self.records.append(record)
            self._file.write(json.dumps(asdict(record)) + "\n")
        self._file.flush()

    def add_validation(self, step: int, overall_accuracy: float) -> None:
        """Appends the overall accuracy on the validation split after a step."""
        self._file.write(json.dumps({"step": step, "validation_oa": overall_accuracy}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_history(workdir: Path) -> list[StepRecord]:
    """The training history of a work directory, one record a step."""
    return _step_records(_whole_lines(workdir / HISTORY_FILE))


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a history file; a line torn by a kill ends them."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines


def _step_records(lines: list[dict[str, Any]]) -> list[StepRecord]:
    return [StepRecord(**line) for line in lines if "validation_oa" not in line]
