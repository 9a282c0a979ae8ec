"""A profile as others read it: JSON, the layers as CSV, the roofline drawn, and a table for people."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtsccd_jax.files import replacing
from mtsccd_jax.perf.profile.layers import Layer
from mtsccd_jax.perf.profile.result import Profile
from mtsccd_jax.perf.profile.roofline import attainable_flops_per_s
from mtsccd_jax.perf.records import as_csv, significant
from mtsccd_jax.provenance import environment
from mtsccd_jax.recipes.config import Recipe, to_dict
from mtsccd_jax.report import chart_style
from mtsccd_jax.report.chart_style import BLUE, GREEN, HEIGHT_IN, INK, MUTED, VERMILION, WIDTH_IN, Chart

if TYPE_CHECKING:
    from rich.table import Table

PROFILE_FILE, LAYERS_FILE, ROOFLINE = "profile.json", "layers.csv", "roofline"


def summary(profile: Profile) -> dict[str, Any]:
    """The figures by name, JSON types only; None for what is not known. Rates and sizes are per second and in bytes."""
    p, steps_s = profile, profile.synthetic.median
    step_s = p.batch_size * p.images_per_example / steps_s
    products_per_s = p.product_flops / p.devices / step_s
    bytes_per_s = p.step_bytes / p.devices / step_s
    read_images = p.batch_size * p.images_per_example
    quantiles = np.quantile(p.step.samples_s, [0.5, 0.9, 0.99])
    energy = None
    if p.energy is not None:
        joules = p.energy.joules
        # One device is watched, all devices share the images.
        each = joules * p.devices / p.energy_images if joules is not None and p.energy_images else None
        energy = {**asdict(p.energy), "joules_per_image": each}
    return {
        "verdict": p.verdict.kind,
        "reason": p.verdict.reason,
        "try_next": p.verdict.try_next,
        "input_stall_fraction": p.stall,
        "images_per_s": p.real.median,
        "images_per_s_p10": p.real.p10,
        "images_per_s_p90": p.real.p90,
        "images_per_s_per_device": p.real.median / p.devices,
        "synthetic_images_per_s": p.synthetic.median,
        "synthetic_images_per_s_p10": p.synthetic.p10,
        "synthetic_images_per_s_p90": p.synthetic.p90,
        "mfu": p.mfu,
        "ceiling_share": products_per_s / p.ceilings.flops_per_s,
        "source": p.source,
        "input": p.input,
        "batch_size": p.batch_size,
        "devices": p.devices,
        "dtype": p.dtype,
        "steps_per_dispatch": p.steps_per_dispatch,
        "compile_cold_s": p.compile_cold_s,
        "compile_warm_s": p.compile_warm_s,
        "first_batch_s": p.first_batch_s,
        "first_step_s": p.first_step_s,
        "step_ms": 1e3 * step_s,
        "step_ms_p50": 1e3 * float(quantiles[0]),
        "step_ms_p90": 1e3 * float(quantiles[1]),
        "step_ms_p99": 1e3 * float(quantiles[2]),
        "dispatch_ms": 1e3 * p.dispatch_s,
        "dispatch_share": min(p.dispatch_s / step_s, 1.0),
        "operations": p.operations,
        "operation_us": 1e6 * p.operation_s,
        "launch_share": p.operations * p.operation_s / step_s,
        "read_images_per_s": read_images / p.read_s if p.read_s else None,
        "transfer_ms": 1e3 * p.transfer_s if p.transfer_s else None,
        "transfer_gb_per_s": p.transfer_bytes / p.transfer_s / 1e9 if p.transfer_s else None,
        "forward_macs_per_image": p.forward_macs / read_images,
        "step_flops": p.step_flops,
        "step_product_flops": p.product_flops,
        "step_bytes": p.step_bytes,
        "intensity_flops_per_byte": p.place.intensity,
        "products_per_s": products_per_s,
        "bandwidth_bytes_per_s": bytes_per_s,
        "bandwidth_share": bytes_per_s / p.ceilings.bytes_per_s,
        "roofline_share": p.place.share,
        "ceilings": asdict(p.ceilings),
        "peak": asdict(p.peak) if p.peak else None,
        "program_bytes": p.program_bytes,
        "device_peak_bytes": p.device_peak_bytes,
        "host_peak_bytes": p.host_peak_bytes,
        "energy": energy,
    }


def write_files(profile: Profile, recipe: Recipe, workdir: Path, command: str) -> dict[str, Path]:
    """The files of a profile below a work directory, by name: `profile`, `layers`, `roofline`.

    Args:
        profile: what was measured.
        recipe: of what.
        workdir: made where it is missing; older files there are replaced.
        command: that it was measured with.
    """
    paths = {
        "profile": workdir / PROFILE_FILE,
        "layers": workdir / LAYERS_FILE,
        "roofline": workdir / f"{ROOFLINE}.svg",
    }
    record = {
        "recipe": to_dict(recipe),
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
    }
    with replacing(paths["profile"]) as stream:
        stream.write(json.dumps(summary(profile) | record, indent=1, ensure_ascii=False).encode() + b"\n")
    with replacing(paths["layers"]) as stream:
        stream.write(layers_csv(profile.layers).encode())
    picture = roofline_chart(profile, recipe.model.name)
    with replacing(paths["roofline"]) as stream:
        stream.write(picture.svg.encode())
    with replacing(workdir / f"{ROOFLINE}.png") as stream:
        stream.write(picture.png)
    return paths


def layers_csv(layers: Sequence[Layer]) -> str:
    """The layers as a table: what each does in a step, all devices together."""
    return as_csv(
        {
            "layer": layer.name,
            "stage": layer.stage,
            "kind": layer.kind,
            "flops": layer.flops,
            "macs": layer.macs,
            "bytes": layer.bytes,
            "flops_per_byte": significant(layer.intensity, 4),
            "primitives": layer.operations,
        }
        for layer in layers
    )


def roofline_chart(profile: Profile, network: str) -> Chart:
    """The step below the roof that this device was measured to have, with its layers' places on it."""
    ceilings, place = profile.ceilings, profile.place
    layers = [layer for layer in profile.layers if layer.macs and layer.bytes]
    at = [2 * layer.macs / layer.bytes for layer in layers]
    low = min([place.intensity, place.ridge, *at]) / 3
    high = max([place.intensity, place.ridge, *at]) * 3
    intensity_n = np.geomspace(low, high, 200)
    alt = (
        f"Roofline: {network} does {place.intensity:.3g} operations a byte and reaches "
        f"{_prefixed(place.flops_per_s)}FLOP/s, {place.share:.0%} of the roof there."
    )
    with chart_style.figure(WIDTH_IN, HEIGHT_IN + 0.6) as (figure, axes):
        from matplotlib.ticker import NullFormatter

        def roof(x: float) -> float:
            return attainable_flops_per_s(x, ceilings.flops_per_s, ceilings.bytes_per_s)

        axes.plot(intensity_n, [roof(x) for x in intensity_n], color=INK, linewidth=1.6, label="measured roof")
        peak = profile.peak.flops_per_s(profile.dtype) if profile.peak else None
        if profile.peak and peak:
            nominal = [attainable_flops_per_s(x, peak, profile.peak.memory_bytes_per_s) for x in intensity_n]
            label = f"nominal, {profile.peak.name}"
            axes.plot(intensity_n, nominal, color=MUTED, linewidth=1.2, linestyle=(0, (4, 2)), label=label)
        axes.plot(at, [roof(x) for x in at], "|", color=GREEN, markersize=8, label="its layers' places")
        axes.plot(
            [place.intensity] * 2, [place.flops_per_s, roof(place.intensity)], ":", color=VERMILION, linewidth=1.4
        )
        axes.plot([place.intensity], [place.flops_per_s], "o", color=BLUE, markersize=7, label=f"{network}, one step")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: _prefixed(value))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.set_ylim(place.flops_per_s / 4, max(ceilings.flops_per_s, peak or 0) * 2)
        beyond = place.intensity > (low * high) ** 0.5
        axes.annotate(
            f"{place.share:.0%} of the roof",
            (place.intensity, place.flops_per_s),
            xytext=(-8 if beyond else 8, -3),
            textcoords="offset points",
            ha="right" if beyond else "left",
            va="top",
        )
        axes.set_xlabel("floating-point operations of products a byte")
        axes.set_ylabel("FLOP/s of one device")
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)


def table(profile: Profile) -> "Table":
    """What people want to see of it, a line each."""
    from rich.table import Table

    values = summary(profile)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()

    def add(name: str, text: str) -> None:
        grid.add_row(name, text)

    real, synthetic = profile.real, profile.synthetic
    add("with its data", f"{real.median:,.1f} images/s ({real.p10:,.1f} to {real.p90:,.1f}), {profile.input}")
    add("same batch again", f"{synthetic.median:,.1f} images/s ({synthetic.p10:,.1f} to {synthetic.p90:,.1f})")
    add("input stall", f"{profile.stall:.1%}")
    if profile.read_s:
        add("reading alone", f"{values['read_images_per_s']:,.1f} images/s")
    if profile.transfer_s:
        add("transfer", f"{values['transfer_gb_per_s']:,.2f} GB/s, {values['transfer_ms']:,.3g} ms a batch")
    steps = "" if profile.steps_per_dispatch == 1 else f", {profile.steps_per_dispatch} a dispatch"
    percentiles = ", ".join(f"{values[f'step_ms_p{p}']:,.3g}" for p in (50, 90, 99))
    add("step", f"{values['step_ms']:,.3g} ms in a row; waited for {percentiles} ms (p50, p90, p99){steps}")
    add(
        "overhead",
        f"host {values['dispatch_share']:.1%} of a step; {profile.operations:,} operations of "
        f"{values['operation_us']:.2g} us to start, {values['launch_share']:.1%}",
    )
    add("first batch, step", f"{profile.first_batch_s:,.2f} s, {profile.first_step_s:,.2f} s")
    add("compile", f"{profile.compile_cold_s:,.1f} s cold, {profile.compile_warm_s:,.1f} s from disk")
    add(
        "work of a step",
        f"{_prefixed(profile.step_flops)}FLOP ({_prefixed(profile.product_flops)} in products), "
        f"{_prefixed(profile.step_bytes)}B, {profile.place.intensity:,.3g} a byte",
    )
    add(
        "matrix products",
        f"{_prefixed(values['products_per_s'])}FLOP/s, {values['ceiling_share']:.1%} of the measured "
        f"{_prefixed(profile.ceilings.flops_per_s)}FLOP/s",
    )
    add(
        "memory",
        f"{_prefixed(values['bandwidth_bytes_per_s'])}B/s, {values['bandwidth_share']:.1%} of the measured "
        f"{_prefixed(profile.ceilings.bytes_per_s)}B/s",
    )
    mfu = "unknown, as is this device's peak" if profile.mfu is None else f"{profile.mfu:.1%}"
    add("MFU", mfu)
    held = [f"host {_prefixed(profile.host_peak_bytes)}B"]
    held += [f"program {_prefixed(profile.program_bytes)}B"] if profile.program_bytes is not None else []
    held += [f"device {_prefixed(profile.device_peak_bytes)}B"] if profile.device_peak_bytes is not None else []
    add("peak memory", ", ".join(held))
    if profile.energy is not None and profile.energy.watts is not None:
        each = values["energy"]["joules_per_image"]
        text = f"{profile.energy.watts:,.0f} W" + (f", {each:.3g} J an image" if each is not None else "")
        add("energy", text)
    add("verdict", f"[bold]{profile.verdict.kind}-bound[/bold]: {profile.verdict.reason}")
    add("try next", profile.verdict.try_next)
    return grid


def _prefixed(value: float) -> str:
    """A number with three figures and its SI prefix, as in "3.21 T"."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.3g} {prefix}"
    return f"{value:.3g} "
