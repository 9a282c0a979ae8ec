"""A made-up but plausible experiment: rows and artefacts as the protocols write them, at the paper's counts."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mtsccd_jax.config import Engine, Model, Recipe, to_dict
from mtsccd_jax.ops.metrics import binary_metrics, scene_metrics
from mtsccd_jax.report import page, published, rows
from mtsccd_jax.report.words import ABBREVIATIONS

CLASSES = tuple(ABBREVIATIONS)
CITIES = ("hangzhou", "shanghai", "wuhan", "nanjing", "hefei")
# Scenes per class in Hefei and Nanjing (Table 3 of the paper).
SCENES = {
    "test_a": (1872, 522, 497, 807, 2823, 1609, 814, 584, 217, 411),
    "test_b": (2526, 144, 453, 936, 1668, 665, 1014, 771, 1608, 339),
}
# The colour and the grain of a made-up scene of each class, in pixels.
LOOKS = (
    ((150, 132, 120), 6),
    ((168, 160, 152), 12),
    ((150, 140, 118), 10),
    ((150, 165, 185), 20),
    ((120, 120, 124), 24),
    ((150, 155, 92), 30),
    ((58, 86, 104), 48),
    ((96, 128, 80), 9),
    ((52, 78, 52), 3),
    ((182, 158, 124), 16),
)


def thumbnail(label: int, seed: int, size: int = 96) -> np.ndarray:
    """A made-up scene (size, size, 3) uint8 whose blocks have the colour and grain of its class."""
    random = np.random.default_rng(seed)
    color, grain = LOOKS[label % len(LOOKS)]
    cells = random.normal(0, 22, (size // grain + 1, size // grain + 1, 1))
    blocks = np.repeat(np.repeat(cells, grain, axis=0), grain, axis=1)[:size, :size]
    noise = random.normal(0, 7, (size, size, 3))
    return np.clip(np.array(color) + random.normal(0, 8, 3) + blocks + noise, 0, 255).astype(np.uint8)


def intervals(confusion: np.ndarray, metrics: Mapping[str, float]) -> dict[str, dict[str, float | None]]:
    """Each metric with an interval that is as wide as its binomial one."""
    half = 1.96 / np.sqrt(confusion.sum())
    return {
        name: {"value": value, "low": max(value - half, 0.0), "high": min(value + half, 1.0)}
        for name, value in metrics.items()
    }


class Maker:
    """Writes the rows and artefacts of one made-up run into a work directory."""

    def __init__(self, workdir: Path, *, name: str, model: str, seed: int, skill: float, share: float):
        self.workdir, self.seed, self.skill, self.share = workdir, seed, skill, share
        self.random = np.random.default_rng(1000 + seed + len(name))
        self.training = self.history()
        self.recipe = dataclasses.replace(
            Recipe(name, "made up"), model=Model(model), engine=Engine(batch_size=50, epochs=20), seed=seed
        )

    def row(
        self, split: str, protocol: str, arrays: Mapping[str, Mapping[str, np.ndarray]], **fields: object
    ) -> rows.Row:
        """The row with what all protocols share filled in, appended to the work directory."""
        recipe = to_dict(self.recipe)
        identity = rows.row_id(recipe, split, protocol, self.seed)
        artefacts, checksums = {}, {}
        for name, content in arrays.items():
            saved = rows.save_artefact(self.workdir, name if name == "training" else f"{identity}-{name}", content)
            artefacts[name], checksums[name] = saved
        row = rows.Row(
            id=identity,
            split=split,
            protocol=protocol,
            model=self.recipe.model.name,
            seed=self.seed,
            recipe=recipe,
            versions={"mtsccd-jax": "0.1.0", "jax": "0.10.2", "flax": "0.12.4", "numpy": "2.3.1"},
            device="1 x NVIDIA H200",
            commit="1f0c9a7be214",
            times={"finished": "2026-11-20T12:00:00+00:00", "seconds": 41.7},
            images_per_s=8123.4,
            checksums={"data": "ab" * 32, "artefacts": checksums},
            artefacts=artefacts,
            **fields,
        )
        rows.append(self.workdir, row)
        return row

    def history(self) -> dict[str, np.ndarray]:
        """A loss that falls under a cosine schedule."""
        step = np.arange(1, 1401)
        loss = 0.35 + 2.0 * np.exp(-step / 260) + self.random.normal(0, 0.08, len(step)) * np.exp(-step / 1500)
        rate = self.random.normal(3150, 90, len(step))
        rate[:3] = np.nan
        return {
            "step": step,
            "epoch": step // 70,
            "loss": loss,
            "learning_rate": 4e-2 * (1 + np.cos(np.pi * step / len(step))),
            "images_per_s": rate,
        }

    def scene(self, split: str) -> rows.Row:
        """A scene row: every class keeps its share of right answers, the rest goes to a few neighbours."""
        counts = np.maximum(np.round(np.array(SCENES[split]) * self.share), 3).astype(np.int64)
        recall = np.clip(self.skill + self.random.normal(0, 0.12, 10), 0.2, 0.96)
        confusion = np.zeros((10, 10), np.int64)
        for i, n in enumerate(counts):
            weight = self.random.gamma(0.35, 1.0, 10) + 0.01
            weight[i] = 0
            share = weight / weight.sum() * (1 - recall[i])
            share[i] = recall[i]
            confusion[i] = self.random.multinomial(n, share)
        label, prediction = np.repeat(np.indices((10, 10)).reshape(2, -1), confusion.ravel(), axis=1)
        city = CITIES.index("hefei" if split == "test_a" else "nanjing")
        sheet = np.repeat(np.arange(10), 2)
        paper = published.scene(self.recipe.model.name, split)
        return self.row(
            split,
            "scene",
            {
                "training": self.training,
                "predictions": {"label": label, "prediction": prediction},
                "scenes": {
                    "thumb": np.stack([thumbnail(c, 10 * i + city) for i, c in enumerate(sheet)]),
                    "label": sheet,
                    "city": np.full(len(sheet), city),
                    "phase": np.tile([1, 2], 10),
                    "class_names": np.array(CLASSES),
                    "city_names": np.array(CITIES),
                },
            },
            dataset="mtsccd_lusc/official",
            n=int(confusion.sum()),
            metrics=intervals(confusion, scene_metrics(confusion)),
            confusion=confusion.tolist(),
            class_names=list(CLASSES),
            baseline={"name": "most frequent class", "oa": float(counts.max() / counts.sum()), "kappa": 0.0},
            published=dataclasses.asdict(paper) if paper else None,
        )

    def pairs(self, n: int, changed: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances (n,) in [0, 2] and what changed (n,): changed pairs lie farther apart, with overlap."""
        truth = np.zeros(n, bool)
        truth[:changed] = True
        spread = self.random.gamma(5.0, 0.055, n)
        far = self.random.gamma(11.0, 0.055 * (0.6 + 0.6 * self.skill), n)
        return np.minimum(np.where(truth, far, spread), 2.0), truth

    def change(self, split: str, protocol: str) -> rows.Row:
        """A change row: CFSM with a threshold from made-up validation pairs, or CDC_1 with many false alarms."""
        n, changed = (int(value * self.share) for value in published.PAIRS_CHANGED[split])
        distance, truth = self.pairs(n, changed)
        validation = self.pairs(int(4526 * self.share), int(589 * self.share))
        threshold = 0.44 if protocol == "cfsm" else None
        predicted = distance >= 0.44 if protocol == "cfsm" else self.random.random(n) < np.where(truth, 0.86, 0.36)
        confusion = np.array([[(t == truth) & (p == predicted) for p in (False, True)] for t in (False, True)]).sum(-1)
        metrics = binary_metrics(confusion)
        arrays: dict[str, Mapping[str, np.ndarray]] = {
            "training": self.training,
            "predictions": {"changed": truth, "predicted": predicted, "distance": distance},
            "examples": self.examples(truth, predicted, distance),
        }
        if protocol == "cfsm":
            arrays["validation"] = {"distance": validation[0], "changed": validation[1]}
        paper = published.change(protocol, self.recipe.model.name, split)
        return self.row(
            split,
            protocol,
            arrays,
            dataset="mtsccd_lucd/official",
            n=n,
            metrics=intervals(confusion, metrics),
            metrics_rechosen={
                name: {"value": e["value"], "low": max(e["low"] - 0.01, 0.0), "high": min(e["high"] + 0.01, 1.0)}
                for name, e in intervals(confusion, metrics).items()
            }
            if protocol == "cfsm"
            else None,
            confusion=confusion.tolist(),
            class_names=["unchanged", "changed"],
            threshold=threshold,
            objective="kappa" if protocol == "cfsm" else None,
            threshold_from="validation" if protocol == "cfsm" else None,
            baseline={"name": "all unchanged", "oa": float((~truth).mean()), "kappa": 0.0},
            published=dataclasses.asdict(paper) if paper else None,
        )

    def examples(self, truth: np.ndarray, predicted: np.ndarray, distance: np.ndarray) -> dict[str, np.ndarray]:
        """Four pairs of each outcome."""
        outcomes = ((True, True), (True, False), (False, True), (False, False))
        chosen = np.concatenate([np.flatnonzero((truth == t) & (predicted == p))[:4] for t, p in outcomes])
        first = self.random.integers(0, 10, len(chosen))
        second = np.where(truth[chosen], (first + 1 + self.random.integers(0, 9, len(chosen))) % 10, first)
        return {
            "thumb_t1": np.stack([thumbnail(c, 500 + i) for i, c in enumerate(first)]),
            "thumb_t2": np.stack([thumbnail(c, (600 if first[i] != c else 500) + i) for i, c in enumerate(second)]),
            "changed": truth[chosen],
            "predicted": predicted[chosen],
            "distance": distance[chosen],
            "label_t1": first,
            "label_t2": second,
            "class_names": np.array(CLASSES),
        }


def make_workdir(
    workdir: Path,
    *,
    name: str = "paper_resnet101",
    model: str = "resnet101",
    seed: int = 0,
    skill: float = 0.72,
    share: float = 1.0,
) -> list[rows.Row]:
    """The six rows of a made-up run: scenes, CFSM and CDC_1 on both test cities.

    Args:
        workdir: Where rows and artefacts are written.
        name: The recipe's name.
        model: The network's name.
        seed: The run's seed.
        skill: About the share of scenes named correctly.
        share: Size of the test sets relative to the paper's.
    """
    maker = Maker(workdir, name=name, model=model, seed=seed, skill=skill, share=share)
    return [maker.scene(s) for s in SCENES] + [maker.change(s, p) for p in ("cfsm", "cdc_1") for s in SCENES]


@pytest.fixture(scope="session")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory of a made-up run at the paper's counts. Not to be written to."""
    path = tmp_path_factory.mktemp("runs") / "paper_resnet101"
    make_workdir(path)
    return path


@pytest.fixture(scope="session")
def index(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that run."""
    return page.write([workdir], tmp_path_factory.mktemp("report"))
