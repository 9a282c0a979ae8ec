"""The threshold of highest kappa in each of 1,000 bootstrap resamples of 5,000 pairs, against a loop over `roc_curve`.

    python benchmarks/compare_bootstrap.py [--pairs 5000] [--resamples 1000] [--timed 50] [--out FILE]

Both get the same float32 distances (13 % changed, two overlapping normals) from host memory. The loop resamples the
pairs, takes `roc_curve` with every candidate kept, and picks the threshold of highest kappa from its counts, all in
NumPy. It is timed on `--timed` resamples and its time is multiplied up, as the time of a loop is proportional to its
turns; ours is timed on all. Times are medians over interleaved rounds.
"""

import sys

import jax
import numpy as np
from record import chosen, make_parser, measure, publish, scaled, spread

from mtsccd_jax.ops.bootstrap import bootstrap_thresholds
from mtsccd_jax.perf.bench.threshold import made_up_pairs


def main() -> None:
    arguments = make_parser(__doc__, pairs=5000, resamples=1000, timed=50).parse_args()
    from sklearn.metrics import roc_curve

    pairs, resamples = arguments.pairs, arguments.resamples
    distance, changed = made_up_pairs(pairs)

    def loop(turns: int) -> list[float]:
        random, thresholds = np.random.default_rng(0), []
        for _ in range(turns):
            row = random.integers(0, pairs, pairs)
            false, true, threshold = roc_curve(changed[row], distance[row], drop_intermediate=False)
            positives = changed[row].sum()
            negatives = pairs - positives
            tp, fp = true * positives, false * negatives
            predicted = tp + fp
            chance = predicted * negatives + positives * (pairs - predicted)
            thresholds.append(threshold[np.argmax(2 * (tp * negatives - fp * positives) / chance)])
        return thresholds

    entries = {
        "ours": lambda: bootstrap_thresholds(distance, changed, resamples),
        f"loop of {arguments.timed}": lambda: loop(arguments.timed),
    }
    ours, timed = measure(entries, rounds=arguments.rounds).values()
    peer = scaled(timed, resamples / arguments.timed)
    medians = [
        float(np.median(bootstrap_thresholds(distance, changed, resamples).threshold_r)),
        float(np.median(loop(resamples))),
    ]
    result = {
        "benchmark": "bootstrap",
        **chosen(arguments, "pairs", "resamples"),
        "platform": jax.default_backend(),
        "bootstrap_thresholds_s": round(ours.median_s, 4),
        "sklearn_loop_s": round(peer.median_s, 3),
        "sklearn_loop_timed_on": arguments.timed,
        "speedup": spread(peer, ours),
        "median_threshold": medians,
    }
    print(
        f"{result['speedup']['median']:.1f}x; median thresholds {medians[0]:.4f} and {medians[1]:.4f}", file=sys.stderr
    )
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
