"""The text that lies beside an export and says what is what. Owns the words alone."""

README = """# An export of Modelyard

Everything in this folder can be read without Modelyard. `manifest.json` lists every file with its size and SHA-256, and
counts what the files hold. Times are UTC, in microseconds; in JSON they are whole numbers since 1970.

Experiments, each in `experiments/ID/`:
- `experiment.json`: its name and tags, and whether it is in the bin.
- `runs-N.parquet`: the facts of up to 200 runs, a row each.
- `runs-N.jsonl`: the same runs in full, a line each: facts, latest metrics, params, tags, datasets, logged models, files by
  digest, and for each metric how many points it has and their digest.
- `params-N.parquet` and `tags-N.parquet`: `run_id`, `key`, `value`.
- `points-N-M.parquet`: every point of every metric as `run_id`, `key`, `step`, `at`, `value`. NaN is NaN; an infinity is
  the largest double.
- `artifacts/RUN/`: the files of a run. A file that has the name of a folder ends in `.file`.
- `logged-models-N.jsonl`: logged models with params, tags and metrics, a line each; `logged-models/MODEL/`: their files.

Registered models, each in `models/NAME/`:
- `model.json`: its tags, its aliases, and every move of its aliases.
- `NUMBER/version.json`: a version: what it came from, metrics, signature, states, tags, description, stage, source.
- `NUMBER/files/`: its files as they were registered, where they are kept.

To check the folder: `jq -r '.files[] | "\\(.sha256)  \\(.path)"' manifest.json | sha256sum -c`
"""
