"""Archives of source from outside: nothing leads out of the folder, nothing grows, and only files are in them."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.core.errors import InvalidInput
from modelyard.delivery.sources import MOST_FILES, MOST_TOTAL_BYTES, BadSource, opened_source, source_archive, unpack_source


def packed(*members: tarfile.TarInfo) -> bytes:
    """An archive of those members, each a file of one byte where it is one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            member.size = 1 if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"x"))
    return buffer.getvalue()


def named(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


HOSTILE = {
    "a path upward": named("../outside"),
    "a path that turns": named("a/../../outside"),
    "a link out": named("link", tarfile.SYMTYPE, "/etc/passwd"),
    "a link within": named("link", tarfile.SYMTYPE, "models.py"),
    "a hard link": named("link", tarfile.LNKTYPE, "../outside"),
    "a device": named("null", tarfile.CHRTYPE),
    "a pipe": named("pipe", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE)
def test_a_member_that_leads_outside_or_is_no_file_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    with pytest.raises(BadSource):
        unpack_source(packed(named("models.py"), member), tmp_path / "source")
    assert {path.name for path in tmp_path.rglob("*")} <= {"source", "models.py"}


def test_an_absolute_name_lands_below_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    unpack_source(packed(named(str(outside))), tmp_path / "source")
    assert not outside.exists()


def test_a_project_of_more_files_than_can_be_unpacked_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "models.py").touch()
    for number in range(MOST_FILES):
        (tmp_path / str(number)).touch()
    with pytest.raises(InvalidInput, match="holds 50001 files of source; 50000 is the most") as refused:
        source_archive(tmp_path)
    assert "have git ignore it" in refused.value.hint


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=lambda one: str(one.__module__))
def test_a_compressed_archive_is_none(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadSource, match="no tar archive"):
        unpack_source(compress(packed(named("models.py"))), tmp_path / "source")


def test_a_sparse_file_does_not_grow_beyond_the_bound() -> None:
    sparse = named("models.py")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(MOST_TOTAL_BYTES + 1)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        content = b"0\n".ljust(512, b"\0")
        sparse.size = len(content)
        archive.addfile(sparse, io.BytesIO(content))
    with pytest.raises(BadSource, match="beyond"):
        opened_source(buffer.getvalue())


def test_what_apply_sends_is_unpacked_as_it_was(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "inner").mkdir(parents=True)
    (project / "inner" / "models.py").write_text("x = 1\n")
    unpack_source(source_archive(project), tmp_path / "source")
    assert (tmp_path / "source" / "inner" / "models.py").read_text() == "x = 1\n"
