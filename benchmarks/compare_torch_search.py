"""Nearest neighbours and threshold search against PyTorch, on the same device.

    python benchmarks/compare_torch_search.py [--rows 110000] [--width 512] [-k 100] [--pairs 100000000]
                                              [--searches neighbors threshold] [--rounds 7] [--out FILE]

For machines without faiss, or with a GPU, which scikit-learn does not use. Data lie on the device before the clock
starts, results on the host when it stops.

Neighbours: every row of a gallery of unit normal features is a query for its k nearest among all of them. PyTorch's
side is the usual one: |g|^2 / 2 - q.g by a matrix product over chunks of the queries, then `topk`; in float32
("highest") and in TF32 ("high"), which is faster and less exact. `recall` is against float64 on some of the queries.

Threshold: the cut of the highest kappa among all distinct float32 distances (13 % changed, two overlapping normals).
PyTorch's side sorts, accumulates counts and takes the best kappa in float64; both must reach the same.
"""

import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from record import chosen, keep, make_parser, measure, publish, spread
from torch_device import share_the_device, wait_for_torch

from mtsccd_jax.ops.distance import nearest_neighbors
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.perf.bench.threshold import made_up_pairs

CHECKED = 64  # queries whose neighbours are checked in float64
SAME_KAPPA = 1e-9  # float64 sums of up to 1e8 counts
CHUNK_ELEMENTS = 1 << 30  # of the distances that PyTorch holds at a time


def main() -> None:
    parser = make_parser(__doc__, rows=110_000, width=512, k=100, pairs=100_000_000)
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, default=tuple(SEARCHES))
    arguments = parser.parse_args()
    if not 1 <= arguments.k <= arguments.rows:
        parser.error(f"-k {arguments.k}: must be 1 to {arguments.rows}, the rows of the gallery")
    device = share_the_device()

    import torch

    result: dict[str, Any] = {"benchmark": "torch_search", "torch": torch.__version__}
    for name in arguments.searches:
        result[name] = SEARCHES[name](arguments, device)
        print(f"{name}: {result[name]}", file=sys.stderr, flush=True)
        keep(result, arguments.out)
    publish(result, arguments.out)


def compare_neighbors(arguments: Any, device: Any) -> dict[str, Any]:
    """Return times and recall of every way to find the nearest neighbours."""
    import torch

    rows, width, k = arguments.rows, arguments.width, arguments.k
    feature_md = np.random.default_rng(0).standard_normal((rows, width), dtype=np.float32)
    feature_md /= np.linalg.norm(feature_md, axis=1, keepdims=True)
    ours, theirs = jnp.asarray(feature_md), torch.from_numpy(feature_md).to(device)

    def search_ours() -> tuple[np.ndarray, np.ndarray]:
        distance_nk, index_nk = nearest_neighbors(ours, ours, k)
        return np.asarray(distance_nk), np.asarray(index_nk)

    def search_torch(precision: str) -> tuple[np.ndarray, np.ndarray]:
        torch.set_float32_matmul_precision(precision)
        return torch_neighbors(theirs, k)

    calls: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
        "ours": search_ours,
        "torch_float32": lambda: search_torch("highest"),
        "torch_tf32": lambda: search_torch("high"),
    }
    if device.type == "cpu":
        del calls["torch_tf32"]
    times = measure(calls, warmup=2, rounds=arguments.rounds)
    checked = np.linspace(0, rows - 1, min(CHECKED, rows)).astype(int)
    found = {name: call()[1][checked] for name, call in calls.items()}
    peers = [name for name in calls if name != "ours"]
    return {
        **chosen(arguments, "rows", "width", "k"),
        "seconds": {name: round(value.median_s, 4) for name, value in times.items()},
        "spread": {name: round(value.spread, 4) for name, value in times.items()},
        "speedup": {name: spread(times[name], times["ours"]) for name in peers},
        "gflop_per_s": {name: round(2e-9 * rows * rows * width / value.median_s, 1) for name, value in times.items()},
        "pairs_per_s": {name: round(rows * rows / value.median_s) for name, value in times.items()},
        "recall": recall(feature_md, checked, found),
    }


def torch_neighbors(feature_md: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `(distance_nk, index_nk)` of every row among all, on the host."""
    import torch

    half_m = feature_md.square().sum(1) / 2
    chunk = max(1, CHUNK_ELEMENTS // len(feature_md))
    distances, indices = [], []
    for start in range(0, len(feature_md), chunk):
        query = feature_md[start : start + chunk]
        score, index = torch.topk(half_m - query @ feature_md.T, k, largest=False)
        squared = 2 * score + query.square().sum(1, keepdim=True)
        distances.append(squared.clamp(min=0).sqrt())
        indices.append(index)
    return torch.cat(distances).cpu().numpy(), torch.cat(indices).cpu().numpy()


def recall(feature_md: np.ndarray, queries: np.ndarray, found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the share of the true nearest neighbours of some queries that every way found, by float64 differences."""
    exact = feature_md.astype(np.float64)
    hits = dict.fromkeys(found, 0)
    k = next(iter(found.values())).shape[1]
    for place, query in enumerate(queries):
        distance = np.linalg.norm(exact - exact[query], axis=1)
        # Rows as near as the last one may take its place.
        farthest = np.partition(distance, k - 1)[k - 1]
        for name, index_qk in found.items():
            hits[name] += int(np.count_nonzero(distance[index_qk[place]] <= farthest))
    return {name: count / (len(queries) * k) for name, count in hits.items()}


def compare_threshold(arguments: Any, device: Any) -> dict[str, Any]:
    """Return times of both searches, whose results must agree."""
    import torch

    distance, changed = made_up_pairs(arguments.pairs)
    ours = jnp.asarray(distance), jnp.asarray(changed)
    theirs = torch.from_numpy(distance).to(device), torch.from_numpy(changed).to(device)
    entries = {"ours": lambda: best_threshold(*ours), "torch": lambda: torch_threshold(*theirs)}
    times = measure(entries, warmup=2, rounds=arguments.rounds)
    found, (threshold, kappa) = best_threshold(*ours), torch_threshold(*theirs)
    if not abs(found.value - kappa) <= SAME_KAPPA:  # two cuts may be as good
        sys.exit(f"the searches disagree: {found.threshold} (kappa {found.value}) and {threshold} (kappa {kappa})")
    return {
        **chosen(arguments, "pairs"),
        "threshold": found.threshold,
        "kappa": found.value,
        "milliseconds": {name: round(1e3 * value.median_s, 3) for name, value in times.items()},
        "spread": {name: round(value.spread, 4) for name, value in times.items()},
        "speedup": spread(times["torch"], times["ours"]),
    }


def torch_threshold(distance_n: Any, changed_n: Any) -> tuple[float, float]:
    """Return `(threshold, kappa)` of the cut of the highest kappa, the largest threshold among equals."""
    import torch

    ordered, order = torch.sort(distance_n, descending=True)
    tp = torch.cumsum(changed_n[order], 0, dtype=torch.float64)
    predicted = torch.arange(1, len(ordered) + 1, dtype=torch.float64, device=ordered.device)
    positives, total = tp[-1], predicted[-1]
    fp = predicted - tp
    negatives = total - positives
    kappa = 2 * (tp * negatives - fp * positives) / (predicted * negatives + positives * (total - predicted))
    kappa[:-1].masked_fill_(ordered[:-1] == ordered[1:], -torch.inf)  # equal distances have equal predictions
    best = torch.argmax(kappa)
    value = float(kappa[best])
    wait_for_torch()
    return float(ordered[best]), value


SEARCHES: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "neighbors": compare_neighbors,
    "threshold": compare_threshold,
}


if __name__ == "__main__":
    main()
