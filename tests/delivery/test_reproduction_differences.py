"""What was not as recorded, in words: files of two archives of source, packages of two locks, and what surrounds a training."""

from pathlib import Path

import pytest

from modelyard.core.errors import InvalidInput
from modelyard.delivery.domain import Ingredient, Swaps
from modelyard.delivery.rebuilding.comparison import compared
from modelyard.delivery.rebuilding.differences import file_differences, library_differences, surrounding_differences, told
from modelyard.delivery.reproductions import checked_swaps
from modelyard.delivery.sources import source_archive


def archive(folder: Path, **files: str) -> bytes:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return source_archive(folder)


def test_each_file_that_changed_came_or_went_is_named_but_not_the_lock(tmp_path: Path) -> None:
    before = archive(tmp_path / "before", **{"models.py": "1", "old.py": "", "same.py": "", "uv.lock": "1"})
    after = archive(tmp_path / "after", **{"models.py": "2", "new.py": "", "same.py": "", "uv.lock": "2"})
    (found,) = file_differences(before, after)
    assert found.ingredient is Ingredient.CODE
    assert found.said == "models.py has other content, new.py is new, old.py is gone"
    assert file_differences(before, before) == []


@pytest.mark.parametrize("place", ["data/rows.csv", "data", "data/*.csv"])
def test_data_in_the_source_is_no_code(tmp_path: Path, place: str) -> None:
    before, after = (archive(tmp_path / name, **{"models.py": "1", "data/rows.csv": name}) for name in ("before", "after"))
    assert len(file_differences(before, after, besides=[])) == 1
    assert file_differences(before, after, besides=[place]) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b"a==1 \\\n    --hash=x\nB_c==2\n", b"a==3 \\\n    --hash=y\nb-c==2\n", "a 3 instead of 1"),
        (b"a==1\nb==2\n", b"a==1\nc==1\n", "b is gone, c 1 is new"),
        (b"n==1 ; python_full_version < '3.12'\nn==2 ; python_full_version >= '3.12'\n", b"n==1\n", "n 1 instead of 1 or 2"),
        (b"a==1 \\\n    --hash=x\n", b"a==1 \\\n    --hash=y\n", "the same versions, of which some come in other files"),
        (b"".join(b"p%d==1\n" % one for one in range(7)), b"", "p0 is gone, p1 is gone, p2 is gone, p3 is gone, p4 is gone and 2 more"),
    ],
)
def test_each_package_that_changed_is_named_with_both_versions(before: bytes, after: bytes, said: str) -> None:
    assert [one.said for one in library_differences(before, after)] == [said]


def test_another_python_and_another_processor_are_named() -> None:
    around = {
        "Modelyard's own package": compared("Modelyard's own package", "sha256:a", "sha256:a", decides=False),
        "Python": compared("Python", "3.11.7", "3.12.1", decides=False),
        "processor": compared("processor", "", "x86_64 GenuineIntel 6 207", decides=False),
    }
    found = surrounding_differences(around)
    assert told(found) == (
        "not as recorded: Python (Python 3.12.1 instead of 3.11.7), "
        "processor (processor x86_64 GenuineIntel 6 207 instead of one that was not recorded); "
    )
    assert told(()) == ""


@pytest.mark.parametrize("package", ["lightgbm", "lightgbm>=4", "lightgbm==4 ; true", "-r==1", "a==1\nb==2", "git+https://x==1"])
def test_a_package_is_swapped_by_its_version_alone(package: str) -> None:
    with pytest.raises(InvalidInput, match="names no version"):
        checked_swaps(Swaps(packages=(package,)))
