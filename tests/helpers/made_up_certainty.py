"""Rows of certainty of a made-up network, as the task writes them: distances and class scores that know something."""

import dataclasses
from pathlib import Path

import numpy as np
from made_up_runs import CLASSES, Maker, thumbnail

from mtsccd_jax.recipes.config import Certainty
from mtsccd_jax.report import rows
from mtsccd_jax.tasks.certainty import PROTOCOLS
from mtsccd_jax.tasks.certainty.forecast import cross_fit, fit_map, forecaster, stratified_folds
from mtsccd_jax.tasks.certainty.look import PICTURES, set_names
from mtsccd_jax.tasks.certainty.maps import map_arrays
from mtsccd_jax.tasks.certainty.measure import look_order, measure
from mtsccd_jax.tasks.change.decisions import CLASS_NAMES


@dataclasses.dataclass
class CertaintyMaker(Maker):
    """Writes rows of certainty; `shift` is how far distances and scores of test splits lie from those of validation."""

    shift: float = 0.2
    certainty: Certainty = dataclasses.field(default_factory=lambda: Certainty(look=20))

    def make_recipe(self):
        return dataclasses.replace(super().make_recipe(), certainty=self.certainty)

    def scored(self, method: str, split: str, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and truth (n,) of a split."""
        random = np.random.default_rng([n, len(method), sum(map(ord, split))])
        far = 0.0 if split == "validation" else self.shift
        if method == "scene":
            truth = random.integers(0, len(CLASSES), n)
            logits = random.normal(0, 1 + far, (n, len(CLASSES))) + 3 * np.eye(len(CLASSES))[truth]
            return logits.astype(np.float32), truth
        truth = (random.random(n) < 0.2).astype(np.int64)
        distance = random.gamma(4, 0.1, n) + (0.4 - far) * truth + far
        return (distance if method == "cfsm" else np.minimum(distance / 2, 1)).astype(np.float32), truth

    def make(self, method: str, split: str, n: int = 200) -> rows.Row:
        """A row of a method on a split; in city it is cross-fitted."""
        of_change = method != "scene"
        names = ("distance", "changed") if of_change else ("score", "label")
        (score, truth), arrays, fold = self.scored(method, split, n), {"training": self.training}, {}
        forecast = forecaster(method, self.certainty, is_probability=method != "cfsm")
        known, known_truth = score, truth
        if split == "validation":
            fold = {"fold": stratified_folds(truth, np.arange(n), self.seed)}
            made = cross_fit(forecast, score, truth, fold["fold"])
        else:
            known, known_truth = self.scored(method, "validation", n)
            made = forecast(known, known_truth, score)
            arrays["validation"] = dict(zip(names, (known, known_truth), strict=True))
        if of_change:
            arrays["map"] = map_arrays(fit_map(known, known_truth, self.certainty))
        order, class_names = look_order(made.probability_nk, score, of_change), CLASS_NAMES if of_change else CLASSES
        arrays["predictions"] = dict(zip(names, (score, truth), strict=True)) | made.arrays() | fold
        first = order[:PICTURES]
        thumbs = np.stack([thumbnail(int(truth[i]), int(i)) for i in first])
        probability = made.probability_nk[first]
        arrays["look"] = {
            "row": first,
            "probability": probability[:, 1] if of_change else probability.max(1),
            "answer": np.array(class_names)[probability.argmax(1)],
            "truth": np.array(class_names)[truth[first]],
            "set": set_names(made.in_set_nk[first], class_names),
            **({"thumb_t1": thumbs, "thumb_t2": thumbs[::-1]} if of_change else {"thumb": thumbs}),
        }
        settings = {"of_change": of_change, "resamples": 40, "seed": self.seed}
        return self.row(
            split,
            PROTOCOLS[method],
            arrays,
            measure(made, truth, known_truth, order, self.certainty, **settings),
            dataset=f"mtsccd_{'lucd' if of_change else 'lusc'}/{self.config}",
            class_names=list(class_names),
        )


def make_certainty(workdir: Path, methods=("scene", "cfsm"), splits=("validation", "test_a"), **settings):
    """The rows of a made-up network by (method, split)."""
    maker = CertaintyMaker(workdir, **settings)
    return {(method, split): maker.make(method, split) for method in methods for split in splits}
