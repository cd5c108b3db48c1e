"""JSON pointers (RFC 6901) into the files of a bundle. Owns how one is followed."""

import re
from typing import Any

import msgspec

from modelyard.governance.domain import BadBundle, BadEnvelope
from modelyard.governance.rules.envelopes import Envelope, decoded

INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def document_of(path: str, content: bytes) -> Any:
    """What pointers into that file lead through: an attestation's statement, the list of a file's lines, or the JSON itself.

    Raises BadBundle for a file that is none of these.
    """
    try:
        if path.endswith(".dsse.json"):
            return msgspec.json.decode(decoded(msgspec.json.decode(content, type=Envelope).payload))
        if path.endswith(".ndjson"):
            return [msgspec.json.decode(line) for line in content.splitlines()]
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadEnvelope, RecursionError) as error:
        raise BadBundle(f"{path} holds nothing that a pointer leads into: {error}") from error


def pointed(document: Any, pointer: str) -> Any:
    """What stands at the pointer. Raises BadBundle where it leads nowhere.

    >>> pointed({"a": [{"b/c": 1}]}, "/a/0/b~1c")
    1
    """
    if pointer and not pointer.startswith("/"):
        raise BadBundle(f"{pointer[:60]!r} is no JSON pointer")
    at = document
    for part in pointer.split("/")[1:]:
        word = part.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict) and word in at:
            at = at[word]
        elif isinstance(at, list) and INDEX.fullmatch(word) and int(word) < len(at):
            at = at[int(word)]
        else:
            raise BadBundle(f"{pointer[:120]!r} leads nowhere: there is no {word[:40]!r}")
    return at
