"""Named columns as a table for spreadsheets."""

import csv
import io
from collections.abc import Mapping

import numpy as np

from mtsccd_jax.files import AnyPath, replacing, utf8
from mtsccd_jax.report.tables import csv_cell


def write_csv(out: AnyPath, columns: Mapping[str, np.ndarray]) -> None:
    """Write named columns of one length as a table, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(csv_cell, columns))
    for line in zip(*(values.tolist() for values in columns.values()), strict=True):
        writer.writerow(map(csv_cell, line))
    with replacing(out) as stream:
        stream.write(utf8(text.getvalue()))
