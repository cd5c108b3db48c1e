"""`yard ship`, `approve`, `reject`: starts deliveries, follows them, decides."""

import sys
import time
import uuid
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, state
from modelyard.cli.projects import applied_project
from modelyard.cli.tuning import best_parameters
from modelyard.core.errors import EXIT_CODE, Kind
from modelyard.delivery.domain import ApprovalId, DeliveryDetail, DeliveryState, NewDelivery, StageName, StageState
from modelyard.delivery.rules import current_stage
from modelyard.sdk.client import Client
from modelyard.sdk.transport import Unreachable

FOLLOW_S = 0.25
PATIENCE_S = 60.0
T = TypeVar("T")


def ship(  # noqa: PLR0913 - one option each
    model: str,
    /,
    *,
    until: Annotated[StageName, Parameter(help="The last stage to run.")] = StageName.WATCH,
    study: Annotated[str, Parameter(help="Train with the best parameters of this study of yard tune.")] = "",
    follow: Annotated[bool, Parameter(help="--no-follow starts it and returns.", show_default=False)] = True,
    key: Annotated[str, Parameter(help="An idempotency key: the same key again follows the same delivery.")] = "",
    json: Json = False,
) -> int:
    """Takes a model through the life cycle and follows it live. Ctrl-C stops watching, not the work.

    Example: yard ship late_arrival --until register
    """
    with connected() as client:
        applied_project(client, quiet=json)
        # Under a key of its own, so that asking again after an answer was lost starts nothing twice.
        parameters, origin = best_parameters(client, model, study) if study else ({}, "")
        wanted = NewDelivery(model=model, until=until, key=key or uuid.uuid4().hex, parameters=parameters, detail=origin)
        delivery = _patiently(lambda: client.start_delivery(wanted))
        detail = _patiently(lambda: client.get_delivery(delivery.id))
        if follow:
            detail = _followed(client, detail, quiet=json)
    if json:
        print_json(detail)
    return _exit_code(detail)


def approve(approval: str, /, *, why: str = "", json: Json = False) -> int:
    """Approves what waits, as the one who is logged in; never the author of the delivery.

    Example: yard approve apr_01jd3 --why "reviewed the slices"
    """
    with connected() as client:
        decided = client.approve(ApprovalId(approval), reason=why)
    if json:
        print_json(decided)
    else:
        console().print(f"{decided.model} v{decided.version} is [green]approved[/]")
    return 0


def reject(approval: str, /, *, why: str, json: Json = False) -> int:
    """Rejects what waits, with a reason; the delivery ends as refused.

    Example: yard reject apr_01jd3 --why "worse for LGA"
    """
    with connected() as client:
        decided = client.reject(ApprovalId(approval), why)
    if json:
        print_json(decided)
    else:
        console().print(f"{decided.model} v{decided.version} is [red]rejected[/]: {plain(decided.reason)}")
    return 0


def _followed(client: Client, detail: DeliveryDetail, *, quiet: bool) -> DeliveryDetail:
    delivery = detail.delivery.id
    if quiet or not console().is_terminal:
        return _polled(client, detail, quiet=quiet)
    with Live(_table(detail), console=console(), refresh_per_second=8) as live:
        while not _rests(detail):
            time.sleep(FOLLOW_S)
            detail = _patiently(lambda: client.get_delivery(delivery))
            live.update(_table(detail))
    return detail


def _polled(client: Client, detail: DeliveryDetail, *, quiet: bool) -> DeliveryDetail:
    delivery, told = detail.delivery.id, set[str]()
    while True:
        for stage in detail.stages:
            if stage.ended_at is not None and stage.name not in told and not quiet:
                sys.stdout.write(f"{stage.name:<10}{stage.state}  {stage.reason}\n")
                told.add(stage.name)
        if _rests(detail):
            return detail
        time.sleep(FOLLOW_S)
        detail = _patiently(lambda: client.get_delivery(delivery))


def _patiently(ask: Callable[[], T]) -> T:
    """The answer, also where the server is away for a while: a delivery goes on without anybody who watches it."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except Unreachable:
            if time.monotonic() > until:
                raise
            time.sleep(FOLLOW_S)


def _rests(detail: DeliveryDetail) -> bool:
    """Whether there is nothing to watch: it has ended, or waits for a person or for a later hour."""
    waits = current_stage(detail).state is StageState.WAITING and current_stage(detail).name in (StageName.APPROVE, StageName.WATCH)
    return detail.delivery.state is not DeliveryState.RUNNING or waits


def _table(detail: DeliveryDetail) -> Table:
    table = Table(
        title=f"{detail.delivery.model}  {detail.delivery.id}", title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False
    )
    for stage in detail.stages:
        took = f"{(stage.ended_at - stage.started_at) / 1e6:.1f} s" if stage.ended_at and stage.started_at else ""
        table.add_row(stage.name.replace("_", " "), state(stage.state), took, plain(stage.reason[:100] or _said(stage.facts)))
    return table


def _said(facts: dict[str, object]) -> str:
    flat = {name: value for name, value in facts.items() if isinstance(value, int | float | str) and len(str(value)) < 40}
    return "  ".join(f"{name} {msgspec.json.encode(value).decode()}" for name, value in list(flat.items())[:4])


def _exit_code(detail: DeliveryDetail) -> int:
    if detail.delivery.state in (DeliveryState.REFUSED, DeliveryState.ROLLED_BACK):
        return EXIT_CODE[Kind.REFUSED]
    return 1 if detail.delivery.state in (DeliveryState.FAILED, DeliveryState.CANCELLED) else 0
