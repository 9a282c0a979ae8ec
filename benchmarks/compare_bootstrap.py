"""The threshold of highest kappa in each of 1,000 resamples of 5,000 pairs, against a loop over `roc_curve`.

    python benchmarks/compare_bootstrap.py [--pairs 5000] [--resamples 1000] [--timed 50] [--out FILE]

Both get the same float32 distances (13 % changed, two overlapping normals) from host memory. The loop re-draws the
pairs, takes `roc_curve` with every candidate kept, and picks the threshold of highest kappa from its counts, all in
NumPy. It is timed on `--timed` resamples, and its time is multiplied up to all of them (it is a loop: the time is
proportional); ours is timed on all. Times are medians over interleaved rounds.
"""

import sys

import jax
import numpy as np
from record import make_parser, publish, spread

from mtsccd_jax.ops.bootstrap import bootstrap_thresholds
from mtsccd_jax.perf import timing
from mtsccd_jax.perf.timing import Timing


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--timed", type=int, default=50, help="resamples that the loop is timed on (default: 50)")
    arguments = parser.parse_args()
    from sklearn.metrics import roc_curve

    random = np.random.default_rng(0)
    changed = random.random(arguments.pairs) < 0.13
    distance = np.abs(random.normal(size=arguments.pairs) + 1.5 * changed).astype(np.float32)

    def loop(resamples: int) -> list[float]:
        draws, chosen = np.random.default_rng(0), []
        for _ in range(resamples):
            row = draws.integers(0, arguments.pairs, arguments.pairs)
            false, true, threshold = roc_curve(changed[row], distance[row], drop_intermediate=False)
            positives = changed[row].sum()
            negatives = arguments.pairs - positives
            tp, fp = true * positives, false * negatives
            called = tp + fp
            chance = called * negatives + positives * (arguments.pairs - called)
            chosen.append(threshold[np.argmax(2 * (tp * negatives - fp * positives) / chance)])
        return chosen

    times = timing.measure(
        {
            "ours": lambda: bootstrap_thresholds(distance, changed, arguments.resamples),
            "loop": lambda: loop(arguments.timed),
        },
        warmup=1,
        rounds=arguments.rounds,
    )
    ours = times["ours"]
    peer = Timing(tuple(seconds * arguments.resamples / arguments.timed for seconds in times["loop"].samples_s))
    medians = [
        float(np.median(bootstrap_thresholds(distance, changed, arguments.resamples).threshold_r)),
        float(np.median(loop(arguments.resamples))),
    ]
    result = {
        "benchmark": "bootstrap",
        "pairs": arguments.pairs,
        "resamples": arguments.resamples,
        "platform": jax.default_backend(),
        "bootstrap_thresholds_s": round(ours.median_s, 4),
        "sklearn_loop_s": round(peer.median_s, 3),
        "sklearn_loop_timed_on": arguments.timed,
        "speedup": spread(peer, ours),
        "median_threshold": medians,
    }
    print(
        f"ours {ours.median_s:.3f} s, loop {peer.median_s:.2f} s (from {arguments.timed} resamples), "
        f"{result['speedup']['median']:.1f}x; median thresholds {medians[0]:.4f} and {medians[1]:.4f}",
        file=sys.stderr,
    )
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
