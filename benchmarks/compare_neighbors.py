"""Exact nearest neighbours, 4,096 x 20,000 x 2,048 and k = 10, against faiss-cpu's flat index.

    python benchmarks/compare_neighbors.py [--queries 4096] [--gallery 20000] [--width 2048] [-k 10] [--out FILE]

Both hold the gallery already (faiss in its index, this package as a device array) and answer the same normal queries.
faiss returns squared distances from the Gram formula in float32; `nearest_neighbors` returns exact ones. Times are
medians over interleaved rounds; `processor_s` is the processor time of one more call, which a busy machine disturbs
less.
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


def processor_s(call: Callable[[], Any]) -> float:
    """Processor seconds, over all threads, of one call."""
    start = time.process_time()
    jax.block_until_ready(call())
    return time.process_time() - start


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--gallery", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    try:
        import faiss
    except ImportError:
        sys.exit("the peer is missing: pip install faiss-cpu")

    random = np.random.default_rng(0)
    query, gallery = (
        random.standard_normal((rows, arguments.width), dtype=np.float32)
        for rows in (arguments.queries, arguments.gallery)
    )
    index = faiss.IndexFlatL2(arguments.width)
    index.add(gallery)
    query_nd, gallery_md = jnp.asarray(query), jnp.asarray(gallery)
    calls = {
        "mtsccd_jax nearest_neighbors": lambda: nearest_neighbors(query_nd, gallery_md, arguments.k),
        "faiss IndexFlatL2": lambda: index.search(query, arguments.k),
    }
    times = timing.measure(calls, warmup=1, rounds=arguments.rounds)
    busy = {name: processor_s(call) for name, call in calls.items()}
    ours, peer = times.values()
    found = np.asarray(calls["mtsccd_jax nearest_neighbors"]()[1])
    result = {
        "benchmark": "neighbors",
        "queries": arguments.queries,
        "gallery": arguments.gallery,
        "width": arguments.width,
        "k": arguments.k,
        "nearest_neighbors_s": round(ours.median_s, 3),
        "faiss_s": round(peer.median_s, 3),
        "speedup": spread(peer, ours),
        "processor_s": {name.split()[0]: round(seconds, 3) for name, seconds in busy.items()},
        "same_index": float((found == index.search(query, arguments.k)[1]).mean()),
    }
    print(f"{'':30} {'median s':>9} {'p10':>7} {'p90':>7} {'cpu s':>7}", file=sys.stderr)
    for name, value in times.items():
        print(
            f"{name:30} {value.median_s:9.3f} {value.p10_s:7.3f} {value.p90_s:7.3f} {busy[name]:7.3f}", file=sys.stderr
        )
    print(f"speed over faiss: {result['speedup']['median']:.2f}x", file=sys.stderr)
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
