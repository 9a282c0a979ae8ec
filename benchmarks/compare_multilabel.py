"""Multi-label metrics, thresholds and a paired bootstrap at the size of BigEarthNet's test split, beside scikit-learn.

    python benchmarks/compare_multilabel.py [--examples 125866] [--classes 19] [--resamples 1000] [--timed 2]

Both get the same labels (each class with a prevalence of its own, 1 to 50 %) and float32 scores from host memory, and
compute the same values; `largest_difference` is the largest between any two of them.

- `ap`: average precision of every class and pooled (`average_precision_score`).
- `decisions`: precision, recall, F1 and F2 over samples, micro and macro, and Hamming loss, from labels and decisions.
- `ranking`: coverage error and ranking loss.
- `thresholds`: the threshold of highest F1 for every class; the peer takes `precision_recall_curve` and picks from it.
- `bootstrap`: the difference of macro average precision between two models in each of `--resamples` resamples. The
  peer is a loop that resamples examples and calls `average_precision_score`; it is timed on `--timed` resamples, and
  its time is multiplied up, as the time of a loop is proportional to its turns.

Times are medians over interleaved rounds.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from record import chosen, make_parser, measure, publish, scaled, spread

from mtsccd_jax.ops import multilabel
from mtsccd_jax.ops.multilabel_bootstrap import paired_differences


def peers(label: np.ndarray, score: np.ndarray, predicted: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return the calls of scikit-learn for each of our results, by name."""
    from sklearn import metrics as sk

    def decisions() -> list[float]:
        values: list[float] = []
        for average in multilabel.AVERAGES:
            for beta in (1, 2):
                scores = sk.precision_recall_fscore_support(
                    label, predicted, beta=beta, average=average, zero_division=0
                )
                values += scores[:3] if beta == 1 else scores[2:3]
        return [*values, sk.hamming_loss(label, predicted)]

    def thresholds() -> list[float]:
        best = []
        for column in range(label.shape[1]):
            precision, recall, threshold = sk.precision_recall_curve(label[:, column], score[:, column])
            value = 2 * precision * recall / np.maximum(precision + recall, 1e-30)
            best.append(float(value[: len(threshold)].max()))
        return best

    return {
        "ap": lambda: [sk.average_precision_score(label, score, average=average) for average in ("macro", "micro")],
        "decisions": decisions,
        "ranking": lambda: [sk.coverage_error(label, score), sk.label_ranking_loss(label, score)],
        "thresholds": thresholds,
    }


def ours(label: np.ndarray, score: np.ndarray, predicted: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return our calls for the same results, each a list in the order of the peer's."""

    def precisions() -> list[float]:
        ap_k, micro = multilabel.average_precision(label, score)
        return [float(ap_k.mean()), micro]

    def decisions() -> list[float]:
        found = multilabel.decision_metrics(label, predicted)
        return [found[name] for name in multilabel.DECISION_METRICS if name != "subset_accuracy"]

    return {
        "ap": precisions,
        "decisions": decisions,
        "ranking": lambda: list(multilabel.ranking_metrics(label, score).values()),
        "thresholds": lambda: multilabel.class_thresholds(label, score).value_k.tolist(),
    }


def loop(label: np.ndarray, score_a: np.ndarray, score_b: np.ndarray, resamples: int) -> list[float]:
    """Return the difference of macro average precision in each resample, by scikit-learn on repeated rows."""
    from sklearn.metrics import average_precision_score

    random, found = np.random.default_rng(0), []
    for _ in range(resamples):
        row = random.integers(0, len(label), len(label))
        a, b = (average_precision_score(label[row], score[row], average="macro") for score in (score_a, score_b))
        found.append(a - b)
    return found


def main() -> None:
    arguments = make_parser(__doc__, examples=125_866, classes=19, resamples=1000, timed=2).parse_args()
    warnings.simplefilter("error")

    random = np.random.default_rng(0)
    shape = arguments.examples, arguments.classes
    label = random.random(shape) < np.geomspace(0.01, 0.5, arguments.classes)
    score_a, score_b = (
        (random.normal(size=shape) + strength * label - 1).astype(np.float32) for strength in (2.0, 1.9)
    )
    predicted = score_a >= 0
    mine, theirs = ours(label, score_a, predicted), peers(label, score_a, predicted)
    differences = {name: float(np.abs(np.subtract(mine[name](), theirs[name]())).max()) for name in mine}
    calls = {f"{name} {side}": call for side, some in (("ours", mine), ("peer", theirs)) for name, call in some.items()}

    def bootstrap() -> Any:
        return paired_differences(label, score_a, score_b, metrics=["ap_macro"], resamples=arguments.resamples)

    calls |= {
        "bootstrap ours": bootstrap,
        "bootstrap peer": lambda: loop(label, score_a, score_b, arguments.timed),
    }
    times = measure(calls, rounds=arguments.rounds)
    times["bootstrap peer"] = scaled(times["bootstrap peer"], arguments.resamples / arguments.timed)
    result = {
        "benchmark": "multilabel",
        **chosen(arguments, "examples", "classes", "resamples"),
        "sklearn_loop_timed_on": arguments.timed,
        **{f"{name.replace(' ', '_')}_ms": round(1e3 * value.median_s, 2) for name, value in times.items()},
        **{f"{name}_speedup": spread(times[f"{name} peer"], times[f"{name} ours"]) for name in (*mine, "bootstrap")},
        "largest_difference": differences,
    }
    for name in (*mine, "bootstrap"):
        difference = f", difference {differences[name]:.1e}" if name in differences else ""
        print(f"{name:12} {result[f'{name}_speedup']['median']:8.2f}x{difference}", file=sys.stderr)
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
