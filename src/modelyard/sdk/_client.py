"""The typed client, generated from the operations by `tools/client.py`. Do not edit."""

# fmt: off
from modelyard.access.domain import Invitation, Me, NewToken, Role, Team, TeamId, Token, TokenId, TokenOrder, User
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.delivery.declaration import AppliedModel, DeclaredModel, ModelPlan
from modelyard.delivery.domain import Approval, ApprovalId, ApprovalState, Delivery, DeliveryDetail, DeliveryId, DeliveryState, NewDelivery, NewReproduction, Reproduction, ReproductionId
from modelyard.features.domain.answers import AppliedOnDemand, AppliedSet, AppliedView, Backfill, FeatureConsumer, Materialization, NewBackfill, OnlineValues, Pushed, PushedSource, ViewFreshness, ViewReader, ViewSummary
from modelyard.features.domain.erasures import Erasure, NewErasure
from modelyard.fleet.domain import Portfolio, Questions, Trace
from modelyard.governance.domain import Attestation, Dossier, DossierId, ModelCard, Trust
from modelyard.ledger.domain import Checkpoint, ConsistencyProof, EntryPage, InclusionProof, LogFacts, ProvenEntry, Verification
from modelyard.monitoring.domain.alerts import Alert, AlertId, Why
from modelyard.monitoring.domain.findings import ViewSkew
from modelyard.monitoring.domain.watching import ModelMonitoring
from modelyard.registry.domain import Alias, AliasMove, AliasName, Comparison, Lineage, Manifest, Model, ModelDetail, ModelName, ModelVersion, NewModel, NewVersion, RiskTier, VersionDetail
from modelyard.registry.imports import ModelHere, ModelImport, ModelRecord
from modelyard.sdk.transport import Transport
from modelyard.serving.domain import Assignment, Endpoint, FoundPrediction, GatewayLease, Heartbeat, LogPosition, LoggedSegment, Proposal, RevisionDetail, RolloutStep, Seal
from modelyard.tracking.domain import Curve, Experiment, ExperimentId, ExperimentPage, FileEntry, History, LoggedModelId, Run, RunId, RunPage, RunSearch, SavedView, SavedViewId, View
from modelyard.tracking.imports import ExperimentHere, Finished, ImportEnd, ImportedExperiment, ImportedModel, ImportedRun, Mark, ModelContent, PackedSeries, Refusal, RunContent, SourceName
from modelyard.tracking.spooled import SourceId, SpooledBatch, Taken
from modelyard.tuning.domain import NewStudy, Study, StudyDetail, StudyId
from typing import Literal


class Client(Transport):
    """Every operation of the control plane as a method."""

    def acknowledge_alert(self, alert: AlertId, *, note: str = '') -> Alert:
        """The alert, noted as seen by the caller. Raises AlertNotFound and NotAllowed."""
        answer: Alert = self.call("POST", "/alerts/{alert}/acknowledgement", {"path": {"alert": alert}, "body": {"note": note}}, Alert)
        return answer

    def approve(self, approval: ApprovalId, *, reason: str = '') -> Approval:
        """Approves; the delivery goes on. Raises AuthorMayNotApprove, ApprovalIsDecided and NotAllowed."""
        answer: Approval = self.call("POST", "/approvals/{approval}/approval", {"path": {"approval": approval}, "body": {"reason": reason}}, Approval)
        return answer

    def backfill_features(self, view: str, body: NewBackfill) -> list[Backfill]:
        """Materializes a view, and writes anew the values of every entity that has an event in the range, whatever the store holds."""
        answer: list[Backfill] = self.call("POST", "/feature-views/{view}/backfills", {"path": {"view": view}, "body": body}, list[Backfill])
        return answer

    def cancel_delivery(self, delivery: DeliveryId, reason: str) -> DeliveryDetail:
        """Ends a delivery that is under way; what it has released stays as it is."""
        answer: DeliveryDetail = self.call("POST", "/deliveries/{delivery}/cancellation", {"path": {"delivery": delivery}, "body": {"reason": reason}}, DeliveryDetail)
        return answer

    def compare_versions(self, model: ModelName, left: int, right: int) -> Comparison:
        """Two versions of a model side by side: origins, columns, parameters, metrics."""
        answer: Comparison = self.call("GET", "/models/{model}/comparison", {"path": {"model": model}, "query": {"left": left, "right": right}}, Comparison)
        return answer

    def create_model(self, body: NewModel) -> Model:
        """A new model of a team. Raises ModelExists: names are unique in the installation."""
        answer: Model = self.call("POST", "/models", {"body": body}, Model)
        return answer

    def create_service_account(self, name: str, team: TeamId, role: Role) -> User:
        """An account for a program, with a role in `team`. It has tokens and no password."""
        answer: User = self.call("POST", "/service-accounts", {"body": {"name": name, "team": team, "role": role}}, User)
        return answer

    def create_team(self, team: TeamId, name: str) -> Team:
        """A new team. `team` is its id, in lower case; only an admin of the installation makes teams."""
        answer: Team = self.call("POST", "/teams", {"body": {"team": team, "name": name}}, Team)
        return answer

    def create_token(self, body: TokenOrder) -> NewToken:
        """A token for the caller, or for a service account that the caller administers, shown this once."""
        answer: NewToken = self.call("POST", "/tokens", {"body": body}, NewToken)
        return answer

    def declare_model(self, body: DeclaredModel) -> AppliedModel:
        """Makes a declaration the current one of its model, and its views and feature set the ones under their names."""
        answer: AppliedModel = self.call("POST", "/declarations", {"body": body}, AppliedModel)
        return answer

    def delete_alias(self, model: ModelName, alias: AliasName) -> None:
        """Removes an alias; its moves stay on record. Raises NoSuchAlias."""
        self.call("DELETE", "/models/{model}/aliases/{alias}", {"path": {"model": model, "alias": alias}}, None)

    def delete_view(self, experiment_id: ExperimentId, view_id: SavedViewId) -> SavedView:
        """Deletes a saved view of an experiment, or of its team; what it was. Raises NoSuchExperiment, NoSuchView and NotAllowed."""
        answer: SavedView = self.call("DELETE", "/experiments/{experiment_id}/views/{view_id}", {"path": {"experiment_id": experiment_id, "view_id": view_id}}, SavedView)
        return answer

    def deliver_batch(self, run_id: RunId, source: SourceId, sequence: int, body: SpooledBatch) -> Taken:
        """Takes a batch of a spool in, once: sent again, it is answered and not logged again."""
        answer: Taken = self.call("PUT", "/runs/{run_id}/sources/{source}/batches/{sequence}", {"path": {"run_id": run_id, "source": source, "sequence": sequence}, "body": body}, Taken)
        return answer

    def deprecate_version(self, model: ModelName, version: int, why: str, *, successor: int | None = None) -> VersionDetail:
        """The version, deprecated for a reason, with the version of the same model to take instead where one is named."""
        answer: VersionDetail = self.call("PUT", "/models/{model}/versions/{version}/deprecation", {"path": {"model": model, "version": version}, "body": {"why": why, "successor": successor}}, VersionDetail)
        return answer

    def disable_user(self, user: str) -> None:
        """Disables an account at once: its sessions end, its tokens are revoked, its link is void. Raises LastAdmin."""
        self.call("POST", "/users/{user}/disable", {"path": {"user": user}, "body": {}}, None)

    def enable_user(self, user: str) -> User:
        """Enables an account again. Its password and roles are as before; tokens stay revoked."""
        answer: User = self.call("POST", "/users/{user}/enable", {"path": {"user": user}, "body": {}}, User)
        return answer

    def end_import(self, body: ImportEnd) -> None:
        """Writes into the ledger what an import brought, and the digest of the report that its importer was given."""
        self.call("POST", "/imports/ends", {"body": body}, None)

    def erase_features(self, body: NewErasure) -> Erasure:
        """Erases all values of an entity that have become available by now, in every version of every view that is about it."""
        answer: Erasure = self.call("POST", "/feature-erasures", {"body": body}, Erasure)
        return answer

    def finish_imports(self, source: SourceName, kind: Literal['experiment', 'run', 'logged_model', 'registered_model', 'version', 'alias'], items: tuple[Finished, ...]) -> None:
        """Notes runs or logged models as brought: they get their lifecycle, and the digest of their content goes into the ledger."""
        self.call("POST", "/imports/finished", {"body": {"source": source, "kind": kind, "items": items}}, None)

    def get_alert(self, alert: AlertId) -> Alert:
        """The alert of that id. Raises AlertNotFound, also for one that the caller may not see."""
        answer: Alert = self.call("GET", "/alerts/{alert}", {"path": {"alert": alert}}, Alert)
        return answer

    def get_card(self, model: ModelName, version: int) -> ModelCard:
        """The model card of a version that a delivery made. Raises NotAttestable, NoSuchModel and NoSuchVersion."""
        answer: ModelCard = self.call("GET", "/models/{model}/versions/{version}/card", {"path": {"model": model, "version": version}}, ModelCard)
        return answer

    def get_declaration(self, model: str) -> AppliedModel:
        """The model's current declaration. Raises ModelNotDeclared, also where it is another team's."""
        answer: AppliedModel = self.call("GET", "/declarations/{model}", {"path": {"model": model}}, AppliedModel)
        return answer

    def get_delivery(self, delivery: DeliveryId) -> DeliveryDetail:
        """A delivery with its stages. Raises NotFound, also where it is another team's."""
        answer: DeliveryDetail = self.call("GET", "/deliveries/{delivery}", {"path": {"delivery": delivery}}, DeliveryDetail)
        return answer

    def get_dossier(self, dossier: DossierId) -> Dossier:
        """A dossier. Raises NoSuchDossier, also where it is another team's."""
        answer: Dossier = self.call("GET", "/dossiers/{dossier}", {"path": {"dossier": dossier}}, Dossier)
        return answer

    def get_endpoint(self, model: ModelName) -> Endpoint:
        """The endpoint of a model. Raises NoSuchEndpoint."""
        answer: Endpoint = self.call("GET", "/endpoints/{model}", {"path": {"model": model}}, Endpoint)
        return answer

    def get_experiment(self, experiment_id: ExperimentId) -> Experiment:
        """An experiment, whatever its lifecycle. Raises NoSuchExperiment."""
        answer: Experiment = self.call("GET", "/experiments/{experiment_id}", {"path": {"experiment_id": experiment_id}}, Experiment)
        return answer

    def get_feature_set(self, feature_set: str, *, digest: Digest | None = None) -> AppliedSet:
        """The set of that name as it stands, or in the version with that digest. Raises FeatureSetNotFound with the nearest name."""
        answer: AppliedSet = self.call("GET", "/feature-sets/{feature_set}", {"path": {"feature_set": feature_set}, "query": {"digest": digest}}, AppliedSet)
        return answer

    def get_feature_source(self, source: str) -> PushedSource:
        """What has been pushed to a source, and how much of it lies in its table. Raises PushedSourceNotFound with the nearest name."""
        answer: PushedSource = self.call("GET", "/feature-sources/{source}", {"path": {"source": source}}, PushedSource)
        return answer

    def get_feature_view(self, view: str, *, digest: Digest | None = None) -> AppliedView:
        """The view of that name as it stands, or in the version with that digest. Raises ViewNotFound with the nearest name."""
        answer: AppliedView = self.call("GET", "/feature-views/{view}", {"path": {"view": view}, "query": {"digest": digest}}, AppliedView)
        return answer

    def get_feature_view_freshness(self, view: str) -> ViewFreshness:
        """How far the view's newest event online lies back now, against what it promises. Raises ViewNotFound."""
        answer: ViewFreshness = self.call("GET", "/feature-views/{view}/freshness", {"path": {"view": view}}, ViewFreshness)
        return answer

    def get_ledger(self) -> LogFacts:
        """How far the log is."""
        answer: LogFacts = self.call("GET", "/ledger", {}, LogFacts)
        return answer

    def get_ledger_checkpoint(self, size: int) -> Checkpoint:
        """The checkpoint that was signed over the first `size` entries. Raises NoSuchCheckpoint."""
        answer: Checkpoint = self.call("GET", "/ledger/checkpoints/{size}", {"path": {"size": size}}, Checkpoint)
        return answer

    def get_ledger_entry(self, index: int) -> ProvenEntry:
        """The entry at `index`, proven under the latest checkpoint if that covers it. Raises NoSuchEntry, also where it is another team's."""
        answer: ProvenEntry = self.call("GET", "/ledger/entries/{index}", {"path": {"index": index}}, ProvenEntry)
        return answer

    def get_lineage(self, model: ModelName, version: int) -> Lineage:
        """All that a version came from, as recorded when it was registered."""
        answer: Lineage = self.call("GET", "/models/{model}/versions/{version}/lineage", {"path": {"model": model, "version": version}}, Lineage)
        return answer

    def get_me(self) -> Me:
        """Who the caller is, and the teams whose objects it sees."""
        answer: Me = self.call("GET", "/me", {}, Me)
        return answer

    def get_metric_history(self, run_id: RunId, key: str, *, page: str = '') -> History:
        """The points of a run's metric, ten thousand at a time, and the token that goes on behind them."""
        answer: History = self.call("GET", "/runs/{run_id}/history", {"path": {"run_id": run_id}, "query": {"key": key, "page": page}}, History)
        return answer

    def get_model(self, model: ModelName) -> ModelDetail:
        """A model with its aliases and the number of its latest version. Raises NoSuchModel."""
        answer: ModelDetail = self.call("GET", "/models/{model}", {"path": {"model": model}}, ModelDetail)
        return answer

    def get_model_record(self, model: ModelName, *, before: int = 0, limit: int = 100) -> ModelRecord:
        """A model told in full, with `limit` of its versions, newest first; `before` is the last number of the page before."""
        answer: ModelRecord = self.call("GET", "/models/{model}/record", {"path": {"model": model}, "query": {"before": before, "limit": limit}}, ModelRecord)
        return answer

    def get_monitoring(self, model: ModelName) -> ModelMonitoring:
        """How a model stands: monitors, approved levels, the last findings, its views, open alerts. Raises ModelNotMonitored."""
        answer: ModelMonitoring = self.call("GET", "/monitoring/{model}", {"path": {"model": model}}, ModelMonitoring)
        return answer

    def get_portfolio(self) -> Portfolio:
        """Every model that the caller may see, worst first, with what is live, how it does, and what waits for whom."""
        answer: Portfolio = self.call("GET", "/fleet/portfolio", {}, Portfolio)
        return answer

    def get_prediction(self, prediction: str) -> FoundPrediction:
        """A prediction by its id, from wherever it is by now: a gateway's disk on this machine, a sealed segment, or the tables."""
        answer: FoundPrediction = self.call("GET", "/predictions/{prediction}", {"path": {"prediction": prediction}}, FoundPrediction)
        return answer

    def get_questions(self) -> Questions:
        """The six questions, answered now from the records that the caller may see."""
        answer: Questions = self.call("GET", "/fleet/questions", {}, Questions)
        return answer

    def get_reproduction(self, reproduction: ReproductionId) -> Reproduction:
        """One reproduction with every comparison. Raises NotFound, also where it is another team's."""
        answer: Reproduction = self.call("GET", "/reproductions/{reproduction}", {"path": {"reproduction": reproduction}}, Reproduction)
        return answer

    def get_revision(self, model: ModelName, number: int) -> RevisionDetail:
        """A revision and when each gateway switched to it. Raises NoSuchEndpoint and NoSuchRevision."""
        answer: RevisionDetail = self.call("GET", "/endpoints/{model}/revisions/{number}", {"path": {"model": model, "number": number}}, RevisionDetail)
        return answer

    def get_run(self, run_id: RunId) -> Run:
        """A run with what was logged to it, whatever its lifecycle. Raises NoSuchRun."""
        answer: Run = self.call("GET", "/runs/{run_id}", {"path": {"run_id": run_id}}, Run)
        return answer

    def get_run_curves(self, run_id: RunId, *, most: int = 500) -> list[Curve]:
        """Every metric of a run over its steps, at most `most` points each."""
        answer: list[Curve] = self.call("GET", "/runs/{run_id}/curves", {"path": {"run_id": run_id}, "query": {"most": most}}, list[Curve])
        return answer

    def get_study(self, study: StudyId) -> StudyDetail:
        """A study with its trials. Raises NotFound, also where it is another team's."""
        answer: StudyDetail = self.call("GET", "/studies/{study}", {"path": {"study": study}}, StudyDetail)
        return answer

    def get_trace(self, id: str) -> Trace:
        """Everything upstream and downstream of a prediction, version, run, digest, view, on-demand feature or delivery, and how long."""
        answer: Trace = self.call("GET", "/traces/{id}", {"path": {"id": id}}, Trace)
        return answer

    def get_version(self, model: ModelName, version: int) -> VersionDetail:
        """A version with what happened to it. Raises NoSuchModel and NoSuchVersion."""
        answer: VersionDetail = self.call("GET", "/models/{model}/versions/{version}", {"path": {"model": model, "version": version}}, VersionDetail)
        return answer

    def give_trust(self) -> Trust:
        """What an auditor keeps and later holds bundles against. Later bundles prove that the log grew out of the checkpoint in it."""
        answer: Trust = self.call("POST", "/trust", {"body": {}}, Trust)
        return answer

    def heartbeat(self, gateway: str, body: Heartbeat) -> Assignment:
        """Notes how a gateway stands, takes coming revisions on, and answers with what the gateway is to do."""
        answer: Assignment = self.call("POST", "/gateways/{gateway}/heartbeat", {"path": {"gateway": gateway}, "body": body}, Assignment)
        return answer

    def import_experiments(self, source: SourceName, experiments: tuple[ImportedExperiment, ...], *, team: TeamId | None = None) -> list[ExperimentHere]:
        """Where the runs of those experiments come to; experiments that are new here are made, those brought before brought up to date."""
        answer: list[ExperimentHere] = self.call("POST", "/imports/experiments", {"body": {"source": source, "experiments": experiments, "team": team}}, list[ExperimentHere])
        return answer

    def import_logged_models(self, source: SourceName, models: tuple[ImportedModel, ...]) -> list[Refusal]:
        """Takes logged models in, each whole or not at all; those that were refused. They are finished as runs are."""
        answer: list[Refusal] = self.call("POST", "/imports/logged-models", {"body": {"source": source, "models": models}}, list[Refusal])
        return answer

    def import_model(self, body: ModelImport) -> ModelHere:
        """Takes a registered model in with some of its versions; what became of each. Called again with the same, nothing changes."""
        answer: ModelHere = self.call("POST", "/imports/registered-models", {"body": body}, ModelHere)
        return answer

    def import_runs(self, source: SourceName, runs: tuple[ImportedRun, ...]) -> list[Refusal]:
        """Takes runs in, each whole or not at all; those that were refused. A run counts as brought only once `finish_imports` says so."""
        answer: list[Refusal] = self.call("POST", "/imports/runs", {"body": {"source": source, "runs": runs}}, list[Refusal])
        return answer

    def invite_user(self, name: str, team: TeamId, role: Role) -> Invitation:
        """A new person's account with a role in `team`, and the one-time link under which they choose a password."""
        answer: Invitation = self.call("POST", "/users", {"body": {"name": name, "team": team, "role": role}}, Invitation)
        return answer

    def latest_ledger_checkpoint(self) -> Checkpoint:
        """The checkpoint over the most entries. Raises NoSuchCheckpoint before the first."""
        answer: Checkpoint = self.call("GET", "/ledger/checkpoint", {}, Checkpoint)
        return answer

    def list_alerts(self, *, model: ModelName | None = None, before: AlertId | None = None, limit: int = 50) -> list[Alert]:
        """Alerts, open and closed, newest first, those before the id `before`; of a model, its own and those of views it reads."""
        answer: list[Alert] = self.call("GET", "/alerts", {"query": {"model": model, "before": before, "limit": limit}}, list[Alert])
        return answer

    def list_alias_moves(self, model: ModelName, *, limit: int = 100) -> list[AliasMove]:
        """Every move of the model's aliases, newest first."""
        answer: list[AliasMove] = self.call("GET", "/models/{model}/alias-moves", {"path": {"model": model}, "query": {"limit": limit}}, list[AliasMove])
        return answer

    def list_aliases(self, model: ModelName) -> list[Alias]:
        """The aliases of a model, by name."""
        answer: list[Alias] = self.call("GET", "/models/{model}/aliases", {"path": {"model": model}}, list[Alias])
        return answer

    def list_approvals(self, *, state: ApprovalState | None = None) -> list[Approval]:
        """Approvals of the caller's teams, newest first, at most 500."""
        answer: list[Approval] = self.call("GET", "/approvals", {"query": {"state": state}}, list[Approval])
        return answer

    def list_attestations(self, model: ModelName, version: int) -> list[Attestation]:
        """The attestations of a version, by path. Raises NoSuchModel and NoSuchVersion."""
        answer: list[Attestation] = self.call("GET", "/models/{model}/versions/{version}/attestations", {"path": {"model": model, "version": version}}, list[Attestation])
        return answer

    def list_deliveries(self, *, model: str | None = None, state: DeliveryState | None = None, before: str | None = None) -> list[Delivery]:
        """Deliveries of the caller's teams, newest first, at most 100; `before` is the last id of the page before."""
        answer: list[Delivery] = self.call("GET", "/deliveries", {"query": {"model": model, "state": state, "before": before}}, list[Delivery])
        return answer

    def list_dossiers(self, *, model: str | None = None) -> list[Dossier]:
        """Dossiers of the caller's teams, of one model where it is given, newest first, at most 200."""
        answer: list[Dossier] = self.call("GET", "/dossiers", {"query": {"model": model}}, list[Dossier])
        return answer

    def list_endpoints(self) -> list[Endpoint]:
        """The endpoints that the caller may see, by model."""
        answer: list[Endpoint] = self.call("GET", "/endpoints", {}, list[Endpoint])
        return answer

    def list_experiments(self, *, filter: str = '', limit: int = 100, page: str = '', view: View = View.ACTIVE_ONLY) -> ExperimentPage:
        """The experiments that the filter finds, active ones unless `view` asks for others, the newest first, and the token that goes on."""
        answer: ExperimentPage = self.call("GET", "/experiments", {"query": {"filter": filter, "limit": limit, "page": page, "view": view}}, ExperimentPage)
        return answer

    def list_feature_erasures(self) -> list[Erasure]:
        """The erasures in the caller's teams, newest first; none of them holds a key."""
        answer: list[Erasure] = self.call("GET", "/feature-erasures", {}, list[Erasure])
        return answer

    def list_feature_materializations(self, *, view: str | None = None) -> list[Materialization]:
        """How far the versions that stand have been brought online, by view; then the older ones that are still read."""
        answer: list[Materialization] = self.call("GET", "/feature-materializations", {"query": {"view": view}}, list[Materialization])
        return answer

    def list_feature_sets(self) -> list[AppliedSet]:
        """The sets that the principal may see, by name."""
        answer: list[AppliedSet] = self.call("GET", "/feature-sets", {}, list[AppliedSet])
        return answer

    def list_feature_sources(self) -> list[PushedSource]:
        """The sources that events are pushed to, as far as the principal may see them, by name."""
        answer: list[PushedSource] = self.call("GET", "/feature-sources", {}, list[PushedSource])
        return answer

    def list_feature_view_consumers(self, view: str) -> list[FeatureConsumer]:
        """What reads a view, by name. Raises ViewNotFound."""
        answer: list[FeatureConsumer] = self.call("GET", "/feature-views/{view}/consumers", {"path": {"view": view}}, list[FeatureConsumer])
        return answer

    def list_feature_view_readers(self, view: str) -> list[ViewReader]:
        """Which versions of served models read which versions of a view, those that answer first. Raises ViewNotFound."""
        answer: list[ViewReader] = self.call("GET", "/feature-views/{view}/readers", {"path": {"view": view}}, list[ViewReader])
        return answer

    def list_feature_view_versions(self, view: str) -> list[AppliedView]:
        """All versions of a view, the newest first. Raises ViewNotFound."""
        answer: list[AppliedView] = self.call("GET", "/feature-views/{view}/versions", {"path": {"view": view}}, list[AppliedView])
        return answer

    def list_feature_views(self) -> list[ViewSummary]:
        """The views that the principal may see, by name, with their freshness now and how many things read them."""
        answer: list[ViewSummary] = self.call("GET", "/feature-views", {}, list[ViewSummary])
        return answer

    def list_gateways(self) -> list[GatewayLease]:
        """Every gateway, what it serves under, and how long ago it was heard of; of models only those that the caller sees."""
        answer: list[GatewayLease] = self.call("GET", "/gateways", {}, list[GatewayLease])
        return answer

    def list_import_marks(self, source: SourceName, kind: Literal['experiment', 'run', 'logged_model', 'registered_model', 'version', 'alias'], ids: tuple[str, ...]) -> list[Mark]:
        """Those of the things that were brought from the source before, as far as the caller sees them."""
        answer: list[Mark] = self.call("POST", "/imports/marks", {"body": {"source": source, "kind": kind, "ids": ids}}, list[Mark])
        return answer

    def list_ledger_entries(self, *, type: str | None = None, subject: str | None = None, before: int | None = None, limit: int = 50) -> EntryPage:
        """Entries of the caller's teams with an index below `before`, newest first, of one type or about one subject where given."""
        answer: EntryPage = self.call("GET", "/ledger/entries", {"query": {"type": type, "subject": subject, "before": before, "limit": limit}}, EntryPage)
        return answer

    def list_logged_models(self, experiment_id: ExperimentId, *, after: str = '', limit: int = 100) -> list[ModelContent]:
        """The logged models of an experiment by id, those in the bin too, with their files; behind the id `after`."""
        answer: list[ModelContent] = self.call("GET", "/experiments/{experiment_id}/logged-models", {"path": {"experiment_id": experiment_id}, "query": {"after": after, "limit": limit}}, list[ModelContent])
        return answer

    def list_models(self, *, q: str = '', risk: RiskTier | None = None, after: str = '', limit: int = 100) -> list[ModelDetail]:
        """The models of the caller's teams by name: of a tier of risk, and whose name or purpose has the word `q`, where those are given."""
        answer: list[ModelDetail] = self.call("GET", "/models", {"query": {"q": q, "risk": risk, "after": after, "limit": limit}}, list[ModelDetail])
        return answer

    def list_monitoring(self) -> list[ModelMonitoring]:
        """The same for every watched model that the caller may see, by name."""
        answer: list[ModelMonitoring] = self.call("GET", "/monitoring", {}, list[ModelMonitoring])
        return answer

    def list_on_demand_feature_versions(self, feature: str) -> list[AppliedOnDemand]:
        """All versions of an on-demand feature, the newest first. Raises OnDemandNotFound with the nearest name."""
        answer: list[AppliedOnDemand] = self.call("GET", "/on-demand-features/{feature}/versions", {"path": {"feature": feature}}, list[AppliedOnDemand])
        return answer

    def list_on_demand_features(self) -> list[AppliedOnDemand]:
        """The on-demand features that the principal may see, by name, each in its newest version."""
        answer: list[AppliedOnDemand] = self.call("GET", "/on-demand-features", {}, list[AppliedOnDemand])
        return answer

    def list_open_alerts(self) -> list[Alert]:
        """The open alerts that the caller may see, worst kind first, then newest."""
        answer: list[Alert] = self.call("GET", "/open-alerts", {}, list[Alert])
        return answer

    def list_reproductions(self, *, model: str | None = None) -> list[Reproduction]:
        """Reproductions of the caller's teams, newest first, at most 200."""
        answer: list[Reproduction] = self.call("GET", "/reproductions", {"query": {"model": model}}, list[Reproduction])
        return answer

    def list_revisions(self, model: ModelName, *, before: int | None = None, limit: int = 50) -> list[RevisionDetail]:
        """A model's revisions, newest first, those before the number `before`."""
        answer: list[RevisionDetail] = self.call("GET", "/endpoints/{model}/revisions", {"path": {"model": model}, "query": {"before": before, "limit": limit}}, list[RevisionDetail])
        return answer

    def list_run_files(self, run_id: RunId, *, folder: str = '') -> tuple[FileEntry, ...]:
        """The files and folders of a run right below `folder`, by path."""
        answer: tuple[FileEntry, ...] = self.call("GET", "/runs/{run_id}/artifacts", {"path": {"run_id": run_id}, "query": {"folder": folder}}, tuple[FileEntry, ...])
        return answer

    def list_run_reproductions(self, run_id: RunId) -> list[Reproduction]:
        """The reproductions of one run, and of the version that it became, newest first, at most 200."""
        answer: list[Reproduction] = self.call("GET", "/runs/{run_id}/reproductions", {"path": {"run_id": run_id}}, list[Reproduction])
        return answer

    def list_saved_views(self, experiment_id: ExperimentId) -> list[SavedView]:
        """The saved views of an experiment, those of all its team's experiments included, by name. Raises NoSuchExperiment."""
        answer: list[SavedView] = self.call("GET", "/experiments/{experiment_id}/views", {"path": {"experiment_id": experiment_id}}, list[SavedView])
        return answer

    def list_segments(self, *, before: str | None = None, limit: int = 50) -> list[LoggedSegment]:
        """Segments of the prediction log, newest first."""
        answer: list[LoggedSegment] = self.call("GET", "/prediction-log/segments", {"query": {"before": before, "limit": limit}}, list[LoggedSegment])
        return answer

    def list_skew(self, *, model: ModelName | None = None, view: str | None = None) -> list[ViewSkew]:
        """What all comparisons found together, by model and view, of the models that the caller may see; without examples."""
        answer: list[ViewSkew] = self.call("GET", "/skew", {"query": {"model": model, "view": view}}, list[ViewSkew])
        return answer

    def list_skew_days(self, *, model: ModelName | None = None, view: str | None = None, days: int = 31) -> list[ViewSkew]:
        """What comparisons found by day over the last `days`, oldest first, with an example of each cause."""
        answer: list[ViewSkew] = self.call("GET", "/skew-days", {"query": {"model": model, "view": view, "days": days}}, list[ViewSkew])
        return answer

    def list_studies(self, *, model: str | None = None, name: str | None = None) -> list[Study]:
        """Studies of the caller's teams, newest first, at most 200: all of them, or those of a model and of a name."""
        answer: list[Study] = self.call("GET", "/studies", {"query": {"model": model, "name": name}}, list[Study])
        return answer

    def list_teams(self) -> list[Team]:
        """The teams in which the caller has a role."""
        answer: list[Team] = self.call("GET", "/teams", {}, list[Team])
        return answer

    def list_tokens(self, *, user: str = '') -> list[Token]:
        """The caller's tokens, or those of an account that the caller administers, newest first, ended ones included."""
        answer: list[Token] = self.call("GET", "/tokens", {"query": {"user": user}}, list[Token])
        return answer

    def list_users(self, *, after: str = '', limit: int = 100) -> list[User]:
        """The accounts of the teams that the caller administers or audits, by name; `after` is the last name of the page before."""
        answer: list[User] = self.call("GET", "/users", {"query": {"after": after, "limit": limit}}, list[User])
        return answer

    def list_version_dossiers(self, model: ModelName, version: int) -> list[Dossier]:
        """The dossiers of one version, newest first, at most 200."""
        answer: list[Dossier] = self.call("GET", "/models/{model}/versions/{version}/dossiers", {"path": {"model": model, "version": version}}, list[Dossier])
        return answer

    def list_version_files(self, model: ModelName, version: int) -> Manifest:
        """The files of a version's artifact. Raises NotFound for one that was brought as a record without files."""
        answer: Manifest = self.call("GET", "/models/{model}/versions/{version}/files", {"path": {"model": model, "version": version}}, Manifest)
        return answer

    def list_version_reproductions(self, model: ModelName, version: int) -> list[Reproduction]:
        """The reproductions of one version, newest first, at most 200."""
        answer: list[Reproduction] = self.call("GET", "/models/{model}/versions/{version}/reproductions", {"path": {"model": model, "version": version}}, list[Reproduction])
        return answer

    def list_versions(self, model: ModelName, *, before: int = 0, limit: int = 100) -> list[VersionDetail]:
        """The versions of a model, newest first; `before` is the last number of the page before."""
        answer: list[VersionDetail] = self.call("GET", "/models/{model}/versions", {"path": {"model": model}, "query": {"before": before, "limit": limit}}, list[VersionDetail])
        return answer

    def log_position(self) -> LogPosition:
        """How far the tables are complete."""
        answer: LogPosition = self.call("GET", "/prediction-log/position", {}, LogPosition)
        return answer

    def make_dossier(self, model: ModelName, version: int) -> Dossier:
        """A new dossier of a version that was let through: its bundle is put together, signed, proven by the log and verified."""
        answer: Dossier = self.call("POST", "/models/{model}/versions/{version}/dossiers", {"path": {"model": model, "version": version}, "body": {}}, Dossier)
        return answer

    def materialize_features(self, *, views: list[str] | None = None, upto_at: Instant | None = None) -> list[Materialization]:
        """Brings online what the views' sources made available up to `upto_at` (now, if not given); of all views, if none are named."""
        answer: list[Materialization] = self.call("POST", "/feature-materializations", {"body": {"views": views, "upto_at": upto_at}}, list[Materialization])
        return answer

    def plan_model(self, body: DeclaredModel) -> ModelPlan:
        """What applying a declaration would change: the model, and each feature view that it reads. Nothing of another team's is told."""
        answer: ModelPlan = self.call("POST", "/declarations/plan", {"body": body}, ModelPlan)
        return answer

    def propose_revision(self, model: ModelName, body: Proposal) -> RevisionDetail:
        """A new revision, which every live gateway prepares before any serves under it; one that was coming is superseded."""
        answer: RevisionDetail = self.call("POST", "/endpoints/{model}/revisions", {"path": {"model": model}, "body": body}, RevisionDetail)
        return answer

    def prove_ledger_consistency(self, first: int, *, second: int | None = None) -> ConsistencyProof:
        """The proof that the log of the first `first` entries begins that of `second`, by default the latest checkpoint's size."""
        answer: ConsistencyProof = self.call("GET", "/ledger/consistency", {"query": {"first": first, "second": second}}, ConsistencyProof)
        return answer

    def prove_ledger_inclusion(self, index: int, *, size: int | None = None) -> InclusionProof:
        """The proof that entry `index` is in the tree of the first `size` entries, by default that of the latest checkpoint."""
        answer: InclusionProof = self.call("GET", "/ledger/entries/{index}/proof", {"path": {"index": index}, "query": {"size": size}}, InclusionProof)
        return answer

    def push_events(self, source: str, events: list[dict[str, str | int | float | bool | None]]) -> Pushed:
        """Takes events in, all or none: durable and online, in every view over the source, once this is answered."""
        answer: Pushed = self.call("POST", "/feature-sources/{source}/events", {"path": {"source": source}, "body": {"events": events}}, Pushed)
        return answer

    def read_features(self, feature_set: str, rows: list[dict[str, str | int | float | bool | None]]) -> OnlineValues:
        """The set's values online, now, for the entities of each row, and what its functions make of them and of the row."""
        answer: OnlineValues = self.call("POST", "/features/{feature_set}", {"path": {"feature_set": feature_set}, "body": {"rows": rows}}, OnlineValues)
        return answer

    def read_model_contents(self, model_ids: tuple[LoggedModelId, ...]) -> list[ModelContent]:
        """All that those logged models hold, whatever their lifecycle; models that the caller does not see are left out."""
        answer: list[ModelContent] = self.call("POST", "/logged-models/contents", {"body": {"model_ids": model_ids}}, list[ModelContent])
        return answer

    def read_points(self, run_id: RunId, *, after: str = '') -> list[PackedSeries]:
        """The points of a run's metrics by step, repeated ones once; metrics by name behind `after`, about half a million points at a time."""
        answer: list[PackedSeries] = self.call("GET", "/runs/{run_id}/points", {"path": {"run_id": run_id}, "query": {"after": after}}, list[PackedSeries])
        return answer

    def read_run_contents(self, run_ids: tuple[RunId, ...]) -> list[RunContent]:
        """All that those runs hold, whatever their lifecycle; runs that the caller does not see are left out."""
        answer: list[RunContent] = self.call("POST", "/runs/contents", {"body": {"run_ids": run_ids}}, list[RunContent])
        return answer

    def register_version(self, model: ModelName, body: NewVersion) -> ModelVersion:
        """The next version of `model`, of an artifact in the blob store, which is looked at first where it is not known yet."""
        answer: ModelVersion = self.call("POST", "/models/{model}/versions", {"path": {"model": model}, "body": body}, ModelVersion)
        return answer

    def reject(self, approval: ApprovalId, reason: str) -> Approval:
        """Rejects, with a reason; the delivery ends as refused. Raises ApprovalIsDecided and NotAllowed."""
        answer: Approval = self.call("POST", "/approvals/{approval}/rejection", {"path": {"approval": approval}, "body": {"reason": reason}}, Approval)
        return answer

    def remove_gateway(self, gateway: str) -> None:
        """Forgets a gateway that will not come back, so that the prediction log no longer waits for it. Raises NotFound."""
        self.call("DELETE", "/gateways/{gateway}", {"path": {"gateway": gateway}}, None)

    def remove_role(self, user: str, team: TeamId) -> None:
        """Takes an account's role in a team. Raises LastAdmin."""
        self.call("DELETE", "/users/{user}/roles/{team}", {"path": {"user": user, "team": team}}, None)

    def renew_invitation(self, user: str) -> Invitation:
        """A new one-time link for an account: for a link that lapsed, or a password that was forgotten. The last link is void."""
        answer: Invitation = self.call("POST", "/users/{user}/invitation", {"path": {"user": user}, "body": {}}, Invitation)
        return answer

    def request_seal(self) -> Seal:
        """Has every gateway seal its log now, so that what was answered so far is in the tables soon: see `log_position`."""
        answer: Seal = self.call("POST", "/prediction-log/seal", {"body": {}}, Seal)
        return answer

    def retire_version(self, model: ModelName, version: int, why: str) -> VersionDetail:
        """The version, retired for good: it takes no alias and no traffic any more. A second call changes nothing."""
        answer: VersionDetail = self.call("POST", "/models/{model}/versions/{version}/retirement", {"path": {"model": model, "version": version}, "body": {"why": why}}, VersionDetail)
        return answer

    def revoke_token(self, token: TokenId) -> None:
        """Revokes a token at once: the caller's own, or one of an account that the caller administers. Raises NoSuchToken."""
        self.call("DELETE", "/tokens/{token}", {"path": {"token": token}}, None)

    def rollback(self, model: ModelName, *, to: int | None = None, cause: str = '') -> RevisionDetail:
        """A new revision without the canary, under version `to`, which was champion once, or the champion before."""
        answer: RevisionDetail = self.call("POST", "/endpoints/{model}/rollback", {"path": {"model": model}, "body": {"to": to, "cause": cause}}, RevisionDetail)
        return answer

    def save_view(self, experiment_id: ExperimentId, name: str, query: str, *, is_for_team: bool = False) -> SavedView:
        """A view under its name, over the one that had it. `query` is that of the page's address; what no view has is left out of it."""
        answer: SavedView = self.call("POST", "/experiments/{experiment_id}/views", {"path": {"experiment_id": experiment_id}, "body": {"name": name, "query": query, "is_for_team": is_for_team}}, SavedView)
        return answer

    def search_runs(self, body: RunSearch) -> RunPage:
        """Runs that the search finds, the latest first unless the order says otherwise, and the token that goes on behind them."""
        answer: RunPage = self.call("POST", "/runs/search", {"body": body}, RunPage)
        return answer

    def set_alias(self, model: ModelName, alias: AliasName, version: int) -> Alias:
        """The alias, pointing to `version` from now on. Raises NoSuchModel, NoSuchVersion, VersionIsRetired."""
        answer: Alias = self.call("PUT", "/models/{model}/aliases/{alias}", {"path": {"model": model, "alias": alias}, "body": {"version": version}}, Alias)
        return answer

    def set_role(self, user: str, team: TeamId, role: Role) -> User:
        """Gives an account a role in a team, instead of the one it has there; `*` is every team. Raises LastAdmin."""
        answer: User = self.call("PUT", "/users/{user}/roles/{team}", {"path": {"user": user, "team": team}, "body": {"role": role}}, User)
        return answer

    def set_shadows(self, model: ModelName, versions: tuple[int, ...], *, cause: str = '') -> RevisionDetail:
        """A new revision in which those versions, and no others, watch as shadows. Raises BadTraffic."""
        answer: RevisionDetail = self.call("PUT", "/endpoints/{model}/shadows", {"path": {"model": model}, "body": {"versions": versions, "cause": cause}}, RevisionDetail)
        return answer

    def silence_alert(self, alert: AlertId, duration: str, why: str) -> Alert:
        """The alert, not to be told again for `duration` (such as `2h`). Raises AlertNotFound, AlertIsClosed, InvalidInput, NotAllowed."""
        answer: Alert = self.call("POST", "/alerts/{alert}/silence", {"path": {"alert": alert}, "body": {"duration": duration, "why": why}}, Alert)
        return answer

    def start_delivery(self, body: NewDelivery) -> Delivery:
        """Starts a delivery of the model as it is declared now. Raises ModelNotDeclared, DeliveryUnderWay and NotAllowed."""
        answer: Delivery = self.call("POST", "/deliveries", {"body": body}, Delivery)
        return answer

    def start_reproduction(self, model: ModelName, version: int, body: NewReproduction) -> Reproduction:
        """Asks for a version to be made again; one of that version that has not ended, or of that key, is the one that is asked for."""
        answer: Reproduction = self.call("POST", "/models/{model}/versions/{version}/reproductions", {"path": {"model": model, "version": version}, "body": body}, Reproduction)
        return answer

    def start_run_reproduction(self, run_id: RunId, body: NewReproduction) -> Reproduction:
        """Asks for a run to be made again; for the version that its delivery registered, where there is one."""
        answer: Reproduction = self.call("POST", "/runs/{run_id}/reproductions", {"path": {"run_id": run_id}, "body": body}, Reproduction)
        return answer

    def start_study(self, body: NewStudy) -> StudyDetail:
        """The model's study of that name, begun now or gone on with until it has `trials` trials; one that has them is answered as it is."""
        answer: StudyDetail = self.call("POST", "/studies", {"body": body}, StudyDetail)
        return answer

    def step_rollout(self, model: ModelName, body: RolloutStep) -> RevisionDetail:
        """The candidate one step further. A model that is not served yet begins with it as its champion. Raises BadTraffic."""
        answer: RevisionDetail = self.call("POST", "/endpoints/{model}/step", {"path": {"model": model}, "body": body}, RevisionDetail)
        return answer

    def stop_study(self, study: StudyId) -> StudyDetail:
        """Ends a study, its trials under way included; it can be gone on with. One that is over stays as it is. Raises NotFound, NotAllowed."""
        answer: StudyDetail = self.call("POST", "/studies/{study}/stop", {"path": {"study": study}, "body": {}}, StudyDetail)
        return answer

    def update_model(self, model: ModelName, body: NewModel) -> Model:
        """The model with another owner, purpose or risk. Its name and team stay."""
        answer: Model = self.call("PUT", "/models/{model}", {"path": {"model": model}, "body": body}, Model)
        return answer

    def verify_ledger(self, *, known: tuple[str, ...] = ()) -> Verification:
        """What verifying the whole log and its content against this installation's own key gives."""
        answer: Verification = self.call("POST", "/ledger/verification", {"body": {"known": known}}, Verification)
        return answer

    def why_alert(self, alert: AlertId) -> Why:
        """What probably led to the alert, by what is known now, whether a rollback would help, and what to do. Raises AlertNotFound."""
        answer: Why = self.call("GET", "/alerts/{alert}/why", {"path": {"alert": alert}}, Why)
        return answer

    def withdraw_deprecation(self, model: ModelName, version: int) -> VersionDetail:
        """The version, not deprecated any more. Where it was not, nothing changes."""
        answer: VersionDetail = self.call("DELETE", "/models/{model}/versions/{version}/deprecation", {"path": {"model": model, "version": version}}, VersionDetail)
        return answer

    def withdraw_endpoint(self, model: ModelName, *, cause: str = '') -> None:
        """Takes a model out of service: gateways answer 404 from their next heartbeat on. Its revisions stay on record."""
        self.call("POST", "/endpoints/{model}/withdrawal", {"path": {"model": model}, "body": {"cause": cause}}, None)
