"""`python -m demo`: the demo from data to summary. `--until` ends the replay early; everything else is fixed."""

import argparse
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from demo.installation import GATEWAY_PORT, PORT, STATE, Place, ProcessFailed, excerpt, made_for_replay, opened, running
from demo.news import News
from demo.replay import DAY, Replay
from demo.sources import written
from demo.story import BEGINS, ENDS, LANDED, MODELS, Story, checked_out
from demo.summary import Run, written_summary
from demo.traffic import Traffic
from modelyard.core.clock import Instant, instant, iso, wall_now
from modelyard.core.errors import ModelyardError

CONSOLE = Console(highlight=False, soft_wrap=True)
SWITCH_S = 0.0005
"""How soon a thread hands on: the replay's hours, each a few short waits, are not to stand behind the look at the day before."""


def main() -> int:
    """Runs the demo; 0 with a summary, 1 with what went wrong."""
    given = arguments()
    place = Place(state=given.state, port=given.port, gateway_port=given.gateway_port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.setswitchinterval(SWITCH_S)
    try:
        replayed(place, instant(given.until) if given.until else ENDS, given.started)
    except KeyboardInterrupt:
        CONSOLE.print("\nstopped; make demo starts anew")
        return 130
    except (ProcessFailed, ModelyardError, OSError) as error:
        CONSOLE.print(f"[red]{type(error).__name__}[/] {error}", markup=True)
        for log in sorted(place.state.glob("*.log")):
            if "said" not in log.name:
                CONSOLE.print(f"[dim]{log} ends with[/]\n{excerpt(log)}", markup=False)
        return 1
    return 0


def arguments() -> argparse.Namespace:
    """The command's words."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--state", type=lambda text: Path(text).absolute(), default=STATE)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--gateway-port", type=int, default=GATEWAY_PORT)
    parser.add_argument("--until", type=lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC), help="such as 2013-04-08")
    parser.add_argument(
        "--started", type=float, default=None, help="when make began, in seconds since 1970: what came before is installation"
    )
    return parser.parse_args()


def replayed(place: Place, until: Instant, started: float | None) -> None:
    """The whole demo."""
    began = time.monotonic()
    installed_s = 0.0 if started is None else max(wall_now() / 1e6 - started, 0.0)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=CONSOLE, transient=True, refresh_per_second=4) as progress:
        task = progress.add_task("the year's data", total=None, said="")
        made_for_replay(place, BEGINS)
        project = checked_out(place)
        rows = written(project / "data")
        traffic = Traffic(project / "data" / "flights.parquet")
        progress.console.print(f"{rows['flights']:,} flights, {rows['weather']:,} hours of weather, {rows['planes']:,} planes")
        progress.update(task, description="yard up")
        with running(place), opened(place) as records:
            progress.update(task, description="the first quarter trains two models")
            replay, news = Replay(place, records, traffic, MODELS), News(records.database)
            story = Story(place, replay)
            story.begin()
            run_year(replay, story, news, (progress, task, until))
            replay.close()
            progress.update(task, description="the champion is made again from its records", total=None, said="")
            story.end()
            progress.update(task, description="the summary")
            run = Run(place=place, records=records, replay=replay, began=began, installed_s=installed_s)
            text = written_summary(run)
    CONSOLE.print(text, markup=False)


def run_year(replay: Replay, story: Story, news: News, shown: tuple[Progress, TaskID, Instant]) -> None:
    """The replay, day after day, with what happens in it printed as it happens."""
    progress, task, until = shown
    steps, acts = list(replay.traffic.steps(BEGINS, until)), list(story.acts)
    progress.update(task, description="replaying", total=len(steps))
    midnight = Instant(BEGINS + DAY)
    for step in steps:
        while midnight <= step.at:
            replay.day_end(midnight)
            midnight = Instant(midnight + DAY)
            for line in news.lines():
                progress.console.print(line)
            progress.update(task, said=f"{iso(replay.now)[:10]}  {sum(one.wire.requests for one in replay.asked.values()):,} requests")
        while acts and acts[0].at <= step.at:
            act = acts.pop(0)
            replay.looked()
            replay.move(act.at)
            progress.console.print(f"{iso(act.at)[:10]}  [bold]{act.said}[/]")
            act.done()
        replay.hour(step)
        progress.advance(task)
    replay.left = sum(step.last - step.first for step in replay.traffic.steps(until, ENDS))
    # What flew on the last evening has landed by noon; there is nothing to look at after that.
    replay.day_end(min(midnight, LANDED))
    for line in news.lines():
        progress.console.print(line)


if __name__ == "__main__":
    sys.exit(main())
