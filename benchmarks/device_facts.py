"""Facts of this device: memory, rates of matrix products and copies, and the time of starting an operation.

    python benchmarks/device_facts.py [--precisions float32 bfloat16] [--rounds 7] [--out FILE]

The ceilings are those of `mtsccd-jax profile` and of the verdicts of `compare_torch.py`, beside the maker's peaks (null
where the table of `perf/hardware.py` lacks the device).
"""

import dataclasses
import sys

import jax
from record import make_parser, measure, publish

from mtsccd_jax.perf.hardware import measure_ceilings, memory_bytes, peak_of
from mtsccd_jax.perf.profile.overhead import Chain


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    arguments = parser.parse_args()
    device = jax.devices()[0]
    peak, chain = peak_of(device), Chain(device)
    limit_bytes, _ = memory_bytes(device)
    ceilings = [measure_ceilings(precision, device, rounds=arguments.rounds) for precision in arguments.precisions]
    times = measure({"chain": chain.run, "single": chain.run_single}, warmup=2, rounds=arguments.rounds)
    for reached in ceilings:
        print(
            f"{device.device_kind}, {reached.dtype}: products {reached.flops_per_s / 1e12:,.2f} TFLOP/s, "
            f"copies {reached.bytes_per_s / 1e9:,.1f} GB/s",
            file=sys.stderr,
        )
    result = {
        "benchmark": "device",
        "memory_bytes": limit_bytes,
        "ceilings": [dataclasses.asdict(reached) for reached in ceilings],
        "nominal": dataclasses.asdict(peak) if peak else None,
        "operation_us": round(1e6 * chain.operation_s(times["chain"], times["single"]), 3),
    }
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
