"""k-means on 200,000 x 512 points with k = 128, against scikit-learn's KMeans.

    python benchmarks/compare_kmeans.py [--points 200000] [--width 512] [-k 128] [--iterations 20] [--out FILE]

Both get the same float32 points in memory (rectified projections of overlapping clusters), seed by greedy k-means++
with the same number of draws, and run the same number of Lloyd's iterations: the tolerance is 0 and the limit is
reached by both, or the result says otherwise. The seeds differ, so inertias agree up to the local minimum;
`inertia_ratio` is ours over theirs. Times are medians over interleaved rounds; scikit-learn always runs on the CPU.
"""

import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from record import make_parser, publish, spread

from mtsccd_jax.ops.kmeans import fit_kmeans
from mtsccd_jax.perf import timing


def main() -> None:
    parser = make_parser(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("-k", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=20)
    arguments = parser.parse_args()
    from sklearn.cluster import KMeans

    random = np.random.default_rng(0)
    centers = random.standard_normal((200, 32), dtype=np.float32)
    hidden = centers[random.integers(0, 200, arguments.points)]
    hidden += 0.7 * random.standard_normal(hidden.shape, dtype=np.float32)
    point = np.maximum(hidden @ random.standard_normal((32, arguments.width), dtype=np.float32) / 6, 0)
    point += 0.1 * random.standard_normal(point.shape, dtype=np.float32)

    def peer() -> KMeans:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit of iterations is what is asked for
            machine = KMeans(arguments.k, n_init=1, max_iter=arguments.iterations, tol=0, random_state=0)
            return machine.fit(point)

    on_device = jnp.asarray(point)
    calls = {
        "mtsccd_jax fit_kmeans": lambda: fit_kmeans(
            on_device, arguments.k, max_iterations=arguments.iterations, tolerance=0
        ),
        "scikit-learn KMeans": peer,
    }
    found, theirs = calls["mtsccd_jax fit_kmeans"](), peer()  # the warm-up, too
    times = timing.measure(calls, warmup=0, rounds=arguments.rounds)
    ours_s, peer_s = times.values()
    result = {
        "benchmark": "kmeans",
        "points": arguments.points,
        "width": arguments.width,
        "k": arguments.k,
        "platform": jax.default_backend(),
        "fit_kmeans_s": round(ours_s.median_s, 3),
        "sklearn_s": round(peer_s.median_s, 3),
        "speedup": spread(peer_s, ours_s),
        "iterations": [found.iterations, int(theirs.n_iter_)],
        "inertia_ratio": found.inertia / float(theirs.inertia_),
    }
    print(f"{'':24} {'median s':>9} {'p10':>8} {'p90':>8}", file=sys.stderr)
    for name, value in times.items():
        print(f"{name:24} {value.median_s:9.2f} {value.p10_s:8.2f} {value.p90_s:8.2f}", file=sys.stderr)
    print(
        f"speed over scikit-learn: {result['speedup']['median']:.2f}x at {result['inertia_ratio']:.4f} of its inertia",
        file=sys.stderr,
    )
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
