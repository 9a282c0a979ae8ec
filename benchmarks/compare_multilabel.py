"""Multi-label metrics, thresholds and a paired bootstrap at the size of BigEarthNet's test split, beside scikit-learn.

    python benchmarks/compare_multilabel.py [--examples 125866] [--classes 19] [--resamples 1000] [--timed 2]

Both get the same labels (each class with a prevalence of its own, 1 to 50 %) and float32 scores from host memory, and
compute the same figures; `largest_difference` is the largest between any two of them.

- `ap`: average precision of every class and pooled (`average_precision_score`).
- `decisions`: precision, recall, F1 and F2 over samples, micro and macro, and Hamming loss, from labels and decisions.
- `ranking`: coverage error and ranking loss.
- `thresholds`: the threshold of highest F1 for every class; the peer takes `precision_recall_curve` and picks from it.
- `bootstrap`: the difference of macro average precision between two models in each of `--resamples` resamples. The
  peer is a loop that re-draws examples and calls `average_precision_score`; it is timed on `--timed` resamples, and its
  time multiplied up (it is a loop: the time is proportional).

Times are medians over interleaved rounds.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from record import make_parser, publish, spread

from mtsccd_jax.ops import multilabel
from mtsccd_jax.ops.multilabel_bootstrap import paired_differences
from mtsccd_jax.perf import timing
from mtsccd_jax.perf.timing import Timing


def peers(label: np.ndarray, score: np.ndarray, called: np.ndarray) -> dict[str, Callable[[], Any]]:
    """scikit-learn's way to each of our results, by name."""
    from sklearn import metrics as sk

    def decisions() -> list[float]:
        values: list[float] = []
        for average in multilabel.AVERAGES:
            for beta in (1, 2):
                figures = sk.precision_recall_fscore_support(label, called, beta=beta, average=average, zero_division=0)
                values += figures[:3] if beta == 1 else figures[2:3]
        return [*values, sk.hamming_loss(label, called)]

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


def ours(label: np.ndarray, score: np.ndarray, called: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Our way to the same results, each a list in the order of the peer's."""

    def precisions() -> list[float]:
        ap_k, micro = multilabel.average_precision(label, score)
        return [float(ap_k.mean()), micro]

    def decisions() -> list[float]:
        found = multilabel.decision_metrics(label, called)
        return [found[name] for name in multilabel.DECISION_METRICS if name != "subset_accuracy"]

    return {
        "ap": precisions,
        "decisions": decisions,
        "ranking": lambda: list(multilabel.ranking_metrics(label, score).values()),
        "thresholds": lambda: multilabel.class_thresholds(label, score).value_k.tolist(),
    }


def loop(label: np.ndarray, score_a: np.ndarray, score_b: np.ndarray, resamples: int) -> list[float]:
    """The difference of macro average precision in each resample, by scikit-learn on repeated rows."""
    from sklearn.metrics import average_precision_score

    random, found = np.random.default_rng(0), []
    for _ in range(resamples):
        row = random.integers(0, len(label), len(label))
        figures = [average_precision_score(label[row], score[row], average="macro") for score in (score_a, score_b)]
        found.append(figures[0] - figures[1])
    return found


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--examples", type=int, default=125_866)
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--timed", type=int, default=2, help="resamples that the loop is timed on (default: 2)")
    arguments = parser.parse_args()
    warnings.simplefilter("error")

    random = np.random.default_rng(0)
    shape = arguments.examples, arguments.classes
    label = random.random(shape) < np.geomspace(0.01, 0.5, arguments.classes)
    score_a, score_b = (
        (random.normal(size=shape) + strength * label - 1).astype(np.float32) for strength in (2.0, 1.9)
    )
    called = score_a >= 0
    mine, theirs = ours(label, score_a, called), peers(label, score_a, called)
    differences = {name: float(np.abs(np.subtract(mine[name](), theirs[name]())).max()) for name in mine}
    calls = {f"{name} {side}": call for side, some in (("ours", mine), ("peer", theirs)) for name, call in some.items()}

    def bootstrap() -> Any:
        return paired_differences(label, score_a, score_b, metrics=["ap_macro"], resamples=arguments.resamples)

    calls |= {
        "bootstrap ours": bootstrap,
        "bootstrap peer": lambda: loop(label, score_a, score_b, arguments.timed),
    }
    times = timing.measure(calls, warmup=1, rounds=arguments.rounds)
    scaled = times["bootstrap peer"].samples_s
    times["bootstrap peer"] = Timing(tuple(seconds * arguments.resamples / arguments.timed for seconds in scaled))
    result = {
        "benchmark": "multilabel",
        "examples": arguments.examples,
        "classes": arguments.classes,
        "resamples": arguments.resamples,
        "sklearn_loop_timed_on": arguments.timed,
        **{f"{name.replace(' ', '_')}_ms": round(1e3 * value.median_s, 2) for name, value in times.items()},
        **{f"{name}_speedup": spread(times[f"{name} peer"], times[f"{name} ours"]) for name in (*mine, "bootstrap")},
        "largest_difference": differences,
    }
    print(f"{'':12} {'ours ms':>10} {'peer ms':>12} {'speed-up (p10-p90)':>24} {'difference':>12}", file=sys.stderr)
    for name in (*mine, "bootstrap"):
        speedup = result[f"{name}_speedup"]
        ends = f"{speedup['median']:8.2f}x ({speedup['p10']:.2f}-{speedup['p90']:.2f})"
        print(
            f"{name:12} {result[f'{name}_ours_ms']:10.1f} {result[f'{name}_peer_ms']:12.1f} {ends:>24} "
            f"{differences.get(name, float('nan')):12.1e}",
            file=sys.stderr,
        )
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
