"""How headers are read before anything is decided by them."""

import pytest

from modelyard.access.domain import BadOrigin
from modelyard.access.middleware import header_texts


@pytest.mark.parametrize("name", [b"Host", b"origin", b"Authorization"])
def test_a_header_that_decides_is_given_once(name: bytes) -> None:
    with pytest.raises(BadOrigin, match="two headers"):
        header_texts([(name, b"one"), (name.lower(), b"two")])
    assert header_texts([(b"Cookie", b"a=1"), (b"cookie", b"b=2")]) == {"cookie": "a=1; b=2"}
