"""As a script, be one of several processes that compute on arrays spread over the devices of all."""

import json
import sys
from pathlib import Path


def main(coordinator: str, number: str, own: str) -> None:
    """Compute distances, neighbours and thresholds on spread arrays and on those of the host; print how they differ."""
    import jax
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather
    from jax.sharding import Mesh, NamedSharding
    from jax.sharding import PartitionSpec as P

    from mtsccd_jax import processes
    from mtsccd_jax.ops.distance import nearest_neighbors, paired_distance, pairwise_distance
    from mtsccd_jax.ops.threshold import best_threshold
    from mtsccd_jax.ops.threshold_histogram import ThresholdHistogram

    processes.start(coordinator, int(number), int(own))
    generator = np.random.default_rng(0)
    query, gallery = (generator.normal(size=(n, 16)).astype(np.float32) for n in (48, 100))
    distance, changed = generator.normal(size=400).astype(np.float32), generator.random(400) < 0.3
    distance[changed] += 1
    sharding = NamedSharding(Mesh(np.array(jax.devices()), ("row",)), P("row"))

    def spread(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    def whole(array: jax.Array) -> list:
        return np.asarray(process_allgather(array, tiled=True)).tolist()

    histogram = ThresholdHistogram()
    while True:
        histogram.add(spread(distance), spread(changed))
        if histogram.is_settled():
            break
        histogram = histogram.refined()
    found = {
        "paired": whole(paired_distance(spread(query), spread(gallery[:48]))),
        "pairwise": whole(pairwise_distance(spread(query), spread(gallery))),
        "neighbors": whole(nearest_neighbors(spread(query), spread(gallery), 5, "cosine")[1]),
        "against the host's": whole(nearest_neighbors(spread(query), gallery, 5, "cosine")[1]),
        "threshold": best_threshold(spread(distance), changed).threshold,
        "histogram": histogram.result().threshold,
        "confusion": best_threshold(spread(distance), spread(changed)).confusion,
    }
    nearest = np.asarray(nearest_neighbors(query, gallery, 5, "cosine")[1]).tolist()
    best = best_threshold(distance, changed)
    expected = {
        "paired": np.asarray(paired_distance(query, gallery[:48])).tolist(),
        "pairwise": np.asarray(pairwise_distance(query, gallery)).tolist(),
        "neighbors": nearest,
        "against the host's": nearest,
        "threshold": best.threshold,
        "histogram": best.threshold,
        "confusion": best.confusion,
    }
    refused = {}
    distance[7] = np.nan
    for name, call in {
        "distance": lambda: paired_distance(spread(distance[:, None]), spread(distance[:, None])),
        "threshold": lambda: best_threshold(spread(distance), spread(changed)),
    }.items():
        try:
            call()
        except ValueError as error:
            refused[name] = str(error)
    apart = {name: float(np.abs(np.subtract(found[name], expected[name])).max()) for name in found}
    print(json.dumps({"apart": apart, "refused": refused}), flush=True)
    processes.finish()


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    main(*sys.argv[1:])
