"""Exact threshold search on 1e6 distances, against scikit-learn's ROC curve.

    python benchmarks/compare_threshold.py [--pairs 1000000] [--rounds 7] [--out FILE]

Both get the same float32 distances (13 % changed, two overlapping normals) and the same labels from host memory.
`best_threshold` returns the threshold of the highest kappa with its confusion counts, and so does `ThresholdHistogram`,
with as many passes as it needs; `roc_curve` returns the points of the curve, from which the best threshold would still
have to be picked. Times are medians over interleaved rounds.
"""

import sys

import numpy as np
from record import chosen, make_parser, measure, peer, publish, spread

from mtsccd_jax.ops.threshold import ThresholdResult, best_threshold, threshold_curve
from mtsccd_jax.ops.threshold_histogram import ThresholdHistogram
from mtsccd_jax.perf.bench.threshold import made_up_pairs


def histogram_search(distance_n: np.ndarray, changed_n: np.ndarray) -> ThresholdResult:
    histogram = ThresholdHistogram()
    histogram.add(distance_n, changed_n)
    while not histogram.is_settled():
        histogram = histogram.refined()
        histogram.add(distance_n, changed_n)
    return histogram.result()


def main() -> None:
    arguments = make_parser(__doc__, pairs=1_000_000).parse_args()
    roc_curve = peer("sklearn.metrics", "scikit-learn").roc_curve
    distance, changed = made_up_pairs(arguments.pairs)
    entries = {
        "mtsccd_jax best_threshold": lambda: best_threshold(distance, changed),
        "mtsccd_jax ThresholdHistogram": lambda: histogram_search(distance, changed),
        "mtsccd_jax threshold_curve": lambda: threshold_curve(distance, changed),
        "scikit-learn roc_curve": lambda: roc_curve(changed, distance),
    }
    times = measure(entries, warmup=2, rounds=arguments.rounds)
    ours, histogram, _, theirs = times.values()
    result = {
        "benchmark": "threshold",
        **chosen(arguments, "pairs"),
        "kappa": best_threshold(distance, changed).value,
        **{f"{name.split()[-1]}_ms": round(1e3 * value.median_s, 2) for name, value in times.items()},
        "speedup": spread(theirs, ours),
        "histogram_speedup": spread(theirs, histogram),
    }
    print(f"speed-up over roc_curve: {result['speedup']['median']:.2f}x", file=sys.stderr)
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
