"""A row explained on a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtsccd_jax.report import text
from mtsccd_jax.report.meaning.explain import Explanation
from mtsccd_jax.report.runs import network
from tfds_builders.reading.names import as_text

if TYPE_CHECKING:
    from rich.console import RenderableType

# Names of classes in one line.
_NAMED = 20
# Metrics of the trivial predictor in one line.
_TRIVIAL = 4


def printed(explained: Explanation) -> Iterator["RenderableType"]:
    """Yield what people read of an explained row, for a console."""
    from rich.table import Table
    from rich.text import Text

    yield Text("\n".join(map(as_text, _facts(explained))))
    metrics = Table(box=None, title="The metrics of the row", title_justify="left")
    for title in ("metric", "value", "average", "over", "what it is"):
        metrics.add_column(title, overflow="fold")
    for name, entry in explained.row.metrics.items():
        found = explained.definition(name)
        value = f"{text.number(entry['value'], 4)} {text.interval(entry['low'], entry['high'])}".strip()
        words = (found.average, found.denominator, found.text) if found else (text.NOT_KNOWN,) * 3
        metrics.add_row(*map(Text, (text.metric_name(name), value, *words)))
    yield metrics
    peers = Table(box=None, title="The same predictions by the definitions of others", title_justify="left")
    for title in ("whose", "name there", "taken for", "ours", "theirs", "what it does"):
        peers.add_column(title, overflow="fold")
    for reading in explained.readings:
        does = f"{reading.peer.text} ({as_text(reading.missing)})" if reading.missing else reading.peer.text
        words = reading.peer.who, reading.name, text.metric_name(reading.metric)
        values = text.number(reading.own, 4), text.number(reading.value, 4)
        style = "" if reading.same else "yellow"
        peers.add_row(*map(Text, (*words, *values, does)), style=style)
    yield peers


def _facts(explained: Explanation) -> Iterator[str]:
    """Yield the lines above the tables: what was measured, on what, by what decision."""
    row = explained.row
    drawn = "images drawn by a program" if row.generated else "images that no program here has drawn"
    yield f"row {row.id}: {row.protocol}, {network(row)}, seed {row.seed}"
    yield f"  on         {row.dataset}, split {row.split}: {row.n:,} examples, {drawn}"
    yield f"  decision   {explained.decision}"
    yield f"  classes    {_named(explained.present)}"
    yield f"  absent     {_named(explained.absent) or 'none'}"
    trivial = text.baseline(row)
    if trivial:
        known = [f"{text.metric_name(m)} {text.number(trivial[m], 4)}" for m in row.metrics if m in trivial]
        yield f"  trivial    {trivial.get('name')}: {', '.join(known[:_TRIVIAL])}"
    if row.published:
        yield f"  published  {_published(row.published)}"


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def _published(published: dict[str, object]) -> str:
    """Return a published value in one line."""
    metrics = published.get("metrics") or {name: published.get(name) for name in ("oa", "kappa")}
    assert isinstance(metrics, dict)
    values = ", ".join(f"{text.metric_name(k)} {text.number(v, 4)}" for k, v in metrics.items() if v is not None)
    return ": ".join(filter(None, (f"{published.get('source')}, {published.get('model')}", values))) + (
        f" ({published['reason']})" if published.get("reason") else ""
    )
