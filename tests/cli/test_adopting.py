"""`yard adopt`: what it writes of a run, what it asks for, and that nothing of a run becomes code or leaves the project's folder."""

import ast
import io
import sys
import tarfile
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier

from modelyard.access.domain import DEFAULT_TEAM
from modelyard.cli.adoption.estimators import Call, NotWritable, logged, parsed, public_module, written
from modelyard.cli.adoption.rows import Learned, NotAdoptable, learned_rows
from modelyard.cli.adoption.texts import FILL_IN
from modelyard.cli.adoption.tracked import NOTE_TAG, Tracked, TrackedDataset, model_said
from modelyard.cli.adoption.writing import Asked, Plan, planned, write
from modelyard.cli.starting import ProjectExists
from modelyard.core.clock import Instant
from modelyard.core.errors import ModelyardError
from modelyard.registry.domain import RiskTier
from modelyard.sdk.declarations import ATTRIBUTE
from modelyard.sdk.tracking.estimators import CLASS_TAG, MADE_TAG, Made, told
from modelyard.storage.rows import digest_frame
from modelyard.tracking.domain import ExperimentId, Run, RunFacts, RunId, RunStatus

ensemble: Any = pytest.importorskip("sklearn.ensemble")
linear: Any = pytest.importorskip("sklearn.linear_model")
pipeline: Any = pytest.importorskip("sklearn.pipeline")
preprocessing: Any = pytest.importorskip("sklearn.preprocessing")
tree: Any = pytest.importorskip("sklearn.tree")

HOSTILE = 'x\'"\\\n}]) + __import__(\'os\').abort() + """ {late!r} \u202e☃'
SKLEARN = "sklearn.linear_model._logistic.LogisticRegression"


def run(**changes: Any) -> Tracked:
    """A run of ours that was trained on `rows.parquet`; `changes` are fields of what is tracked, or of the run."""
    facts = RunFacts(
        id=RunId("ab" * 16),
        experiment_id=ExperimentId("1"),
        team_id=DEFAULT_TEAM,
        name="calm-newt",
        user=changes.pop("user", "ada"),
        status=RunStatus.FINISHED,
        started_at=Instant(0),
        artifact_uri="mlflow-artifacts:/1/x",
        created_by="usr_ada",
    )
    logged_to = Run(facts=facts, params=changes.pop("params", {}), tags=changes.pop("tags", {}))
    dataset = TrackedDataset(path="rows.parquet", context="training", target="late", digest=None)
    made: dict[str, Any] = {
        "experiment": "late",
        "datasets": (dataset,),
        "estimator": Call(name="LogisticRegression", module="sklearn.linear_model"),
    }
    return Tracked(run=logged_to, **made | changes)


def rows(**columns: Any) -> pl.DataFrame:
    """Rows with a target."""
    return pl.DataFrame({"distance": [float(number) for number in range(60)], "late": [number % 2 for number in range(60)], **columns})


def plan(found: Tracked, folder: Path, frame: pl.DataFrame | None = None, **words: Any) -> tuple[Plan, Learned]:
    """What adopting the run, with those rows, writes into `folder`."""
    (rows() if frame is None else frame).write_parquet(folder.parent / "rows.parquet")
    learned = learned_rows(found, None, words.pop("target", ""), folder.parent)
    return planned(Asked(name="mine", risk=words.pop("risk", RiskTier.HIGH), folder=folder), found, learned), learned


def module(text: str) -> ModuleType:
    """A written module, as Python has it."""
    made = ModuleType("models")
    exec(compile(text, "models.py", "exec"), made.__dict__)  # noqa: S102 - this is what the test is about
    return made


@pytest.mark.parametrize(
    "estimator",
    [
        linear.LogisticRegression(C=0.5, max_iter=300),
        pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression(C=np.float64(0.5))),
        LGBMClassifier(n_estimators=3, verbose=-1, random_state=None),
        ensemble.AdaBoostClassifier(tree.DecisionTreeClassifier(max_depth=2), n_estimators=3),
    ],
)
def test_an_estimator_is_written_as_it_was_made(estimator: Any, tmp_path: Path) -> None:
    tags = told(estimator)
    made = msgspec.json.decode(tags[MADE_TAG], type=Made)
    call = parsed(made.expression, made.modules)
    found, _ = plan(run(estimator=call), tmp_path / "p", rows(hub=["n", "s"] * 30))
    written_module = module(found.texts["models.py"])
    trained = written_module.mine(rows(hub=["n", "s"] * 30).with_columns(pl.col("hub").cast(pl.Enum(["n", "s"]))))
    assert str(trained.get_params()) == str(estimator.get_params()).replace("np.float64(0.5)", "0.5")
    assert getattr(written_module.mine, ATTRIBUTE).features is None


def test_autologged_params_become_keywords_without_the_defaults() -> None:
    params = {name: str(value) for name, value in linear.LogisticRegression(C=0.5, solver="liblinear").get_params().items()}
    assert logged(SKLEARN, params, {}).arguments == (("C", 0.5), ("solver", "liblinear"))
    other = dict(logged(SKLEARN, params, {"scikit-learn": "1.0.0"}).arguments)
    assert set(other) == set(params), "another version's defaults say nothing"
    boosted = {"num_boost_round": "7", "num_leaves": "9", "objective": "binary", "metric": "['binary']", "learning_rate": "0.1"}
    assert written(logged("lightgbm.sklearn.LGBMClassifier", boosted, {}), {}) == "LGBMClassifier(n_estimators=7, num_leaves=9)"
    nested = {"estimator": "DecisionTreeClassifier(max_depth=2)", "n_estimators": "3"}
    assert "estimator=DecisionTreeClassifier(max_depth=2)" in written(logged("sklearn.ensemble.AdaBoostClassifier", nested, {}), {})


NO_ESTIMATORS = (
    *("__import__('os')", "a.b()", "(lambda: 1)()", "C(*x)", "C(**{'a': 1})", "C(a=b)", "C(a=[x for x in y])", "1", "C(", "(" * 5000),
    *(f"{'LogisticRegression(a=' * 50}1{')' * 50}", "os(a=1)", "LogisticRegression(class_=D())", "LogisticRegression(__init__=1)"),
    *("fetch_file(url='http://x')", "LogisticRegression(memory='/tmp/x')"),
)


@pytest.mark.parametrize("expression", NO_ESTIMATORS)
def test_what_is_no_estimator_is_never_written(expression: str) -> None:
    with pytest.raises(NotWritable):
        parsed(expression, {"LogisticRegression": "sklearn.linear_model._logistic", "os": "os", "fetch_file": "sklearn.datasets"})


NO_CLASSES = (
    *("os.system", "sklearn", "", "sklearn.a b.C", "sklearn;import os.C", "xgboost.sklearn.XGBClassifier", "sklearn.datasets.fetch_file"),
    *(
        "sklearn.utils.Bunch",
        "sklearn.datasets._base.Bunch",
        "lightgbm.Booster",
        "lightgbm.basic.Dataset",
        "sklearn.pipeline.make_pipeline",
    ),
)


@pytest.mark.parametrize("path", NO_CLASSES)
def test_a_class_of_another_library_is_not_imported(path: str) -> None:
    with pytest.raises(NotWritable):
        public_module(path)


def test_nothing_of_a_run_becomes_code(tmp_path: Path) -> None:
    call = Call(name="LogisticRegression", module="sklearn.linear_model", arguments=(("solver", HOSTILE), ("C", float("inf"))))
    params, tags = {HOSTILE: HOSTILE, "late): abort()#": "1"}, {NOTE_TAG: HOSTILE, CLASS_TAG: HOSTILE}
    hostile = run(user=HOSTILE, tags=tags, params=params, estimator=call)
    frame = rows(**{HOSTILE: ["a", None] * 30, "numbers": [1] * 60})
    for tracked in (hostile, run(params=params, estimator=None, why_not=HOSTILE, user=HOSTILE)):
        found, _ = plan(tracked, tmp_path / "p", frame)
        declaration = getattr(module(found.texts["models.py"]).mine, ATTRIBUTE)
        assert [field.name for field in declaration.request] == ["distance", HOSTILE, "numbers"]
        assert declaration.owner == " ".join(HOSTILE.split())
        for text in (found.texts["models.py"], found.texts["test_models.py"]):
            called = {node.func.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
            assert not called & {"abort", "__import__"}
        assert set(tomllib.loads(found.texts["pyproject.toml"])["project"]) == {"name", "version", "requires-python", "dependencies"}


def test_the_strictest_tier_and_a_sentence_to_fill_in_are_the_defaults(tmp_path: Path) -> None:
    found, _ = plan(run(), tmp_path / "p")
    text = found.texts["models.py"]
    assert 'risk="high"' in text
    assert "Choose limited or minimal" in text
    assert getattr(module(text).mine, ATTRIBUTE).purpose.startswith("Say here what late is predicted for")
    limited, _ = plan(run(), tmp_path / "p", risk=RiskTier.LIMITED)
    assert "Choose limited" not in limited.texts["models.py"]


def test_the_test_that_is_written_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = rows(hub=["n", "s"] * 30, ok=[True, False] * 30, count=[3] * 60)
    found, _ = plan(run(), tmp_path / "p", frame)
    monkeypatch.setitem(sys.modules, "models", module(found.texts["models.py"]))
    module(found.texts["test_models.py"]).test_it_learns_and_answers_every_row()


def test_a_place_to_fill_in_says_so_when_it_is_called(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as source:
        source.addfile(tarfile.TarInfo("train.py"))
    unknown = run(
        estimator=None, why_not="it does not say what its estimator was", params={"depth": "6", "rate": "0.5"}, source=archive.getvalue()
    )
    found, learned = plan(unknown, tmp_path / "p")
    with pytest.raises(NotImplementedError, match=FILL_IN):
        module(found.texts["models.py"]).mine(rows(), depth=3, rate=0.1)
    assert "recorded" in found.texts["models.py"]
    assert "recorded/" in write(found, learned)
    assert (tmp_path / "p" / "recorded" / "train.py").is_file()
    assert (tmp_path / "p" / "uv.lock").is_file()
    assert pl.read_parquet(tmp_path / "p" / "data" / "rows.parquet").equals(rows())


def test_a_recorded_source_that_leads_outside_is_refused(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as source:
        source.addfile(tarfile.TarInfo("../../outside.py"))
    found, learned = plan(run(estimator=None, source=archive.getvalue()), tmp_path / "p")
    with pytest.raises(ModelyardError):
        write(found, learned)
    assert not list(tmp_path.rglob("outside.py"))


def test_a_project_gets_one_module_more_and_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "modelyard.toml").write_text('[server]\nport = 1\n\n[project]\nmodels = [\n  "models",\n]  # ours\n')
    found, learned = plan(run(), folder)
    assert set(write(found, learned)) == {"models_mine.py", "test_models_mine.py", "data/rows.parquet", "modelyard.toml"}
    assert tomllib.loads((folder / "modelyard.toml").read_text()) == {
        "server": {"port": 1},
        "project": {"models": ["models", "models_mine"]},
    }
    with pytest.raises(ProjectExists):
        plan(run(), folder)
    (folder / "models_mine.py").unlink()
    with pytest.raises(ProjectExists):
        plan(run(), folder)


TARGETS: dict[str, tuple[dict[str, Any], str, str]] = {
    "near": ({}, "lat", "did you mean late?"),
    "unknown": ({"datasets": (TrackedDataset(path="rows.parquet", context="", target="", digest=None),)}, "", "--target COLUMN"),
    "nowhere": ({"datasets": (TrackedDataset(path="gone.parquet", context="", target="", digest=None),)}, "", "--rows FILE"),
    "in memory": ({"datasets": (TrackedDataset(path="", context="", target="late", digest=None),)}, "", "--rows FILE"),
    "none": ({"datasets": ()}, "", "--rows FILE"),
    "text": ({}, "hub", "0 and 1"),
    "several": ({"estimator": Call(name="DecisionTreeClassifier", module="sklearn.tree")}, "distance", "one probability"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_what_the_run_does_not_say_is_asked_for(case: str, tmp_path: Path) -> None:
    changes, target, said = TARGETS[case]
    with pytest.raises(NotAdoptable) as refused:
        plan(run(**changes), tmp_path / "p", rows(hub=["n", "s"] * 30), target=target)
    assert said in refused.value.hint


def test_the_inputs_are_those_of_the_runs_model_and_the_rows_are_held_against_their_digest(tmp_path: Path) -> None:
    frame = rows(id=list(range(60)), day=[None] * 60)
    dataset = TrackedDataset(path="rows.parquet", context="training", target="", digest=digest_frame(frame))
    _, learned = plan(run(inputs=("distance",), datasets=(dataset,)), tmp_path / "p", frame, target="late")
    assert (learned.inputs, learned.task) == ((("distance", "float64"),), "binary")
    assert "by their digest" in learned.assumed[0]
    _, learned = plan(run(inputs=("distance",), datasets=(dataset,)), tmp_path / "p", target="")
    assert "others by now" in learned.assumed[0]
    assert learned.label == "late"


def test_a_number_is_learned_as_one(tmp_path: Path) -> None:
    found, learned = plan(run(estimator=Call(name="Ridge", module="sklearn.linear_model")), tmp_path / "p", target="distance")
    assert (learned.task, getattr(module(found.texts["models.py"]).mine, ATTRIBUTE).task) == ("regression", "regression")


@pytest.mark.parametrize(
    "content", ["", "a: [", "- 1", "signature: 3", "signature: {inputs: '{'}", "flavors: x", "!!python/object/apply:os.abort []"]
)
def test_a_model_file_that_says_nothing_useful_is_no_harm(content: str) -> None:
    assert model_said(content) == ((), "")


def test_a_model_file_names_inputs_and_class() -> None:
    content = 'flavors: {lightgbm: {model_class: lightgbm.sklearn.LGBMClassifier}}\nsignature: {inputs: \'[{"name": "a"}]\'}'
    assert model_said(content) == (("a",), "lightgbm.sklearn.LGBMClassifier")
