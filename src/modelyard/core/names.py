"""Names: which are allowed, which known one is nearest to a wrong one, and several of them in a sentence."""

import difflib
import re
from collections.abc import Iterable, Sequence

from modelyard.core.errors import InvalidInput

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,119}")


def checked_name(text: str, what: str) -> str:
    """`text` where it is a name: a letter, then letters, digits, `_`, `.` or `-`, at most 120. Raises InvalidInput.

    >>> checked_name("late_arrival", "model")
    'late_arrival'
    """
    if not NAME.fullmatch(text) or ".." in text:
        raise InvalidInput(
            f"{text[:60]!r} is no name for {'an' if what[0] in 'aeiou' else 'a'} {what}",
            hint="begin with a letter, then use letters, digits, '_', '.' or '-', at most 120 characters",
        )
    return text


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names as a sentence counts them up.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"], "or")
    ('a', 'a and b', 'a, b or c')
    """
    return f" {last} ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def nearest(text: str, known: Iterable[str]) -> str:
    """A hint that names the known words nearest to `text`, or lists a few where none is near.

    >>> nearest("late_arival", ["late_arrival", "churn"])
    'did you mean late_arrival?'
    """
    words = sorted(set(known))
    near = difflib.get_close_matches(text, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(words[:8])}{', …' if len(words) > 8 else ''}" if words else "there is none yet"
