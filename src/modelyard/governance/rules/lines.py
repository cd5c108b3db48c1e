"""The text files of a bundle: the manifest, and the log's lines with their proofs. Owns their form."""

import base64
from collections.abc import Mapping, Sequence

import msgspec

from modelyard.core.digests import canonical_json
from modelyard.governance.domain import BadBundle


class ManifestLine(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a bundle by its SHA-256, in hexadecimal."""

    path: str
    sha256: str


class LoggedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of `log/entries.ndjson`: an entry's index, its leaf, and the hashes that lead to the checkpoint's root, in base64."""

    index: int
    leaf: str
    proof: tuple[str, ...]


class ConsistencyFrom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proof that the log of `first` entries begins the bundle's log, in base64 (RFC 6962, section 2.1.2)."""

    first: int
    proof: tuple[str, ...]


class Consistency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`log/consistency.json`: the bundle's log of `second` entries grew out of each checkpoint that auditors were given."""

    second: int
    proofs: tuple[ConsistencyFrom, ...]


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """What a leaf says that a bundle needs; it says more."""

    seq: int
    type: str
    subject: str
    digest: dict[str, str] = {}


def manifest_text(digests: Mapping[str, str]) -> bytes:
    """The manifest, as `sha256sum` writes it, in the order of the paths.

    >>> manifest_text({"a.json": "00ff"})
    b'00ff  a.json\\n'
    """
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()


def parsed_manifest(content: bytes) -> tuple[ManifestLine, ...]:
    """The lines of a manifest.

    >>> [one.path for one in parsed_manifest(manifest_text({"a.json": "00ff"}))]
    ['a.json']
    """
    lines = (line.partition("  ") for line in content.decode().splitlines())
    return tuple(ManifestLine(path=path, sha256=digest) for digest, _, path in lines)


def logged_lines(found: Sequence[LoggedFile]) -> bytes:
    """The file `log/entries.ndjson`."""
    return b"".join(canonical_json(msgspec.to_builtins(one)) + b"\n" for one in found)


def consistency_text(found: Consistency) -> bytes:
    """The file `log/consistency.json`."""
    return canonical_json(msgspec.to_builtins(found)) + b"\n"


def parsed_lines(content: bytes) -> tuple[LoggedFile, ...]:
    """The lines of `log/entries.ndjson`. Raises BadBundle where they are not exactly as they are written."""
    try:
        found = tuple(msgspec.json.decode(line, type=LoggedFile) for line in content.splitlines())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadBundle(f"a line of the log is malformed: {error}") from error
    if logged_lines(found) != content:
        raise BadBundle("the log's lines are not in canonical form")
    return found


def parsed_consistency(content: bytes) -> Consistency:
    """What `log/consistency.json` holds. Raises BadBundle where it is not exactly as it is written."""
    try:
        found = msgspec.json.decode(content, type=Consistency)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadBundle(f"the consistency proofs are malformed: {error}") from error
    if consistency_text(found) != content:
        raise BadBundle("the consistency proofs are not in canonical form")
    return found


def parsed_leaf(leaf: bytes) -> Leaf:
    """What a leaf says. Raises BadBundle where it is no canonical JSON object with what is needed."""
    try:
        if canonical_json(msgspec.json.decode(leaf)) != leaf:
            raise BadBundle("a leaf is not in canonical form")
        return msgspec.json.decode(leaf, type=Leaf)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBundle(f"a leaf is malformed: {error}") from error


def encoded_hashes(path: Sequence[bytes]) -> tuple[str, ...]:
    """The hashes of a proof in base64."""
    return tuple(base64.b64encode(one).decode() for one in path)
