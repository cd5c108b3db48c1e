"""What may be tuned, held against what the training function takes; and reports, which go nowhere outside of a trial."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from modelyard import choice, integers, loguniform, report, report_iteration, uniform
from modelyard.core.errors import InvalidInput
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.search_space import BadSearchSpace, Domain, Reports
from modelyard.sdk.reporting import reporting
from modelyard.sdk.tuning import space_of
from tests.delivery.declaring import declared

Rows = list[int]


def learner(rows: Rows, *, rate: float = 0.1, leaves: int = 31, kind: str = "gbdt", bagged: bool = False, other: Any = None) -> Rows:
    """A training function of every type of parameter."""
    return rows


def loose(rows: Rows, **anything: float) -> Rows:
    """A training function that takes any parameter."""
    return rows


def needy(rows: Rows, *, rate: float) -> Rows:
    """A training function that cannot do without being told."""
    return rows


SPACE: dict[str, Domain] = {
    "rate": loguniform(1e-3, 0.3),
    "leaves": integers(15, 255, log=True),
    "kind": choice("gbdt", "dart"),
    "bagged": choice(True, False),
    "other": choice(1, "two"),
}


def test_a_space_keeps_its_order_and_the_functions_own_values() -> None:
    space = space_of(learner, SPACE, "roc_auc")
    assert list(space.domains) == list(SPACE)
    assert space.defaults == {"rate": 0.1, "leaves": 31, "kind": "gbdt", "bagged": False, "other": None}
    assert space.baseline is None, "None is no option of other"
    assert space_of(learner, {"rate": SPACE["rate"]}).baseline == {"rate": 0.1}
    assert space_of(loose, {"rate": SPACE["rate"]}).baseline is None


def test_a_declaration_with_a_space_survives_the_wire() -> None:
    before = declared(Path("/"), tune=space_of(learner, {name: SPACE[name] for name in ("rate", "leaves", "kind", "bagged")})).declaration
    after = msgspec.json.decode(msgspec.json.encode(before), type=ModelDeclaration)
    assert after == before
    assert after.digest == before.digest != declared(Path("/")).declaration.digest
    assert after.tune is not None
    assert list(after.tune.domains) == ["rate", "leaves", "kind", "bagged"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: uniform(1.0, 1.0), "holds nothing to choose from"),
        (lambda: uniform(0.0, float("inf")), "holds nothing to choose from"),
        (lambda: uniform(0.0, 1.0, step=2.0), "no step between its ends"),
        (lambda: uniform("0", 1.0), "takes numbers, got '0'"),  # type: ignore[arg-type]  # what a user may write
        (lambda: loguniform(0.0, 1.0), "both ends must be above 0"),
        (lambda: integers(1, 2.5), "takes whole numbers, got 2.5"),  # type: ignore[arg-type]  # what a user may write
        (lambda: integers(9, 1), "holds nothing to choose from"),
        (lambda: integers(1, 9, step=2, log=True), "both a step and magnitudes"),
        (lambda: integers(0, 2**60), "beyond what a float carries"),
        (lambda: choice("gbdt"), "has 1 options"),
        (lambda: choice(1, True), "an option twice"),
        (lambda: choice("a", None), "None is no number, text or truth value"),  # type: ignore[arg-type]  # what a user may write
        (lambda: choice("a", float("nan")), "nan is no number"),
    ],
)
def test_a_domain_that_holds_nothing_sound_is_refused(made: Callable[[], Domain], words: str) -> None:
    with pytest.raises(BadSearchSpace, match=words) as refused:
        made()
    assert refused.value.hint


@pytest.mark.parametrize(
    ("function", "space", "words"),
    [
        (learner, {"raet": uniform(0.0, 1.0)}, "takes no parameter 'raet'"),
        (learner, {"rows": uniform(0.0, 1.0)}, "takes no parameter 'rows'"),
        (learner, {"leaves": uniform(1.0, 9.0)}, "'leaves' as int, and .* gives float"),
        (learner, {"rate": choice("a", "b")}, "'rate' as float, and .* gives str"),
        (learner, {"bagged": integers(0, 1)}, "'bagged' as bool, and .* gives int"),
        (learner, {"rate": 0.5}, "is 0.5, which is no domain"),
        (learner, {}, "names no parameter"),
        (needy, {"rate": uniform(0.0, 1.0)}, "no default for 'rate'"),
    ],
)
def test_a_space_that_the_function_cannot_take_is_refused(function: Callable[..., Any], space: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSearchSpace, match=words) as refused:
        space_of(function, space)
    assert refused.value.hint


def test_a_metric_that_the_models_task_does_not_have_is_refused() -> None:
    with pytest.raises(BadSearchSpace, match="not measured by 'rmse'"):
        declared(Path("/"), tune=space_of(learner, {"rate": SPACE["rate"]}, "rmse"))


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (uniform(0.0, 1.0, step=0.1), (0.0, 0.3, 1), (0.25, 1.1, "0.3", True)),
        (loguniform(0.1, 10.0), (0.1, 10), (0.0, 11.0)),
        (integers(2, 10, step=4), (2, 6, 10), (3, 14, 6.0, True)),
        (choice(1, "one"), (1, "one"), (1.0, True, "two")),
    ],
)
def test_a_domain_knows_its_values(domain: Domain, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    assert [domain.holds(one) for one in inside] == [True] * len(inside)
    assert [domain.holds(one) for one in outside] == [False] * len(outside)


def test_reports_go_to_the_trials_file_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "reports"
    report(0, 0.5)
    with reporting(Reports(path=str(path), higher_is_better=True)):
        report(0, 0.25)
        report(1, float("nan"))
        with pytest.raises(InvalidInput, match="steps from 0 on"):
            report(-1, 0.1)
    report(2, 0.5)
    assert path.read_text() == "0 0.25\n1 nan\n"


def test_lightgbms_evaluation_is_reported_in_the_studys_direction(tmp_path: Path) -> None:
    path = tmp_path / "reports"
    env = SimpleNamespace(iteration=3, evaluation_result_list=[("held out", "binary_logloss", 0.4, False), ("held out", "auc", 0.8, True)])
    report_iteration(env)
    for higher_is_better in (True, False):
        with reporting(Reports(path=str(path), higher_is_better=higher_is_better)):
            report_iteration(env)
    env.evaluation_result_list.pop()
    with reporting(Reports(path=str(path), higher_is_better=True)), pytest.raises(InvalidInput, match="better the higher"):
        report_iteration(env)
    assert path.read_text() == "3 0.8\n3 0.4\n"
