"""Training and throughput of made-up runs."""

from reports import PROTOCOLS, runs_of

from mtsccd_jax.report import rows
from mtsccd_jax.report.provenance import throughput_table


def test_pairs_count_two_images_in_the_throughput(workdir):
    runs = runs_of(rows.load(workdir))
    table = throughput_table(runs, {(runs[0].name, 0): 3000.0}, PROTOCOLS)
    records = {(r["what"], r["split"]): r for r in table.records}
    assert records["scene", "test_a"]["images"] == records["cfsm", "test_a"]["images"] == 10156
    assert records["training", ""]["images_per_s"] == 3000.0
    assert all(len(line) == len(table.columns) for line in table.rows)
