"""The files of a profile: JSON, the layers as CSV and the roofline as a picture; and its table for people."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtsccd_jax.files import replacing, utf8
from mtsccd_jax.perf.profile.layers import Layer
from mtsccd_jax.perf.profile.result import Profile, Rate
from mtsccd_jax.perf.profile.roofline import attainable_flops_per_s
from mtsccd_jax.perf.records import as_csv, significant
from mtsccd_jax.provenance import environment
from mtsccd_jax.recipes.config import Recipe, to_dict
from mtsccd_jax.report.pictures import chart_style
from mtsccd_jax.report.pictures.chart_style import BLUE, GREEN, HEIGHT_IN, INK, MUTED, VERMILION, WIDTH_IN, Chart

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

ROOFLINE = "roofline"


def write_files(profile: Profile, recipe: Recipe, workdir: Path, command: str) -> dict[str, Path]:
    """Write a profile into a work directory; return its files by name: `profile`, `layers`, `roofline`."""
    files = {"profile": "profile.json", "layers": "layers.csv", "roofline": f"{ROOFLINE}.svg"}
    paths = {name: workdir / file for name, file in files.items()}
    picture = roofline_chart(profile, recipe.model.name)
    record = {
        "recipe": to_dict(recipe),
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
    }
    contents = {
        paths["profile"]: utf8(json.dumps(profile.summary() | record, indent=1, ensure_ascii=False) + "\n"),
        paths["layers"]: layers_csv(profile.layers).encode(),
        paths["roofline"]: picture.svg.encode(),
        workdir / f"{ROOFLINE}.png": picture.png,
    }
    for path, content in contents.items():
        with replacing(path) as stream:
            stream.write(content)
    return paths


def layers_csv(layers: Sequence[Layer]) -> str:
    """Return the layers as a table of their work in a step, all devices together."""
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
    """Draw the step below the measured roof of the device, with the places of its layers."""
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
    """Return the profile as a table for people, a line per value."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, text in _lines(profile):
        grid.add_row(name, text)
    return grid


def _lines(profile: Profile) -> Iterator[tuple[str, "str | Text"]]:
    """Yield name and text of every line of the table."""
    from rich.text import Text

    values, verdict = profile.summary(), profile.verdict
    yield "with its data", f"{_rate(profile.real)}, {profile.input}"
    yield "same batch again", _rate(profile.synthetic)
    yield "input stall", f"{profile.stall:.1%}"
    if profile.read_s:
        yield "reading alone", f"{values['read_images_per_s']:,.1f} images/s"
    if profile.transfer_s:
        yield "transfer", f"{values['transfer_gb_per_s']:,.2f} GB/s, {values['transfer_ms']:,.3g} ms a batch"
    steps = "" if profile.steps_per_dispatch == 1 else f", {profile.steps_per_dispatch} a dispatch"
    percentiles = ", ".join(f"{values[f'step_ms_p{p}']:,.3g}" for p in (50, 90, 99))
    yield "step", f"{values['step_ms']:,.3g} ms in a row; waited for {percentiles} ms (p50, p90, p99){steps}"
    yield (
        "overhead",
        f"host {values['dispatch_share']:.1%} of a step; {profile.operations:,} operations of "
        f"{values['operation_us']:.2g} us to start, {values['launch_share']:.1%}",
    )
    yield "first batch, step", f"{profile.first_batch_s:,.2f} s, {profile.first_step_s:,.2f} s"
    yield "compile", f"{profile.compile_cold_s:,.1f} s cold, {profile.compile_warm_s:,.1f} s from disk"
    yield (
        "work of a step",
        f"{_prefixed(profile.step_flops)}FLOP ({_prefixed(profile.product_flops)} in products), "
        f"{_prefixed(profile.step_bytes)}B, {profile.place.intensity:,.3g} a byte",
    )
    yield (
        "matrix products",
        f"{_prefixed(values['products_per_s'])}FLOP/s, {values['ceiling_share']:.1%} of the measured "
        f"{_prefixed(profile.ceilings.flops_per_s)}FLOP/s",
    )
    yield (
        "memory",
        f"{_prefixed(values['bandwidth_bytes_per_s'])}B/s, {values['bandwidth_share']:.1%} of the measured "
        f"{_prefixed(profile.ceilings.bytes_per_s)}B/s",
    )
    yield "MFU", "unknown, as is this device's peak" if profile.mfu is None else f"{profile.mfu:.1%}"
    peaks = {"host": profile.host_peak_bytes, "program": profile.program_bytes, "device": profile.device_peak_bytes}
    yield "peak memory", ", ".join(f"{name} {_prefixed(held)}B" for name, held in peaks.items() if held is not None)
    if profile.energy is not None and profile.energy.watts is not None:
        each = values["energy"]["joules_per_image"]
        yield "energy", f"{profile.energy.watts:,.0f} W" + (f", {each:.3g} J an image" if each is not None else "")
    yield "verdict", Text.assemble((verdict.title, "bold"), f": {verdict.reason}")
    yield "try next", verdict.try_next


def _rate(rate: Rate) -> str:
    return f"{rate.median:,.1f} images/s ({rate.p10:,.1f} to {rate.p90:,.1f})"


def _prefixed(value: float) -> str:
    """Format a number with three digits and its SI prefix, as in "3.21 T"."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.3g} {prefix}"
    return f"{value:.3g} "
