"""Whose a row is: every table says it by `team_id`, but for those that are listed here, each with its reason."""

from modelyard.storage.schema import METADATA

CHILDREN = {
    "access_link": "the account's",
    "access_password": "the account's",
    "access_session": "the account's",
    "access_token": "the account's; which teams it reaches stands in its roles",
    "delivery_stages": "the delivery's",
    "feature_push_keys": "the pushed source's",
    "feature_push_heads": "the pushed source's",
    "feature_pushes": "the pushed source's",
    "ledger_personal": "the entry's",
    "optuna_reports": "the study's, by way of its trial",
    "optuna_studies": "the study's, which names it",
    "optuna_trials": "the study's",
    "registry_alias": "the model's",
    "registry_alias_move": "the model's",
    "registry_deprecation": "the version's",
    "registry_former_name": "a name of the whole installation: whoever has it next goes on counting",
    "registry_hold": "the version's",
    "registry_logged_source": "the version's",
    "registry_note": "the version's",
    "registry_state": "the version's",
    "registry_webhook_dispatch": "the webhook's",
    "registry_tag": "the model's or the version's",
    "serving_switch": "the revision's: when each gateway took it over",
}
OF_THE_INSTALLATION = {
    "access_account": "a person may be in several teams, by roles",
    "access_team": "a team itself",
    "access_throttle": "failed logins are counted before anybody is known",
    "event_cursors": "how far a part of the product has read all events",
    "idempotency_answer": "a caller's own note of what it was answered; read by nobody else",
    "ledger_checkpoints": "one log for the installation",
    "ledger_sequencer": "one log for the installation",
    "ledger_tiles": "one log for the installation",
    "registry_artifact": "content by its digest: the same whoever registers it, and read by way of a version",
    "replay_clock": "one time for the installation",
    "serving_gateway": "a gateway serves every team's models",
    "serving_gateway_numbers": "the revision numbers that a gateway was lent, for any model",
    "serving_seal": "all gateways seal at once",
    "serving_segment": "a segment holds the predictions of all models of its gateway; the rows in it name their model",
    "serving_table_lease": "one prediction log for the installation",
}


def test_every_row_is_a_teams_unless_there_is_a_reason(every_table: None) -> None:
    owned = {name for name, table in METADATA.tables.items() if "team_id" in table.c}
    assert set(METADATA.tables) - owned == CHILDREN.keys() | OF_THE_INSTALLATION.keys()
    assert [name for name in sorted(owned) if METADATA.tables[name].c.team_id.nullable] == []
