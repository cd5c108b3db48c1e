"""A peer of the point-in-time join: Feast with its DuckDB store, creation cut-off on. Prints one JSON object.

    python bench/feast_join.py FOLDER

It runs in an environment of its own, for Feast brings its own pins: `pip install 'feast[duckdb]'`. FOLDER holds the
`features.parquet` and `labels.parquet` of `bench/features.py`, which calls this where it is given such an interpreter.
"""

import json
import resource
import sys
import tempfile
import time
import warnings
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

NAMES = [f"f{index}" for index in range(1, 6)]


def joined(folder: Path, scratch: Path) -> dict[str, object]:
    """Declares the view anew, joins, and says how long the join alone took."""
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(scratch / "registry.db"),
            online_store={"type": "sqlite", "path": str(scratch / "online.db")},
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=scratch,
        )
    )
    entity = Entity(name="entity_id", join_keys=["entity_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="rows",
        path=str(folder.absolute() / "features.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    schema = [Field(name=name, dtype=Float64) for name in NAMES]
    view = FeatureView(name="view", entities=[entity], ttl=timedelta(days=7), source=source, schema=schema)
    store.apply([entity, source, view])
    labels = pq.read_table(folder / "labels.parquet").to_pandas()
    begun = time.perf_counter()
    asked = store.get_historical_features(entity_df=labels, features=[f"view:{name}" for name in NAMES], filter_by_created_timestamp=True)
    rows = asked.to_arrow().num_rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": round(time.perf_counter() - begun, 2), "peak_gib": round(peak, 2), "rows": rows}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(joined(Path(sys.argv[1]), Path(made))))
