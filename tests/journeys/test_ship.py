"""From a folder with data and one file of declarations to an answer from the gateway, by the installed command alone."""

import json
import subprocess

import pytest

from tests.journeys.project import MODELS, YARD, Mine

pytestmark = pytest.mark.xdist_group("journeys")


def states(shipped: dict[str, object]) -> dict[str, str]:
    """Each stage's state."""
    stages = shipped["stages"]
    assert isinstance(stages, list)
    return {stage["name"]: stage["state"] for stage in stages}


PAGES = (
    "/models/late",
    "/models/late/versions/1",
    "/serving/late",
    "/monitoring/late",
    "/features/weather",
    "/features/on-demand/delay_a_mile",
    "/deliveries",
    "/approvals",
)


def check_pages(mine: Mine) -> None:
    """Every page about the model is there, and MLflow's clients find it in the registry."""
    with mine.client(mine.url) as control:
        found = {path: control.get(path, headers={"Accept": "text/html"}).status_code for path in PAGES}
        assert found == dict.fromkeys(PAGES, 200)
        assert control.get("/api/2.0/mlflow/registered-models/get", params={"name": "late"}).status_code == 200


def check_commands(mine: Mine) -> None:
    """What commands say of a live model; they find the servers by the project's data folder."""
    status = mine.yard("status", "late")
    endpoints = status["endpoints"]
    assert isinstance(endpoints, list)
    assert endpoints[0]["live"]["revision"]["traffic"]["champion"] == 1
    assert (status["alerts"], status["approvals"]) == ([], [])
    read = mine.yard("features", "get", "late", "origin=JFK,distance=500")
    columns = read["columns"]
    assert isinstance(columns, dict)
    assert columns["delay_mean_7d"][0] is not None, read
    assert columns["delay_a_mile"] == [2.0 * columns["delay_mean_7d"][0] / 500], read
    joined = mine.yard("features", "join", "late", "flights.parquet", "--as-of", "scheduled_at", "--out", "joined.parquet")
    assert joined["rows"] == 4000
    assert mine.yard("log", "labels", "late", "flights.parquet")["accepted"] == 4000
    error = mine.yard("rollback", "late", code=1)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "nothing_to_roll_back_to"
    findings = subprocess.run([*YARD, "doctor", "--json"], cwd=mine.folder, capture_output=True, text=True, check=True).stdout
    assert {one["state"] for one in json.loads(findings)} == {"good"}, findings


def check_audit(mine: Mine) -> None:
    """A dossier of the released version, held by its bundle alone against what was given before; a second one goes nowhere else."""
    mine.yard("trust", "--out", "trust.json")
    made = mine.yard("dossier", "late/champion", "--out", "audit")["dossier"]
    assert isinstance(made, dict)
    verified = mine.yard("verify", "audit", "--trust", "trust.json")
    assert verified["verified"], verified
    bundle = mine.folder / "audit"
    assert (bundle / "dossier.pdf").read_bytes().startswith(b"%PDF")
    answers = {one["id"]: one["status"] for one in json.loads((bundle / "dossier.json").read_bytes())["requirements"]}
    assert answers["SS123-1.2"] == "met", "what was released has a history"
    assert made["met"] == sum(status == "met" for status in answers.values())
    for words in (("dossier", "late/1", "--out", "audit"), ("trust", "--out", "trust.json")):
        assert "error" in mine.yard(*words, code=1)
    (bundle / "model" / "model.txt").write_bytes(b"another")
    assert not mine.yard("verify", "audit", "--trust", "trust.json", code=1)["verified"]


def note_importers(mine: Mine) -> None:
    """Has the project's file tell by which command each process runs that imports it."""
    models, noted = mine.folder / "models.py", mine.folder / ".yard" / "importers.txt"
    telling = f'import sys\nwith open({str(noted)!r}, "a") as importers:\n    importers.write(" ".join(sys.orig_argv) + "\\n")\n'
    models.write_text(telling + models.read_text())


def check_importers(mine: Mine) -> None:
    """Children alone have imported the project's file: no server, gateway, worker or command."""
    told = (mine.folder / ".yard" / "importers.txt").read_text().splitlines()
    assert len(told) > 1
    assert [one for one in told if " -m modelyard.sdk.child " not in one] == []


def test_one_command_takes_a_model_from_raw_data_to_an_answer(mine: Mine) -> None:
    note_importers(mine)
    shipped = mine.yard("ship", "late", "--until", "roll_out")
    check_importers(mine)
    found = states(shipped)
    assert [found.pop("watch"), *dict.fromkeys(found.values())] == ["skipped", "done"], shipped
    rows = [{"origin": "JFK", "distance": 500, "hour": 14}, {"origin": "LGA", "distance": 900, "hour": 20}]
    with mine.client(mine.url) as control, mine.client(mine.gateway) as gateway:
        brought = control.post("/api/v1/feature-materializations", json={}).json()
        assert {one["view"] for one in brought} == {"weather", "delays"}
        answer = gateway.post("/predict/late", json={"rows": rows}).json()
        assert (answer["model"], answer["version"]) == ("late", 1)
        assert all(0.0 <= one["value"] <= 1.0 for one in answer["predictions"])
        read = gateway.post("/features/late", json={"rows": [{"origin": "LGA", "distance": 900}]}).json()["rows"][0]
        assert read["delay_a_mile"] == read["delay_mean_7d"] / 900
        verified = control.post("/api/v1/ledger/verification", json={"known": []}).json()
    assert verified["findings"] == [], verified
    check_pages(mine)
    check_audit(mine)
    check_commands(mine)
    # A second version whose gate fails is refused, says which gate, and leaves the first one live.
    (mine.folder / "models.py").write_text(MODELS.replace("GATE", "0.5"))
    refused = mine.yard("ship", "late", code=3)
    assert states(refused)["challenge"] == "refused", refused
    with mine.client(mine.gateway) as gateway:
        assert gateway.post("/predict/late", json={"rows": rows}).json()["version"] == 1
