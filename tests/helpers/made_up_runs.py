"""A made-up but plausible experiment: rows and artefacts as the protocols write them, at the paper's counts."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtsccd_jax.ops.bootstrap import rechosen_threshold_interval
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.recipes.config import Data, Engine, Evaluation, Model, Recipe, to_dict
from mtsccd_jax.report import published, rows
from mtsccd_jax.report.measured import Measured
from mtsccd_jax.report.published.tables import PAIRS_CHANGED
from mtsccd_jax.report.text import ABBREVIATIONS
from mtsccd_jax.tasks.change import decisions
from mtsccd_jax.tasks.scenes import evaluate as scenes_task

CLASSES = tuple(ABBREVIATIONS)
CITIES = ("hangzhou", "shanghai", "wuhan", "nanjing", "hefei")
# Scenes per class in Hefei and Nanjing (Table 3 of the paper).
SCENES = {
    "test_a": (1872, 522, 497, 807, 2823, 1609, 814, 584, 217, 411),
    "test_b": (2526, 144, 453, 936, 1668, 665, 1014, 771, 1608, 339),
}
# Network -> about the share of scenes that it names correctly, and its speed in images/s; both are made up.
NETWORKS = {"alexnet": (0.61, 21000.0), "resnet18": (0.70, 14000.0), "densenet201": (0.77, 3300.0)}


def thumbnail(label: int, seed: int, size: int = 96) -> np.ndarray:
    """A made-up scene (size, size, 3) uint8: the colour of its class, with noise."""
    color = np.random.default_rng(label).integers(60, 180, 3)
    noise = np.random.default_rng(seed).normal(0, 12, (size, size, 3))
    return np.clip(color + noise, 0, 255).astype(np.uint8)


@dataclasses.dataclass
class Maker:
    """Writes the rows and artefacts of one made-up run into a work directory.

    The examples of a split are the same whatever the run, and every value of a row is that of its artefacts. `skill` is
    about the share of scenes named correctly, `share` the size of the test sets relative to the paper's.
    """

    workdir: Path
    _: dataclasses.KW_ONLY
    name: str = "paper_resnet101"
    model: str = "resnet101"
    seed: int = 0
    skill: float = 0.72
    share: float = 1.0
    width: float = 1.0
    config: str = "official"
    speed: float = 8123.4

    def __post_init__(self):
        self.random = np.random.default_rng([1000 + self.seed, len(self.name), sum(map(ord, self.model))])
        self.training = self.history()
        self.recipe = self.make_recipe()

    def make_recipe(self) -> Recipe:
        """The recipe of the run."""
        return dataclasses.replace(
            Recipe(self.name, "made up"),
            data=Data(config=self.config),
            model=Model(self.model, width=self.width),
            engine=Engine(batch_size=50, epochs=20),
            evaluation=Evaluation(resamples=40),
            seed=self.seed,
        )

    def row(
        self,
        split: str,
        protocol: str,
        arrays: Mapping[str, Mapping[str, np.ndarray]],
        measured: Measured,
        *,
        dataset: str,
        paper: published.Published | None = None,
        objective: str | None = None,
        **fields: object,
    ) -> rows.Row:
        """The row with what all protocols share filled in, appended to the work directory."""
        recipe = to_dict(self.recipe)
        other = objective if objective != "kappa" else None
        identity = rows.row_id(recipe, split, protocol, self.seed, objective=other, dataset=dataset)
        artefacts, checksums = {}, {}
        for name, content in arrays.items():
            saved = rows.save_artefact(self.workdir, name if name == "training" else f"{identity}-{name}", content)
            artefacts[name], checksums[name] = saved
        row = rows.Row(
            id=identity,
            dataset=dataset,
            objective=objective,
            split=split,
            protocol=protocol,
            model=self.recipe.model.name,
            seed=self.seed,
            n=measured.n,
            metrics=measured.metrics,
            confusion=measured.confusion.tolist(),
            baseline=dict(measured.baseline),
            published=dataclasses.asdict(paper) if paper else None,
            recipe=recipe,
            versions={"mtsccd-jax": "0.1.0", "jax": "0.10.2", "flax": "0.12.4", "numpy": "2.3.1"},
            device="1 x NVIDIA H200",
            commit="1f0c9a7be214",
            times={"finished": "2026-11-20T12:00:00+00:00", "seconds": 41.7},
            images_per_s=self.speed,
            checksums={"data": "ab" * 32, "artefacts": checksums},
            artefacts=artefacts,
            **fields,
        )
        rows.append(self.workdir, row)
        return row

    def history(self) -> dict[str, np.ndarray]:
        """A loss that falls under a cosine schedule."""
        step = np.arange(1, 1401)
        return {
            "step": step,
            "epoch": step // 70,
            "loss": 0.35 + 2.0 * np.exp(-step / 260) + self.random.normal(0, 0.05, len(step)),
            "learning_rate": 4e-2 * (1 + np.cos(np.pi * step / len(step))),
            "images_per_s": np.where(step < 4, np.nan, self.random.normal(3150, 90, len(step))),
        }

    def scene(self, split: str) -> rows.Row:
        """A scene row."""
        known = SCENES.get(split, SCENES["test_a"])
        counts = np.maximum(np.round(np.array(known) * self.share), 3).astype(np.int64)
        label = np.repeat(np.arange(10), counts)
        right = self.random.random(len(label)) < self.skill
        prediction = np.where(right, label, self.random.integers(0, 10, len(label)))
        city = CITIES.index("hefei" if split == "test_a" else "nanjing")
        sheet = np.repeat(np.arange(10), 2)
        return self.row(
            split,
            "scene",
            {
                "training": self.training,
                "predictions": {
                    "label": label,
                    "prediction": prediction,
                    "filename": np.array([f"{split}_{i:05d}.jpg" for i in range(len(label))]),
                },
                "scenes": {
                    "thumb": np.stack([thumbnail(c, 10 * i + city) for i, c in enumerate(sheet)]),
                    "label": sheet,
                    "city": np.full(len(sheet), city),
                    "phase": np.tile([1, 2], 10),
                    "class_names": np.array(CLASSES),
                    "city_names": np.array(CITIES),
                },
            },
            scenes_task.measure(label, prediction, 10, resamples=40, seed=self.seed),
            dataset=f"mtsccd_lusc/{self.config}",
            paper=published.scene(self.recipe.model.name, split, self.recipe.model.width),
            class_names=list(CLASSES),
        )

    def distances(self, truth: np.ndarray) -> np.ndarray:
        """Distances (n,) in [0, 2]: changed pairs lie farther apart, with overlap."""
        spread = self.random.gamma(5.0, 0.055, len(truth))
        far = self.random.gamma(11.0, 0.055 * (0.6 + 0.6 * self.skill), len(truth))
        return np.minimum(np.where(truth, far, spread), 2.0)

    def change(self, split: str, protocol: str) -> rows.Row:
        """A change row: a threshold on made-up distances, or the many false alarms of classifying twice."""
        n, changed = (max(int(value * self.share), 24) for value in PAIRS_CHANGED[split])
        first, second = pairs_of(n, changed, split)
        truth = first != second
        distance = self.distances(truth)
        seen = np.arange(max(int(4526 * self.share), 30)) % 8 == 0
        learned = protocol in ("cfsm", "sscd")
        arrays: dict[str, Mapping[str, np.ndarray]] = {"training": self.training}
        threshold = rechosen = None
        if learned:
            scale = 1.0 if protocol == "cfsm" else 0.5
            validation, distance = self.distances(seen) * scale, distance * scale
            threshold = best_threshold(validation, seen, "kappa").threshold
            predicted = distance >= threshold
            rechosen = rechosen_threshold_interval(validation, seen, distance, truth, "kappa", 40, self.seed)
            arrays["validation"] = {"distance": validation, "changed": seen}
        else:
            alarm = 0.36 if protocol == "cdc_1" else 0.3
            predicted = self.random.random(n) < np.where(truth, 0.86, alarm)
        if protocol == "cdc_2":
            distance = np.where(predicted, distance, -distance)  # the margin of change
        named_t1 = np.where(self.random.random(n) < self.skill, first, self.random.integers(0, 10, n))
        other = np.where(self.random.random(n) < self.skill, second, self.random.integers(0, 10, n))
        other = np.where(other == named_t1, (other + 1) % 10, other)
        named_t2 = np.where(predicted, other, named_t1)
        right = None if protocol == "sscd" else (named_t1 == first) & (named_t2 == second)
        measured = decisions.measure(truth, predicted, right, resamples=40, seed=self.seed)
        arrays["predictions"] = {"changed": truth, "predicted": predicted, "distance": distance}
        arrays["predictions"] |= {"label_t1": first, "label_t2": second}
        for name in ("filename_t1", "filename_t2"):
            arrays["predictions"][name] = np.array([f"{split}_{name[-2:]}_{i:05d}.jpg" for i in range(n)])
        if protocol != "sscd":
            arrays["predictions"] |= {"prediction_t1": named_t1, "prediction_t2": named_t2}
        arrays["examples"] = examples(truth, predicted, distance, first, second)
        return self.row(
            split,
            protocol,
            arrays,
            measured,
            dataset=f"mtsccd_lucd/{self.config}",
            paper=published.change(protocol, self.recipe.model.name, split, self.recipe.model.width),
            metrics_rechosen=measured.metrics_within(rechosen) if rechosen else None,
            class_names=["unchanged", "changed"],
            threshold=threshold,
            objective="kappa" if learned else None,
            threshold_from="validation" if learned else None,
        )


def pairs_of(n: int, changed: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The classes (n,) of both dates of a split's pairs, the same for every run."""
    random = np.random.default_rng([n, ord(split[-1])])
    first = random.integers(0, 10, n)
    moved = (first + random.integers(1, 10, n)) % 10
    second = np.where(random.permutation(n) < changed, moved, first)
    return first, second


def examples(
    truth: np.ndarray, predicted: np.ndarray, distance: np.ndarray, first: np.ndarray, second: np.ndarray
) -> dict[str, np.ndarray]:
    """Eight changed and eight unchanged pairs, whatever was said of them."""
    chosen = np.concatenate([np.flatnonzero(truth)[:8], np.flatnonzero(~truth)[:8]])
    t1, t2 = first[chosen], second[chosen]
    return {
        "row": chosen,
        "thumb_t1": np.stack([thumbnail(c, 500 + i) for i, c in enumerate(t1)]),
        "thumb_t2": np.stack([thumbnail(c, (600 if t1[i] != c else 500) + i) for i, c in enumerate(t2)]),
        "changed": truth[chosen],
        "predicted": predicted[chosen],
        "distance": distance[chosen],
        "label_t1": t1,
        "label_t2": t2,
        "class_names": np.array(CLASSES),
    }


def make_workdir(
    workdir: Path,
    *,
    splits: Sequence[str] = tuple(SCENES),
    protocols: Sequence[str] = ("cfsm", "cdc_1"),
    scenes: bool = True,
    **settings: object,
) -> list[rows.Row]:
    """The rows of a made-up run: scenes of some splits, and change by some protocols on both test sets."""
    maker = Maker(workdir, **settings)
    made = [maker.scene(split) for split in splits] if scenes else []
    return made + [maker.change(split, protocol) for protocol in protocols for split in PAIRS_CHANGED]


def make_reproduction(
    folder: Path,
    *,
    networks: Sequence[str],
    similar: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    share: float = 0.03,
    config: str = "official",
) -> Path:
    """The folder of a made-up reproduction of both tables: a work directory a network and seed, one row failed."""
    for model in networks:
        skill, speed = NETWORKS[model]
        for seed in seeds:
            make_workdir(
                folder / f"{model}-{config}-{seed}",
                name=f"paper_{model}",
                model=model,
                seed=seed,
                skill=skill,
                share=share,
                splits=("validation", "test_a", "test_b"),
                protocols=("cdc_1", "cfsm", *(["cdc_2"] if model == "alexnet" else [])),
                config=config,
                speed=speed,
            )
    for model in similar:
        settings = {"model": model, "skill": 0.9, "share": share, "config": config}
        where = folder / f"sscd-{model}-{config}"
        make_workdir(where, name=f"sscd_{model}", protocols=("sscd",), scenes=False, **settings)
    reason = "swin_tiny, cdc_2: its last map is 7 x 7 tokens, fewer than the words asked for"
    failed = {"network": "paper_swin_tiny", "protocol": "cdc_2", "split": "test_a", "seed": 0, "reason": reason}
    (folder / "failures.json").write_text(json.dumps([failed]))
    return folder
