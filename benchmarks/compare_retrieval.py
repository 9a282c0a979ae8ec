"""Retrieval at full size: the 10 nearest of 100,000 features of width 2,048 for 10,000 queries, against faiss-cpu.

    python benchmarks/compare_retrieval.py [--metric cosine] [--queries 10000] [--gallery 100000] [--out FILE]

The features are drawn around 1,000 centres and not negative, as those behind a rectifier are. Both hold the gallery
already (faiss in its flat index, this package as a device array). For `euclidean` faiss searches with IndexFlatL2; for
`cosine`, which it does not have, with IndexFlatIP over features that were scaled to length 1 beforehand, untimed. Times
are medians over interleaved rounds; `processor_s` is the processor time of one more call. `distance_error` is the
largest relative error of the distances of 50 queries against float64 (of faiss for `cosine`: of 1 minus its product).
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from record import make_parser, publish, spread

from mtsccd_jax.ops.distance import nearest_neighbors
from mtsccd_jax.perf import timing

CENTRES = 1000
CHECKED = 50


def features(rows: int, width: int, random: np.random.Generator, centre_cd: np.ndarray) -> np.ndarray:
    """Features (rows, width) float32: a centre each, and half as much noise."""
    feature_nd = random.standard_normal((rows, width), dtype=np.float32)
    feature_nd *= 0.5
    feature_nd += centre_cd[random.integers(0, len(centre_cd), rows)]
    return np.maximum(feature_nd, 0, out=feature_nd)


def exact_distance(query: np.ndarray, found: np.ndarray, metric: str) -> np.ndarray:
    """Distances of queries (n, d) to the rows found for each (n, k, d), float64."""
    query, found = query.astype(np.float64)[:, None], found.astype(np.float64)
    if metric == "euclidean":
        return np.linalg.norm(query - found, axis=-1)
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (query, found)]
    return 0.5 * np.square(unit[0] - unit[1]).sum(-1)


def once(call: Callable[[], Any]) -> tuple[list[np.ndarray], float]:
    """What a call returns, and the processor seconds over all threads that it took."""
    start = time.process_time()
    result = jax.block_until_ready(call())
    return [np.asarray(part) for part in result], time.process_time() - start


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--gallery", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--metric", choices=["euclidean", "cosine"], default="cosine")
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    try:
        import faiss
    except ImportError:
        sys.exit("the peer is missing: pip install faiss-cpu")

    random, metric, k = np.random.default_rng(0), arguments.metric, arguments.k
    centre_cd = random.standard_normal((CENTRES, arguments.width), dtype=np.float32)
    query, gallery = (
        features(rows, arguments.width, random, centre_cd) for rows in (arguments.queries, arguments.gallery)
    )
    query_nd, gallery_md = jnp.asarray(query), jnp.asarray(gallery)
    asked = query.copy()
    if metric == "cosine":
        faiss.normalize_L2(asked)
        index = faiss.IndexFlatIP(arguments.width)
        index.add(gallery / np.linalg.norm(gallery, axis=1, keepdims=True))
    else:
        index = faiss.IndexFlatL2(arguments.width)
        index.add(gallery)
    calls: dict[str, Any] = {
        "mtsccd_jax nearest_neighbors": lambda: nearest_neighbors(query_nd, gallery_md, k, metric),
        f"faiss {type(index).__name__}": lambda: index.search(asked, k),
    }
    times = timing.measure(calls, warmup=1, rounds=arguments.rounds)
    ours, peer = times.values()
    ((distance, found), our_s), ((said, theirs), peer_s) = (once(call) for call in calls.values())
    as_distance = 1 - said if metric == "cosine" else np.sqrt(np.maximum(said, 0))

    def error(distance_nk: np.ndarray, index_nk: np.ndarray) -> float:
        exact = exact_distance(query[:CHECKED], gallery[index_nk[:CHECKED]], metric)
        return float((np.abs(distance_nk[:CHECKED] - exact) / exact).max())

    result = {
        "benchmark": "retrieval",
        "metric": metric,
        "queries": arguments.queries,
        "gallery": arguments.gallery,
        "width": arguments.width,
        "k": k,
        "nearest_neighbors_s": round(ours.median_s, 3),
        "faiss_s": round(peer.median_s, 3),
        "queries_per_s": round(arguments.queries / ours.median_s, 1),
        "speedup": spread(peer, ours),
        "processor_s": {"mtsccd_jax": round(our_s, 3), "faiss": round(peer_s, 3)},
        "same_index": float((found == theirs).mean()),
        "distance_error": {"mtsccd_jax": error(distance, found), "faiss": error(as_distance, theirs)},
    }
    for (name, value), busy_s in zip(times.items(), (our_s, peer_s), strict=True):
        print(
            f"{name:30} median {value.median_s:8.3f} s, p10 {value.p10_s:8.3f}, p90 {value.p90_s:8.3f}, "
            f"processor {busy_s:8.3f} s",
            file=sys.stderr,
        )
    print(f"speed over faiss: {result['speedup']['median']:.2f}x", file=sys.stderr)
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
