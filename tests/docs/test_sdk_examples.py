"""The examples of docs/sdk.md run, in their order, in an empty folder without a server."""

import re
import subprocess
import sys
from pathlib import Path

from modelyard.sdk.tracking.spool import SPOOLS
from modelyard.tracking.spooled import Ended, Input, Resumed, Started
from tests.sdk.conftest import batches

GUIDE = Path(__file__).resolve().parents[2] / "docs/sdk.md"


def test_the_examples_run_and_leave_their_runs(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL))
    (tmp_path / "train.py").write_text(code)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("modelyard: run ") == 2  # where the one that is not quiet is logged, and that it waits
    spools = [batches(one) for one in sorted((tmp_path / ".yard" / SPOOLS).iterdir())]
    assert [type(one[0].record) for one in spools] == [Started, Started, Started, Resumed, Started]
    assert [one[-1].record.status for one in spools if isinstance(one[-1].record, Ended)] == ["FINISHED"] * 5
    assert [one.record.dataset.dataset.name for one in spools[-1] if isinstance(one.record, Input)] == ["flights"]
