"""Exact threshold search on 1e6 distances, against scikit-learn's ROC curve.

    python benchmarks/compare_threshold.py [--pairs 1000000] [--rounds 9] [--out FILE]

Both get the same float32 distances (13 % changed, two overlapping normals) and the same labels from host memory.
`best_threshold` returns the threshold of the highest kappa with its confusion counts, and so does `ThresholdHistogram`,
with as many passes as it takes; `roc_curve` returns the points of the curve, from which the best threshold would still
have to be picked. Times are medians over interleaved rounds.
"""

import sys

import numpy as np
from record import make_parser, publish, spread

from mtsccd_jax.ops.threshold import ThresholdResult, best_threshold, threshold_curve
from mtsccd_jax.ops.threshold_histogram import ThresholdHistogram
from mtsccd_jax.perf import timing


def histogram_search(distance_n: np.ndarray, changed_n: np.ndarray) -> ThresholdResult:
    histogram = ThresholdHistogram()
    histogram.add(distance_n, changed_n)
    while not histogram.is_settled():
        histogram = histogram.refined()
        histogram.add(distance_n, changed_n)
    return histogram.result()


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    try:
        from sklearn.metrics import roc_curve
    except ImportError:
        sys.exit("the peer is missing: pip install scikit-learn")

    random = np.random.default_rng(0)
    changed = random.random(arguments.pairs) < 0.13
    distance = np.abs(random.normal(size=arguments.pairs) + 1.5 * changed).astype(np.float32)
    times = timing.measure(
        {
            "mtsccd_jax best_threshold": lambda: best_threshold(distance, changed),
            "mtsccd_jax ThresholdHistogram": lambda: histogram_search(distance, changed),
            "mtsccd_jax threshold_curve": lambda: threshold_curve(distance, changed),
            "scikit-learn roc_curve": lambda: roc_curve(changed, distance),
        },
        warmup=2,
        rounds=arguments.rounds,
    )
    ours, histogram, _, peer = times.values()
    result = {
        "benchmark": "threshold",
        "pairs": arguments.pairs,
        "kappa": best_threshold(distance, changed).value,
        **{f"{name.split()[-1]}_ms": round(1e3 * value.median_s, 2) for name, value in times.items()},
        "speedup": spread(peer, ours),
        "histogram_speedup": spread(peer, histogram),
    }
    print(f"{'':30} {'median ms':>10} {'p10':>8} {'p90':>8}", file=sys.stderr)
    for name, value in times.items():
        ends = " ".join(f"{1e3 * seconds:8.1f}" for seconds in (value.p10_s, value.p90_s))
        print(f"{name:30} {1e3 * value.median_s:10.1f} {ends}", file=sys.stderr)
    print(f"speed-up over roc_curve: {result['speedup']['median']:.2f}x", file=sys.stderr)
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
