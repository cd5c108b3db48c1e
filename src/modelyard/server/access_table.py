"""The one access table: every route of the control plane, of MLflow's interface and of the gateways, and the least role for it.
What is not here cannot be reached.

A role counts in any team; whether the object at hand is one of that team's is checked inside the services.
"""

from typing import Final, Literal

from modelyard.access.domain import Role

PUBLIC: Final = "public"
Least = Role | Literal["public"]

_PUBLIC = """
GET /healthz
GET /readyz
GET /login
POST /login
GET /setup/{secret}
POST /welcome
GET /assets/{name}
POST /preferences/theme
GET /health
GET /version
"""

_VIEWER = """
POST /logout
GET /metrics
GET /docs
GET /openapi.json
GET /live
GET /settings
POST /settings/password
POST /settings/tokens
POST /settings/tokens/{token}/revoke
GET /ledger
GET /ledger/entries/{index}
GET /ledger/verification
GET /api/v1/me
GET /api/v1/teams
GET /api/v1/tokens
POST /api/v1/tokens
DELETE /api/v1/tokens/{token}
GET /api/v1/ledger
GET /api/v1/ledger/entries
GET /api/v1/ledger/entries/{index}
GET /api/v1/ledger/entries/{index}/proof
GET /api/v1/ledger/checkpoint
GET /api/v1/ledger/checkpoints/{size}
GET /api/v1/ledger/consistency
POST /api/v1/ledger/verification
GET /api/v1/declarations/{model}
GET /api/v1/deliveries
GET /api/v1/deliveries/{delivery}
GET /api/v1/approvals
GET /api/v1/endpoints
GET /api/v1/endpoints/{model}
GET /api/v1/endpoints/{model}/revisions
GET /api/v1/endpoints/{model}/revisions/{number}
GET /api/v1/experiments
GET /api/v1/experiments/{experiment_id}
GET /api/v1/experiments/{experiment_id}/views
GET /api/v1/exports/runs
GET /api/v1/exports/runs/{run_id}/history
GET /api/v1/feature-erasures
GET /api/v1/feature-materializations
GET /api/v1/feature-sets
GET /api/v1/feature-sets/{feature_set}
GET /api/v1/feature-sources
GET /api/v1/feature-sources/{source}
GET /api/v1/feature-views
GET /api/v1/feature-views/{view}
GET /api/v1/feature-views/{view}/consumers
GET /api/v1/feature-views/{view}/freshness
GET /api/v1/feature-views/{view}/readers
GET /api/v1/feature-views/{view}/versions
GET /api/v1/gateways
GET /api/v1/models
GET /api/v1/models/{model}
GET /api/v1/models/{model}/alias-moves
GET /api/v1/models/{model}/aliases
GET /api/v1/models/{model}/comparison
GET /api/v1/models/{model}/record
GET /api/v1/models/{model}/versions
GET /api/v1/models/{model}/versions/{version}
GET /api/v1/models/{model}/versions/{version}/attestations
GET /api/v1/models/{model}/versions/{version}/card
GET /api/v1/models/{model}/versions/{version}/dossiers
GET /api/v1/models/{model}/versions/{version}/content
GET /api/v1/models/{model}/versions/{version}/files
GET /api/v1/models/{model}/versions/{version}/lineage
GET /api/v1/dossiers
GET /api/v1/dossiers/{dossier}
GET /api/v1/dossiers/{dossier}/bundle
GET /api/v1/dossiers/{dossier}/pdf
POST /api/v1/trust
GET /api/v1/models/{model}/versions/{version}/reproductions
GET /api/v1/reproductions
GET /api/v1/studies
GET /api/v1/studies/{study}
GET /api/v1/reproductions/{reproduction}
GET /reproductions/{reproduction}
GET /api/v1/prediction-log/position
GET /api/v1/prediction-log/segments
GET /api/v1/predictions/{prediction}
GET /api/v1/runs/{run_id}
GET /api/v1/runs/{run_id}/artifacts
GET /api/v1/runs/{run_id}/curves
GET /api/v1/runs/{run_id}/history
GET /api/v1/runs/{run_id}/reproductions
GET /
GET /api/v1/fleet/portfolio
GET /api/v1/fleet/questions
GET /questions
GET /search
GET /api/v1/traces/{id}
GET /trace/{id}
GET /trace/{model}/{version}
GET /features
GET /features/on-demand/{feature}
GET /features/{view}
POST /api/v1/features/{feature_set}
GET /api/v1/runs/{run_id}/points
POST /api/v1/runs/contents
GET /api/v1/experiments/{experiment_id}/logged-models
POST /api/v1/logged-models/contents
POST /api/v1/runs/search
GET /experiments
GET /experiments/{experiment_id}
GET /models
GET /models/{model}
GET /models/{model}/comparison
GET /models/{model}/versions/{version}
GET /models/{model}/versions/{version}/card
GET /governance
GET /governance/dossiers/{dossier}
GET /runs
GET /runs/compare
GET /runs/diff
GET /runs/{run_id}
GET /studies/{study}
GET /serving
GET /serving/{model}
GET /approvals
GET /deliveries
GET /deliveries/{delivery}
GET /alerts/{alert}
GET /api/v1/alerts
GET /api/v1/alerts/{alert}
GET /api/v1/alerts/{alert}/why
GET /api/v1/monitoring
GET /api/v1/monitoring/{model}
GET /api/v1/on-demand-features
GET /api/v1/on-demand-features/{feature}/versions
GET /api/v1/open-alerts
GET /api/v1/skew
GET /api/v1/skew-days
GET /monitoring
GET /monitoring/{model}
"""

_CONTRIBUTOR = """
PUT /api/v1/sources
POST /api/v1/declarations
POST /api/v1/declarations/plan
POST /api/v1/deliveries
POST /api/v1/deliveries/{delivery}/cancellation
DELETE /api/v1/models/{model}/aliases/{alias}
POST /api/v1/endpoints/{model}/rollback
POST /api/v1/feature-materializations
POST /api/v1/feature-sets/{feature_set}/join
POST /api/v1/feature-sources/{source}/events
POST /api/v1/feature-views/{view}/backfills
POST /api/v1/gateways/{gateway}/heartbeat
POST /api/v1/experiments/{experiment_id}/views
DELETE /api/v1/experiments/{experiment_id}/views/{view_id}
POST /experiments/{experiment_id}/views
POST /experiments/{experiment_id}/views/{view_id}/delete
POST /api/v1/models
POST /api/v1/models/{model}/versions
PUT /api/v1/runs/{run_id}/sources/{source}/batches/{sequence}
POST /api/v1/models/{model}/versions/{version}/dossiers
POST /api/v1/models/{model}/versions/{version}/reproductions
POST /api/v1/models/{model}/versions/{version}/retirement
PUT /api/v1/models/{model}/versions/{version}/deprecation
DELETE /api/v1/models/{model}/versions/{version}/deprecation
POST /api/v1/studies
POST /api/v1/studies/{study}/stop
POST /models/{model}/versions/{version}/dossiers
POST /models/{model}/versions/{version}/reproduce
POST /api/v1/runs/{run_id}/reproductions
POST /runs/{run_id}/reproduce
POST /api/v1/prediction-log/seal
POST /api/v1/imports/marks
POST /api/v1/imports/experiments
POST /api/v1/imports/runs
POST /api/v1/imports/logged-models
POST /api/v1/imports/finished
POST /api/v1/imports/registered-models
POST /api/v1/imports/ends
PUT /api/v1/models/{model}
PUT /api/v1/models/{model}/aliases/{alias}
POST /models/{model}/alias
POST /models/{model}/versions/{version}/retirement
POST /models/{model}/versions/{version}/deprecation
POST /models/{model}/versions/{version}/deprecation/withdrawal
POST /serving/{model}/rollback
POST /deliveries/{delivery}/cancel
POST /studies/{study}/stop
POST /alerts/{alert}/acknowledgement
POST /alerts/{alert}/silence
POST /api/v1/alerts/{alert}/acknowledgement
POST /api/v1/alerts/{alert}/silence
"""

_APPROVER = """
POST /api/v1/approvals/{approval}/approval
POST /api/v1/approvals/{approval}/rejection
POST /api/v1/feature-erasures
DELETE /api/v1/gateways/{gateway}
POST /api/v1/endpoints/{model}/revisions
POST /api/v1/endpoints/{model}/step
POST /api/v1/endpoints/{model}/withdrawal
PUT /api/v1/endpoints/{model}/shadows
POST /approvals/{approval}/approve
POST /approvals/{approval}/reject
"""

_AUDITOR = """
GET /api/v1/users
"""

_ADMIN = """
POST /api/v1/users
POST /api/v1/users/{user}/invitation
POST /api/v1/users/{user}/disable
POST /api/v1/users/{user}/enable
PUT /api/v1/users/{user}/roles/{team}
DELETE /api/v1/users/{user}/roles/{team}
POST /api/v1/service-accounts
POST /api/v1/teams
"""

# MLflow's interface: what it answers below /api, it answers below /ajax-api by the same rule.
_MLFLOW_VIEWER = """
GET /get-artifact
GET /model-versions/get-artifact
GET /api/2.0/mlflow-artifacts/artifacts
GET /api/2.0/mlflow-artifacts/artifacts/{path}
GET /api/2.0/mlflow-artifacts/presigned/{path}
GET /api/2.0/mlflow/artifacts/list
GET /api/2.0/mlflow/experiments/get
GET /api/2.0/mlflow/experiments/get-by-name
GET /api/2.0/mlflow/experiments/search
POST /api/2.0/mlflow/experiments/search
POST /api/2.0/mlflow/experiments/search-datasets
GET /api/2.0/mlflow/get-artifact
POST /api/2.0/mlflow/logged-models/search
GET /api/2.0/mlflow/logged-models/{model_id}
GET /api/2.0/mlflow/logged-models/{model_id}/artifacts/directories
GET /api/2.0/mlflow/logged-models/{model_id}/artifacts/files
GET /api/2.0/mlflow/metrics/get-history
GET /api/2.0/mlflow/metrics/get-history-bulk
GET /api/2.0/mlflow/metrics/get-history-bulk-interval
GET /api/2.0/mlflow/model-versions/get
GET /api/2.0/mlflow/model-versions/get-download-uri
GET /api/2.0/mlflow/model-versions/search
GET /api/2.0/mlflow/registered-models/alias
GET /api/2.0/mlflow/registered-models/get
GET /api/2.0/mlflow/registered-models/get-latest-versions
POST /api/2.0/mlflow/registered-models/get-latest-versions
GET /api/2.0/mlflow/registered-models/search
GET /api/2.0/mlflow/runs/get
POST /api/2.0/mlflow/runs/search
GET /api/3.0/mlflow/server-info
"""

_MLFLOW_CONTRIBUTOR = """
DELETE /api/2.0/mlflow-artifacts/artifacts/{path}
PUT /api/2.0/mlflow-artifacts/artifacts/{path}
POST /api/2.0/mlflow-artifacts/mpu/abort/{path}
POST /api/2.0/mlflow-artifacts/mpu/complete/{path}
POST /api/2.0/mlflow-artifacts/mpu/create/{path}
PUT /api/2.0/mlflow-artifacts/mpu/parts/{upload_id}/{number}
POST /api/2.0/mlflow/artifacts/presigned-download-url
POST /api/2.0/mlflow/artifacts/presigned-upload-url
POST /api/2.0/mlflow/upload-artifact
POST /api/2.0/mlflow/experiments/create
POST /api/2.0/mlflow/experiments/delete
POST /api/2.0/mlflow/experiments/delete-experiment-tag
POST /api/2.0/mlflow/experiments/restore
POST /api/2.0/mlflow/experiments/set-experiment-tag
POST /api/2.0/mlflow/experiments/update
POST /api/2.0/mlflow/logged-models
DELETE /api/2.0/mlflow/logged-models/{model_id}
PATCH /api/2.0/mlflow/logged-models/{model_id}
POST /api/2.0/mlflow/logged-models/{model_id}/params
PATCH /api/2.0/mlflow/logged-models/{model_id}/tags
DELETE /api/2.0/mlflow/logged-models/{model_id}/tags/{tag_key}
POST /api/2.0/mlflow/model-versions/create
DELETE /api/2.0/mlflow/model-versions/delete
DELETE /api/2.0/mlflow/model-versions/delete-tag
POST /api/2.0/mlflow/model-versions/set-tag
POST /api/2.0/mlflow/model-versions/transition-stage
PATCH /api/2.0/mlflow/model-versions/update
DELETE /api/2.0/mlflow/registered-models/alias
POST /api/2.0/mlflow/registered-models/alias
POST /api/2.0/mlflow/registered-models/create
DELETE /api/2.0/mlflow/registered-models/delete
DELETE /api/2.0/mlflow/registered-models/delete-tag
POST /api/2.0/mlflow/registered-models/rename
POST /api/2.0/mlflow/registered-models/set-tag
PATCH /api/2.0/mlflow/registered-models/update
POST /api/2.0/mlflow/runs/create
POST /api/2.0/mlflow/runs/delete
POST /api/2.0/mlflow/runs/delete-tag
POST /api/2.0/mlflow/runs/log-batch
POST /api/2.0/mlflow/runs/log-inputs
POST /api/2.0/mlflow/runs/log-metric
POST /api/2.0/mlflow/runs/log-model
POST /api/2.0/mlflow/runs/log-parameter
POST /api/2.0/mlflow/runs/outputs
POST /api/2.0/mlflow/runs/restore
POST /api/2.0/mlflow/runs/set-tag
POST /api/2.0/mlflow/runs/update
GET /api/2.0/mlflow/webhooks
POST /api/2.0/mlflow/webhooks
DELETE /api/2.0/mlflow/webhooks/{webhook_id}
GET /api/2.0/mlflow/webhooks/{webhook_id}
PATCH /api/2.0/mlflow/webhooks/{webhook_id}
POST /api/2.0/mlflow/webhooks/{webhook_id}/test
"""

_GATEWAY_PUBLIC = """
GET /healthz
GET /readyz
GET /v2/health/live
GET /v2/health/ready
"""

_GATEWAY_VIEWER = """
GET /metrics
GET /v2
GET /v2/models/{model}
GET /v2/models/{model}/ready
GET /v2/models/{model}/versions/{version}
GET /v2/models/{model}/versions/{version}/ready
POST /predict/{model}
POST /invocations/{model}
POST /v2/models/{model}/infer
POST /v2/models/{model}/versions/{version}/infer
POST /features/{set}
POST /labels/{model}
"""


def _rules(lines: str, least: Least) -> dict[str, Least]:
    return dict.fromkeys(lines.split("\n")[1:-1], least)


MLFLOW: Final[dict[str, Least]] = {**_rules(_MLFLOW_VIEWER, Role.VIEWER), **_rules(_MLFLOW_CONTRIBUTOR, Role.CONTRIBUTOR)}

TABLE: Final[dict[str, Least]] = {
    **_rules(_PUBLIC, PUBLIC),
    **_rules(_VIEWER, Role.VIEWER),
    **_rules(_CONTRIBUTOR, Role.CONTRIBUTOR),
    **_rules(_APPROVER, Role.APPROVER),
    **_rules(_AUDITOR, Role.AUDITOR),
    **_rules(_ADMIN, Role.ADMIN),
    **MLFLOW,
}

GATEWAY: Final[dict[str, Least]] = {**_rules(_GATEWAY_PUBLIC, PUBLIC), **_rules(_GATEWAY_VIEWER, Role.VIEWER)}
"""The rules of a gateway's routes. It takes tokens of the scope serving, each for the models of the teams in which its owner has
a role other than auditor."""
