"""The list of errors is held against the classes themselves, and its reading of the source against a made-up one."""

import ast
import importlib
from collections.abc import Iterator

from modelyard.core.errors import EXIT_CODE, HTTP_STATUS, Kind, ModelyardError
from tools import docs, errors

ROWS = docs.table(errors.TARGET.read_text("utf-8"))
MADE_UP = '''
class RunIsLost(NotFound):
    """The run is lost.

    More.
    """

class NotFound(ModelyardError):
    """No such thing."""

    kind = Kind.MISSING

class Unrelated(Exception):
    """Nothing of ours."""

def look(run, name):
    if name:
        raise RunIsLost("a", hint=f"yard runs {name}")
    raise NotFound(f"no {run}", hint=near(run))
'''


def _below(kind: type[ModelyardError]) -> Iterator[type[ModelyardError]]:
    for one in kind.__subclasses__():
        yield from (one, *_below(one))


def test_every_error_of_the_running_code_has_its_row() -> None:
    for name in ("server.app", "serving.gateway.run", "cli.running", "delivery.stages"):
        importlib.import_module(f"modelyard.{name}")
    found = {one for one in _below(ModelyardError) if one.__module__.startswith("modelyard.") and one.__name__ not in errors.OTHERS_CODES}
    assert len(found) > 100
    for one in found:
        code = one("").code
        assert ROWS[code][0] == one.kind
        assert ROWS[code][1] == str(errors.STATUS.get(one.__name__, HTTP_STATUS[one.kind]))
        assert ROWS[code][2] == str(errors.EXIT.get(one.__name__, EXIT_CODE[one.kind]))


def test_a_kind_comes_from_the_base_and_a_hint_from_where_the_error_is_raised() -> None:
    modules = [ast.parse(MADE_UP)]
    found = errors.classes(modules)
    assert set(found) == {"NotFound", "RunIsLost"}
    assert (errors.kind_of("RunIsLost", found), found["RunIsLost"].meaning) == (Kind.MISSING, "The run is lost.")
    assert errors.hints(modules, set(found)) == {"RunIsLost": "yard runs …"}
