"""SciPy's special functions, for those who test. Owns when they are loaded."""

from typing import Any


def special() -> Any:
    """The functions, loaded at the first test: they take 0.2 s of a role's start, and many roles never test."""
    import scipy.special

    return scipy.special
