"""A source's rows in the one shape that joins and materialization read."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.features.rows import source_files, source_rows
from tests.features.conftest import WEATHER, at


@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_minus_zero_is_read_as_zero_however_many_rows_there_are(tmp_path: Path, count: int) -> None:
    wind = pl.Series("wind_speed", [-0.0, None, np.nan, -1.5][: max(count, 1)] * count, dtype=pl.Float64)[: 4 * count]
    table = pl.DataFrame({"origin": "JFK", "time_hour": [at(0)] * wind.len(), "wind_speed": wind, "sky": "clear"})
    table.write_parquet(tmp_path / "weather.parquet")
    files = source_files(WEATHER.source, tmp_path)
    found = source_rows(WEATHER, files).collect()["wind_speed"]
    assert found.null_count() == wind.null_count()
    assert found.drop_nulls().filter(found.drop_nulls() == 0).len() == (wind == 0).sum()
    assert not np.signbit(found.filter(found == 0).to_numpy()).any()
