"""Exact nearest neighbours, 4,096 x 20,000 x 2,048 and k = 10, against faiss-cpu's flat index.

    python benchmarks/compare_neighbors.py [--queries 4096] [--gallery 20000] [--width 2048] [-k 10] [--out FILE]

Both hold the gallery already (faiss in its index, this package as a device array) and answer the same normal queries.
faiss returns squared distances from the Gram formula in float32; `nearest_neighbors` returns exact ones. Times are
medians over interleaved rounds; `processor_s` is the processor time of one more call, which varies less on a busy
machine.
"""

import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
from record import chosen, make_parser, measure, peer, processor_s, publish, spread

from mtsccd_jax.ops.distance import nearest_neighbors

Neighbors = tuple[np.ndarray, np.ndarray]


def beside_faiss(
    query: np.ndarray, gallery: np.ndarray, k: int, metric: str, rounds: int
) -> tuple[dict[str, Any], Neighbors, Neighbors]:
    """Return times and agreement of both searches, and the (distances, indices) of ours and of faiss.

    For "cosine", which faiss lacks, it searches with inner products of features of length 1; scaling is not timed.
    """
    faiss = peer("faiss", "faiss-cpu")
    asked = query.copy()
    if metric == "cosine":
        faiss.normalize_L2(asked)
        index = faiss.IndexFlatIP(gallery.shape[1])
        index.add(gallery / np.linalg.norm(gallery, axis=1, keepdims=True))
    else:
        index = faiss.IndexFlatL2(gallery.shape[1])
        index.add(gallery)
    query_nd, gallery_md = jnp.asarray(query), jnp.asarray(gallery)
    entries = {
        "mtsccd_jax nearest_neighbors": lambda: nearest_neighbors(query_nd, gallery_md, k, metric),
        f"faiss {type(index).__name__}": lambda: index.search(asked, k),
    }
    ours, theirs = measure(entries, rounds=rounds).values()
    (found, our_s), (said, peer_s) = (processor_s(call) for call in entries.values())
    result = {
        "nearest_neighbors_s": round(ours.median_s, 3),
        "faiss_s": round(theirs.median_s, 3),
        "queries_per_s": round(len(query) / ours.median_s, 1),
        "speedup": spread(theirs, ours),
        "processor_s": {"mtsccd_jax": round(our_s, 3), "faiss": round(peer_s, 3)},
        "same_index": float((np.asarray(found[1]) == said[1]).mean()),
    }
    print(f"processor seconds of a call: {our_s:.3f} and {peer_s:.3f}", file=sys.stderr)
    print(f"speed over faiss: {result['speedup']['median']:.2f}x", file=sys.stderr)
    return result, (np.asarray(found[0]), np.asarray(found[1])), said


def main() -> None:
    arguments = make_parser(__doc__, queries=4096, gallery=20_000, width=2048, k=10).parse_args()
    random = np.random.default_rng(0)
    query, gallery = (
        random.standard_normal((rows, arguments.width), dtype=np.float32)
        for rows in (arguments.queries, arguments.gallery)
    )
    result, _, _ = beside_faiss(query, gallery, arguments.k, "euclidean", arguments.rounds)
    sizes = chosen(arguments, "queries", "gallery", "width", "k")
    publish({"benchmark": "neighbors", **sizes, **result}, arguments.out)


if __name__ == "__main__":
    main()
