"""What an audit leaves in its folder: `audit.json`, `pairs.csv`, `exclude.csv`, `hashes.npz` and the page."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from mtsccd_jax import provenance
from mtsccd_jax.data.parts.listed import row_names
from mtsccd_jax.files import replacing, utf8
from mtsccd_jax.ops.hashes import layout
from mtsccd_jax.report.tables import csv_cell
from mtsccd_jax.tasks.leaks import hash_lists, planted, registration, search
from mtsccd_jax.tasks.leaks.audit import EXACT, HASH, LIST_RADIUS, NEAR, PLACE, Audit, Where
from mtsccd_jax.tasks.leaks.inputs import Part
from tfds_builders.exclude_list import COLUMNS, COMPARED, Line

VERSION = 1


def write(audit: Audit, out: Path) -> dict[str, Any]:
    """Write the files of an audit but for its page; return what `audit.json` says."""
    excluded = exclude_lines(audit)
    _write_csv(out / "pairs.csv", _PAIR_COLUMNS, _pair_rows(audit))
    _write_csv(out / "exclude.csv", COLUMNS, map(astuple, excluded))
    hash_lists.write(out / "hashes.npz", list(audit.parts), audit.images)
    rows = {(line.dataset, line.split, line.row) for line in excluded if line.row}
    told = summary(audit) | {"excluded": len(rows)}
    _write(out / "audit.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return told


def summary(audit: Audit) -> dict[str, Any]:
    """Return the counts of an audit with what they rest on, as plain values."""
    kinds = Counter(pair.kind for pair in audit.pairs)
    return {
        "version": VERSION,
        "images": len(audit.images),
        "pairs": len(audit.pairs),
        "leaks": len(audit.leaks),
        "kinds": {kind: kinds[kind] for kind in (EXACT, NEAR, HASH)},
        "same_place_other_date": sum(audit.places.values()),
        "plain_pairs": sum(audit.plain.values()),
        "plain_images": int((audit.images.structure < registration.LEAST_STRUCTURE).sum()),
        "splits": [{"first": where[0], "second": where[1], **counts} for where, counts in by_split_pair(audit).items()],
        "planted": {kind: {"found": hit, "of": n} for kind, (hit, n) in audit.planted.items()},
        "inputs": [_input(audit, number, part) for number, part in enumerate(audit.parts)],
        "lists": [{"name": one.path.name, "images": len(one.name)} for one in audit.lists],
        "skipped": audit.skipped,
        "thresholds": {
            "hash_bits": search.HASH_RADIUS,
            "list_hash_bits": LIST_RADIUS,
            "neighbors": search.NEIGHBORS,
            "screen_correlation": search.LEAST_SCREEN,
            "least_structure": registration.LEAST_STRUCTURE,
            "correlation": [registration.needed(0), registration.needed(1)],
            "crop": layout.CROP,
            "planted_kinds": list(planted.KINDS),
        },
        "seconds": audit.seconds,
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "device": provenance.device(),
    }


def by_split_pair(audit: Audit) -> dict[Where, dict[str, int]]:
    """Return the number of pairs of each kind, and of those too plain to tell, by their splits."""
    counts: dict[Where, dict[str, int]] = {}
    names = (EXACT, NEAR, HASH, PLACE, "plain")
    found = [((pair.where, pair.kind), 1) for pair in audit.pairs]
    found += [((where, PLACE), n) for where, n in audit.places.items()]
    found += [((where, "plain"), n) for where, n in audit.plain.items()]
    for (where, kind), n in found:
        counts.setdefault(where, dict.fromkeys(names, 0))[kind] += n
    return dict(sorted(counts.items()))


def exclude_lines(audit: Audit) -> list[Line]:
    """Return the lines of the list: every split that was looked at, and rows that are copies of rows of earlier splits.

    A row has a line for each earlier split that it has a copy in, with the most certain one.
    """
    lines = {
        (number, -1, "", ""): Line(part.dataset, part.split, "", "", part.fingerprint, COMPARED if part.against else "")
        for number, part in enumerate(audit.parts)
    }
    for number, one in enumerate(audit.lists, start=len(audit.parts)):
        for place, known in enumerate(zip(one.dataset, one.split, one.fingerprint, strict=True)):
            dataset, split, fingerprint = map(str, known)
            lines[number, place, "", ""] = Line(dataset, split, "", "", fingerprint, COMPARED)
    names = {number: row_names(part.source) for number, part in enumerate(audit.parts) if not part.against}
    for pair in audit.leaks:
        kept, copy = pair.kept, pair.copy
        if copy.input in names:
            part, name = audit.parts[copy.input], names[copy.input][copy.row]
            where = (part.dataset, part.split, str(copy.row), name, part.fingerprint)
            line = Line(*where, pair.kind, kept.dataset, kept.split, " ".join(kept.name.split()))
            lines.setdefault((copy.input, copy.row, kept.dataset, kept.split), line)
    return [lines[key] for key in sorted(lines)]


_PAIR_COLUMNS = (
    *("kind", "leak", "relation", "correlation", "hash_bits"),
    *(f"{side}_{what}" for side in ("kept", "copy") for what in ("dataset", "split", "row", "name")),
)


def _pair_rows(audit: Audit) -> Iterable[tuple[Any, ...]]:
    for pair in audit.pairs:
        correlation = "" if pair.correlation is None else f"{pair.correlation:.4f}"
        sides = ((side.dataset, side.split, side.row, side.name) for side in (pair.kept, pair.copy))
        yield (
            pair.kind,
            int(pair.is_leak),
            pair.relation,
            correlation,
            pair.bits,
            *(v for side in sides for v in side),
        )


def _input(audit: Audit, number: int, part: Part) -> dict[str, Any]:
    """Return what was read of a part."""
    return {
        "dataset": part.dataset,
        "split": part.split,
        "rows": len(part.source),
        "images": int((audit.images.part == number).sum()),
        "against": part.against,
        "generated": part.source.generated,
        "names_sha256": part.fingerprint,
    }


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    _write(path, buffer.getvalue())


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(utf8(text))
