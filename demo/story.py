"""What people do in the year, and when: releases, one fault, one duty. All of it is fixed before the replay; how it ends is not.

Owns the dates. Retraining is nobody's act: the models declare when it happens.
"""

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from demo.installation import PROJECT, Place, said, yard, yard_beside
from demo.replay import Replay
from demo.sources import lost, recovered
from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token
from modelyard.core.clock import Instant, instant
from modelyard.delivery.domain import CauseKind, NewDelivery
from modelyard.registry.domain import ModelName
from modelyard.sdk.client import Client
from modelyard.storage.database import Transaction

FILES = ("models.py", "modelyard.toml", "pyproject.toml", "uv.lock")
MODELS = (ModelName("late_arrival"), ModelName("late_departure"))
FAULTY = "airport_delays"
CI = "ci"
REBUILD = ("reproduce", f"{MODELS[0]}/champion")


def on(month: int, day: int, hour: int = 0) -> Instant:
    """An instant of 2013, in UTC."""
    return instant(datetime(2013, month, day, hour, tzinfo=UTC))


# The year ends in New York, six hours after it ends in London.
BEGINS, ENDS = on(4, 1), instant(datetime(2014, 1, 1, 6, tzinfo=UTC))
LANDED = instant(datetime(2014, 1, 1, 12, tzinfo=UTC))
FAULT, MENDED = on(8, 19, 8), on(8, 22, 12)
BROKEN, SLOW, REBUILT, HIGH_RISK = on(6, 12, 12), on(7, 17, 12), on(12, 18, 12), on(12, 30, 12)

# Somebody turns a sign round while they tidy up: the model learns from a delay that no request will bring.
SIGN = ("numbers(rows.drop(label))", 'numbers(rows.drop(label).with_columns(-pl.col("dep_delay_mean_2h")))')
# Thirteen times as many trees answer as well, and far later.
MANY_TREES: dict[str, float | int | str | bool] = {"trees": 1560, "leaves": 31, "rate": 0.0055, "sample": 0.4}
# Crews are planned by it from now on, which is a high risk: a person decides.
CREWS = ('risk="limited",\n    purpose="Plan crews', 'risk="high",\n    purpose="Plan crews')


class Act(msgspec.Struct, frozen=True):
    """Something that somebody does: when, in words, and how."""

    at: Instant
    said: str
    done: Callable[[], None]


class Story:
    """The acts of one replay, in order."""

    def __init__(self, place: Place, replay: Replay) -> None:
        self._place, self._replay = place, replay
        self._project = project_of(place)
        self._feed = self._project / "data" / "departures.parquet"
        self._departures = pl.DataFrame()
        self._rebuilding: subprocess.Popen[bytes] | None = None
        self.acts = [
            Act(BROKEN, "late_arrival is released with a sign turned round", self._release_broken),
            Act(SLOW, "late_arrival is released with thirteen times as many trees", self._release_slow),
            Act(FAULT, f"the feed behind {FAULTY} stops: its file ends here", self._stop_feed),
            Act(MENDED, "the feed is mended: what it missed comes late", self._mend_feed),
            Act(REBUILT, "an auditor has the champion of late_arrival made again, beside all else", self._rebuild),
            Act(HIGH_RISK, "late_departure is to plan crews: a high risk", self._raise_risk),
        ]

    def begin(self) -> None:
        """Declares both models, brings what is known online and ships the first versions."""
        yard(self._place, "apply", folder=self._project)
        self._replay.materialize()
        for model in MODELS:
            self._ship(model)
        self._replay.rest()

    def _release_broken(self) -> None:
        self._edit(SIGN)
        self._ship(MODELS[0], detail="tidied up")
        self._replay.rest()
        self._restore()

    def _release_slow(self) -> None:
        self._ship(MODELS[0], detail="many trees", parameters=MANY_TREES)
        self._replay.rest()

    def _stop_feed(self) -> None:
        self._departures = pl.read_parquet(self._feed)
        lost(self._feed, FAULT)

    def _mend_feed(self) -> None:
        recovered(self._feed, self._departures, FAULT, MENDED)
        self._replay.materialize()

    def _rebuild(self) -> None:
        self._rebuilding = yard_beside(self._place, *REBUILD)

    def end(self) -> None:
        """Waits until the champion has been made again; where the replay ended before somebody asked for it, asks now."""
        said(self._rebuilding or yard_beside(self._place, *REBUILD), REBUILD, may_end=(0, 3))

    def _raise_risk(self) -> None:
        self._edit(CREWS)
        with Client(self._place.url, self._ci_token()) as client:
            client.start_delivery(NewDelivery(model=MODELS[1], kind=CauseKind.PUSH, detail="plans crews from now on"))
        self._replay.rest()

    def _ci_token(self) -> str:
        """A token of the account that pushes from CI: whoever opens what the demo left is then no author of what waits for approval."""

        def made(tx: Transaction) -> str:
            create_service_account(tx, SYSTEM, CI, DEFAULT_TEAM, Role.CONTRIBUTOR)
            return create_token(tx, SYSTEM, TokenOrder(name="pipeline", scopes=(Scope.DEPLOY,), expires_in="1d", owner=CI)).secret

        return self._replay.records.own.write(made)

    def _ship(self, model: ModelName, *, detail: str = "", parameters: dict[str, float | int | str | bool] | None = None) -> None:
        with Client(self._place.url, self._place.token) as client:
            client.start_delivery(NewDelivery(model=model, detail=detail, parameters=parameters or {}))

    def _edit(self, *changes: tuple[str, str]) -> None:
        text = (PROJECT / "models.py").read_text("utf-8")
        for before, after in changes:
            if before not in text:
                raise LookupError(f"models.py has no {before!r}: story.py changes it there")
            text = text.replace(before, after)
        (self._project / "models.py").write_text(text, "utf-8")
        yard(self._place, "apply", folder=self._project)

    def _restore(self) -> None:
        shutil.copy(PROJECT / "models.py", self._project)
        yard(self._place, "apply", folder=self._project)


def project_of(place: Place) -> Path:
    """The working copy that the models are declared from."""
    return place.state / "project"


def checked_out(place: Place) -> Path:
    """A working copy of the project, a repository of its own, in which the year's changes are made."""
    folder = project_of(place)
    (folder / "data").mkdir(parents=True)
    for name in FILES:
        shutil.copy(PROJECT / name, folder)
    (folder / ".gitignore").write_text("data/\n.yard/\n", "utf-8")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True, capture_output=True)
    return folder
