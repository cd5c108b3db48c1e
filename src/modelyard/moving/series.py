"""Runs and their points from there to here, packed, in requests of a bounded size; each series' digest is taken on the way."""

from collections.abc import Iterator, Sequence

import msgspec

from modelyard.moving.accounts import patiently
from modelyard.moving.domain import Source, TheirRun
from modelyard.sdk.client import Client
from modelyard.tracking.imports import ImportedRun, PackedSeries, Refusal, SeriesContent, SourceName
from modelyard.tracking.rules.series import BYTES_A_POINT, Points, by_step, content_digest, packed_points, part

POINTS_A_REQUEST = 400_000
"""Points and what weighs as much: a request has about 13 MB of them, in base64."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that are here with all of their points, what each metric holds there, and runs that were refused."""

    runs: tuple[TheirRun, ...]
    contents: dict[str, dict[str, SeriesContent]]
    refused: tuple[Refusal, ...] = ()


def sent_runs(source: Source, client: Client, name: SourceName, runs: Sequence[TheirRun]) -> Iterator[Sent]:
    """Sends runs with their points, several in a request; a run that is larger goes in several requests."""
    pending: list[ImportedRun] = []
    done: list[TheirRun] = []
    contents: dict[str, dict[str, SeriesContent]] = {}
    refused: dict[str, Refusal] = {}
    weight = 0

    def flush() -> None:
        bodies = tuple(pending)
        if bodies:
            refused.update({one.id: one for one in patiently(lambda: client.import_runs(source=name, runs=bodies))})
        pending.clear()

    for their in runs:
        run, packed = their.run, list[PackedSeries]()
        weight += sum(map(len, (*run.params.values(), *run.tags.values()))) // BYTES_A_POINT + 1
        contents[run.id] = {}
        for key, points in source.points(their):
            ordered = by_step(points)
            contents[run.id][key] = SeriesContent(points=len(ordered.step), digest=content_digest(ordered))
            for piece in _pieces(ordered):
                if weight and weight + len(piece.step) > POINTS_A_REQUEST and (pending or packed):
                    pending.append(msgspec.structs.replace(run, series=tuple(packed)))
                    flush()
                    packed, weight = [], 0
                packed.append(PackedSeries(key=key, points=packed_points(piece)))
                weight += len(piece.step)
        pending.append(msgspec.structs.replace(run, series=tuple(packed)))
        done.append(their)
        if weight >= POINTS_A_REQUEST:
            flush()
            yield _sent(done, contents, refused)
            done, contents, refused, weight = [], {}, {}, 0
    flush()
    yield _sent(done, contents, refused)


def _pieces(points: Points) -> Iterator[Points]:
    for start in range(0, len(points.step), POINTS_A_REQUEST):
        yield part(points, start, start + POINTS_A_REQUEST)


def _sent(done: list[TheirRun], contents: dict[str, dict[str, SeriesContent]], refused: dict[str, Refusal]) -> Sent:
    kept = tuple(one for one in done if one.run.id not in refused)
    return Sent(runs=kept, contents=contents, refused=tuple(refused.values()))
