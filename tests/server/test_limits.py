"""What a request may cost before it is known who sends it, and what one caller may cost the others."""

from collections.abc import Iterator

import pytest

from modelyard.access.domain import Role
from tests.server.conftest import Running


def in_parts(content: bytes) -> Iterator[bytes]:
    """The same body without a length that is told beforehand."""
    yield from (content[start : start + 65_536] for start in range(0, len(content), 65_536))


@pytest.mark.parametrize(("path", "size"), [("/preferences/theme", 20_000), ("/login", 20_000), ("/logout", 200_000)])
@pytest.mark.parametrize("is_told", [True, False], ids=("with a length", "in parts"))
def test_a_form_is_small(running: Running, path: str, size: int, *, is_told: bool) -> None:
    content = b"a=b&" * (size // 4)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with running.client(Role.VIEWER if path == "/logout" else None) as client:
        answer = client.post(path, content=content if is_told else in_parts(content), headers=headers)
    assert answer.status_code == 413
