"""The place that an example shows: its tile, the same at all dates and in all data sets of a city."""

import numpy as np

from mtsccd_jax.data.sources import Source

FIELDS = ("city", "tile_x", "tile_y")


def tile_names(source: Source) -> np.ndarray | None:
    """Return the place of each row, (n,) text such as "wuhan/3/12"; None where the source does not tell places."""
    if not set(FIELDS) <= set(source.fields) or "city" not in source.names:
        return None
    city = np.array(source.names["city"])[source.column("city")]
    tiles = zip(city, source.column("tile_x").tolist(), source.column("tile_y").tolist(), strict=True)
    return np.array([f"{name}/{x}/{y}" for name, x, y in tiles], np.str_)
