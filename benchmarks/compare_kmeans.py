"""k-means on 200,000 x 512 points with k = 128, against scikit-learn's KMeans.

    python benchmarks/compare_kmeans.py [--points 200000] [--width 512] [-k 128] [--iterations 20] [--out FILE]

Both get the same float32 points in memory (rectified projections of overlapping clusters), seed by greedy k-means++
with the same number of draws, and run the same number of Lloyd's iterations: the tolerance is 0, and "iterations" of
the result says whether both reach the limit. The seeds differ, so inertias agree up to the local minimum;
`inertia_ratio` is ours over theirs. Times are medians over interleaved rounds; scikit-learn always runs on the CPU.
"""

import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from record import chosen, make_parser, measure, publish, spread

from mtsccd_jax.ops.kmeans import fit_kmeans


def main() -> None:
    arguments = make_parser(__doc__, rounds=3, points=200_000, width=512, k=128, iterations=20).parse_args()
    from sklearn.cluster import KMeans

    random = np.random.default_rng(0)
    centers = random.standard_normal((200, 32), dtype=np.float32)
    hidden = centers[random.integers(0, 200, arguments.points)]
    hidden += 0.7 * random.standard_normal(hidden.shape, dtype=np.float32)
    point = np.maximum(hidden @ random.standard_normal((32, arguments.width), dtype=np.float32) / 6, 0)
    point += 0.1 * random.standard_normal(point.shape, dtype=np.float32)
    on_device = jnp.asarray(point)

    def peer() -> KMeans:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it shall reach the limit of iterations
            machine = KMeans(arguments.k, n_init=1, max_iter=arguments.iterations, tol=0, random_state=0)
            return machine.fit(point)

    entries = {
        "mtsccd_jax fit_kmeans": lambda: fit_kmeans(
            on_device, arguments.k, max_iterations=arguments.iterations, tolerance=0
        ),
        "scikit-learn KMeans": peer,
    }
    found, theirs = (call() for call in entries.values())  # the warm-up, too
    ours_s, peer_s = measure(entries, warmup=0, rounds=arguments.rounds).values()
    result = {
        "benchmark": "kmeans",
        **chosen(arguments, "points", "width", "k"),
        "platform": jax.default_backend(),
        "fit_kmeans_s": round(ours_s.median_s, 3),
        "sklearn_s": round(peer_s.median_s, 3),
        "speedup": spread(peer_s, ours_s),
        "iterations": [found.iterations, int(theirs.n_iter_)],
        "inertia_ratio": found.inertia / float(theirs.inertia_),
    }
    print(
        f"speed over scikit-learn: {result['speedup']['median']:.2f}x at {result['inertia_ratio']:.4f} of its inertia",
        file=sys.stderr,
    )
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
