"""A writer as a process of its own, and small, so that sixteen fit beside a server.

`python -S writing.py URL WRITER ROUNDS ACKNOWLEDGED RUN...` posts points one by one and in batches until its rounds are over or the
server is gone, and notes in the file ACKNOWLEDGED each round that was answered.
"""

import http.client
import json
import sys
from typing import Any

API = "/api/2.0/mlflow/"
KEYS = 5


def main() -> None:
    """Writes."""
    address, number, rounds, acknowledged, *runs = sys.argv[1:]
    writer = int(number)
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    with open(acknowledged, "w", encoding="ascii") as noted:  # noqa: PTH123 - pathlib would double this process's start
        for n in range(int(rounds)):
            value = writer * 1_000_000 + n
            point = {"run_id": runs[n % len(runs)], "key": "shared", "value": value, "timestamp": value, "step": n}
            points = [{"key": f"k{k}", "value": value, "timestamp": value, "step": k} for k in range(KEYS)]
            params = [{"key": f"p{writer}", "value": "x"}] if n == 0 else []
            batch = {"run_id": runs[0], "metrics": points, "params": params, "tags": [{"key": "t", "value": str(value)}]}
            try:
                for path, body in (("runs/log-metric", point), ("runs/log-batch", batch)):
                    post(connection, path, body)
            except (OSError, http.client.HTTPException):
                return
            noted.write(f"{n}\n")
            noted.flush()


def post(connection: http.client.HTTPConnection, path: str, body: Any) -> None:
    """One call. Raises SystemExit where it is refused, OSError or HTTPException where the server is gone."""
    connection.request("POST", API + path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise SystemExit(content.decode())


if __name__ == "__main__":
    main()
