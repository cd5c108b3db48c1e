"""Tuning's use cases: start, continue, stop and look at studies; and for workers, what may be taken up. Writes the ledger."""

from modelyard.tuning.service.claims import (
    Outcome,
    began_trial,
    claimed_trial,
    ended_trial,
    extended_trial,
    is_claimable,
    lost_trial,
    reported,
)
from modelyard.tuning.service.ending import counted
from modelyard.tuning.service.preparing import (
    broken_preparation,
    claimed_preparation,
    extended_preparation,
    given_back_preparation,
    prepared,
)
from modelyard.tuning.service.studies import get_study, latest_reports, list_studies, start_study, stop_study

__all__ = [
    "Outcome",
    "began_trial",
    "broken_preparation",
    "claimed_preparation",
    "claimed_trial",
    "counted",
    "ended_trial",
    "extended_preparation",
    "extended_trial",
    "get_study",
    "given_back_preparation",
    "is_claimable",
    "latest_reports",
    "list_studies",
    "lost_trial",
    "prepared",
    "reported",
    "start_study",
    "stop_study",
]
