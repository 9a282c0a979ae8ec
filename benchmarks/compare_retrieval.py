"""Retrieval at full size: the 10 nearest of 100,000 features of width 2,048 for 10,000 queries, against faiss-cpu.

    python benchmarks/compare_retrieval.py [--metric cosine] [--queries 10000] [--gallery 100000] [--out FILE]

The features are drawn around 1,000 centres and not negative, as those behind a rectifier are. Both hold the gallery
already (faiss in its flat index, this package as a device array). For `euclidean` faiss searches with IndexFlatL2; for
`cosine`, which it does not have, with IndexFlatIP over features that were scaled to length 1 beforehand, untimed. Times
are medians over interleaved rounds; `processor_s` is the processor time of one more call. `distance_error` is the
largest relative error of the distances of 50 queries against float64 (of faiss for `cosine`: of 1 minus its product).
"""

import numpy as np
from compare_neighbors import Neighbors, beside_faiss
from record import chosen, make_parser, publish

CENTRES = 1000
CHECKED = 50


def features(rows: int, width: int, random: np.random.Generator, centre_cd: np.ndarray) -> np.ndarray:
    """Return features (rows, width) float32: a centre each, and half as much noise."""
    feature_nd = random.standard_normal((rows, width), dtype=np.float32)
    feature_nd *= 0.5
    feature_nd += centre_cd[random.integers(0, len(centre_cd), rows)]
    return np.maximum(feature_nd, 0, out=feature_nd)


def exact_distance(query: np.ndarray, found: np.ndarray, metric: str) -> np.ndarray:
    """Return the float64 distances of queries (n, d) to the rows found for each (n, k, d)."""
    query, found = query.astype(np.float64)[:, None], found.astype(np.float64)
    if metric == "euclidean":
        return np.linalg.norm(query - found, axis=-1)
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (query, found)]
    return 0.5 * np.square(unit[0] - unit[1]).sum(-1)


def main() -> None:
    parser = make_parser(__doc__, queries=10_000, gallery=100_000, width=2048, k=10)
    parser.add_argument("--metric", choices=["euclidean", "cosine"], default="cosine")
    arguments = parser.parse_args()
    random, metric = np.random.default_rng(0), arguments.metric
    centre_cd = random.standard_normal((CENTRES, arguments.width), dtype=np.float32)
    query, gallery = (
        features(rows, arguments.width, random, centre_cd) for rows in (arguments.queries, arguments.gallery)
    )
    result, found, (said, theirs) = beside_faiss(query, gallery, arguments.k, metric, arguments.rounds)
    as_distance = 1 - said if metric == "cosine" else np.sqrt(np.maximum(said, 0))

    def error(neighbors: Neighbors) -> float:
        distance_nk, index_nk = (part[:CHECKED] for part in neighbors)
        exact = exact_distance(query[:CHECKED], gallery[index_nk], metric)
        return float((np.abs(distance_nk - exact) / exact).max())

    result["distance_error"] = {"mtsccd_jax": error(found), "faiss": error((as_distance, theirs))}
    sizes = chosen(arguments, "metric", "queries", "gallery", "width", "k")
    publish({"benchmark": "retrieval", **sizes, **result}, arguments.out)


if __name__ == "__main__":
    main()
