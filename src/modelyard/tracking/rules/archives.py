"""What a source archive holds, read in memory within bounds: its files by path. Owns no lookup."""

import io
import posixpath
import tarfile

MOST_FILES = 20_000
MOST_BYTES = 50_000_000


def archived_files(archive: bytes) -> dict[str, bytes] | None:
    """The regular files of an uncompressed tar archive by path; None where it is none, or holds more than is looked at here.

    Nothing is unpacked: a path is a key, wherever it leads.
    """
    files: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            for count, member in enumerate(opened, 1):
                total += member.size
                if total > MOST_BYTES or count > MOST_FILES:
                    return None
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    continue
                content = opened.extractfile(member)
                files[posixpath.normpath(member.name)] = content.read() if content else b""
    except (tarfile.TarError, EOFError, ValueError, RecursionError):
        return None
    return files
