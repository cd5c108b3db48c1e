"""The typed client, generated from the operations by `tools/client.py`. Do not edit."""

# fmt: off
from modelyard.access.domain import Invitation, Me, NewToken, Role, Team, TeamId, Token, TokenId, TokenOrder, User
from modelyard.delivery.domain import Approval, ApprovalId, ApprovalState, Delivery, DeliveryDetail, DeliveryId, DeliveryState, NewDelivery
from modelyard.delivery.service import AppliedModel, DeclaredModel, ModelPlan
from modelyard.ledger.domain import Checkpoint, ConsistencyProof, EntryPage, InclusionProof, LogFacts, ProvenEntry, Verification
from modelyard.sdk.transport import Transport


class Client(Transport):
    """Every operation of the control plane as a method."""

    def approve(self, approval: ApprovalId, *, reason: str = '') -> Approval:
        """Approves; the delivery goes on. Raises AuthorMayNotApprove, ApprovalIsDecided and NotAllowed."""
        answer: Approval = self.call("POST", "/approvals/{approval}/approval", {"path": {"approval": approval}, "body": {"reason": reason}}, Approval)
        return answer

    def cancel_delivery(self, delivery: DeliveryId, reason: str) -> DeliveryDetail:
        """Ends a delivery that is under way; what it has released stays as it is."""
        answer: DeliveryDetail = self.call("POST", "/deliveries/{delivery}/cancellation", {"path": {"delivery": delivery}, "body": {"reason": reason}}, DeliveryDetail)
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
        """Makes a declaration the current one of its model; the same one again changes nothing."""
        answer: AppliedModel = self.call("POST", "/declarations", {"body": body}, AppliedModel)
        return answer

    def disable_user(self, user: str) -> None:
        """Disables an account at once: its sessions end, its tokens are revoked, its link is void. Raises LastAdmin."""
        self.call("POST", "/users/{user}/disable", {"path": {"user": user}, "body": {}}, None)

    def enable_user(self, user: str) -> User:
        """Enables an account again. Its password and roles are as before; tokens stay revoked."""
        answer: User = self.call("POST", "/users/{user}/enable", {"path": {"user": user}, "body": {}}, User)
        return answer

    def get_declaration(self, model: str) -> AppliedModel:
        """The model's current declaration. Raises ModelNotDeclared."""
        answer: AppliedModel = self.call("GET", "/declarations/{model}", {"path": {"model": model}}, AppliedModel)
        return answer

    def get_delivery(self, delivery: DeliveryId) -> DeliveryDetail:
        """A delivery with its stages. Raises NotFound, also where it is another team's."""
        answer: DeliveryDetail = self.call("GET", "/deliveries/{delivery}", {"path": {"delivery": delivery}}, DeliveryDetail)
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
        """The entry at `index`, proven under the latest checkpoint if that covers it."""
        answer: ProvenEntry = self.call("GET", "/ledger/entries/{index}", {"path": {"index": index}}, ProvenEntry)
        return answer

    def get_me(self) -> Me:
        """Who the caller is, and the teams whose objects it sees."""
        answer: Me = self.call("GET", "/me", {}, Me)
        return answer

    def invite_user(self, name: str, team: TeamId, role: Role) -> Invitation:
        """A new person's account with a role in `team`, and the one-time link under which they choose a password."""
        answer: Invitation = self.call("POST", "/users", {"body": {"name": name, "team": team, "role": role}}, Invitation)
        return answer

    def latest_ledger_checkpoint(self) -> Checkpoint:
        """The checkpoint over the most entries. Raises NoSuchCheckpoint before the first."""
        answer: Checkpoint = self.call("GET", "/ledger/checkpoint", {}, Checkpoint)
        return answer

    def list_approvals(self, *, state: ApprovalState | None = None) -> list[Approval]:
        """Approvals of the caller's teams, newest first, at most 500."""
        answer: list[Approval] = self.call("GET", "/approvals", {"query": {"state": state}}, list[Approval])
        return answer

    def list_deliveries(self, *, model: str | None = None, state: DeliveryState | None = None, before: str | None = None) -> list[Delivery]:
        """Deliveries of the caller's teams, newest first, at most 100; `before` is the last id of the page before."""
        answer: list[Delivery] = self.call("GET", "/deliveries", {"query": {"model": model, "state": state, "before": before}}, list[Delivery])
        return answer

    def list_ledger_entries(self, *, type: str | None = None, subject: str | None = None, before: int | None = None, limit: int = 50) -> EntryPage:
        """Entries with an index below `before`, newest first, of one type or about one subject where these are given."""
        answer: EntryPage = self.call("GET", "/ledger/entries", {"query": {"type": type, "subject": subject, "before": before, "limit": limit}}, EntryPage)
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

    def plan_model(self, body: DeclaredModel) -> ModelPlan:
        """What applying a declaration would change: the model, and each feature view that it reads."""
        answer: ModelPlan = self.call("POST", "/declarations/plan", {"body": body}, ModelPlan)
        return answer

    def prove_ledger_consistency(self, first: int, *, second: int | None = None) -> ConsistencyProof:
        """The proof that the log of the first `first` entries begins that of `second`, by default the latest checkpoint's size."""
        answer: ConsistencyProof = self.call("GET", "/ledger/consistency", {"query": {"first": first, "second": second}}, ConsistencyProof)
        return answer

    def prove_ledger_inclusion(self, index: int, *, size: int | None = None) -> InclusionProof:
        """The proof that entry `index` is in the tree of the first `size` entries, by default that of the latest checkpoint."""
        answer: InclusionProof = self.call("GET", "/ledger/entries/{index}/proof", {"path": {"index": index}, "query": {"size": size}}, InclusionProof)
        return answer

    def reject(self, approval: ApprovalId, reason: str) -> Approval:
        """Rejects, with a reason; the delivery ends as refused. Raises ApprovalIsDecided and NotAllowed."""
        answer: Approval = self.call("POST", "/approvals/{approval}/rejection", {"path": {"approval": approval}, "body": {"reason": reason}}, Approval)
        return answer

    def remove_role(self, user: str, team: TeamId) -> None:
        """Takes an account's role in a team. Raises LastAdmin."""
        self.call("DELETE", "/users/{user}/roles/{team}", {"path": {"user": user, "team": team}}, None)

    def renew_invitation(self, user: str) -> Invitation:
        """A new one-time link for an account: for a link that lapsed, or a password that was forgotten. The last link is void."""
        answer: Invitation = self.call("POST", "/users/{user}/invitation", {"path": {"user": user}, "body": {}}, Invitation)
        return answer

    def revoke_token(self, token: TokenId) -> None:
        """Revokes a token at once: the caller's own, or one of an account that the caller administers. Raises NoSuchToken."""
        self.call("DELETE", "/tokens/{token}", {"path": {"token": token}}, None)

    def set_role(self, user: str, team: TeamId, role: Role) -> User:
        """Gives an account a role in a team, instead of the one it has there; `*` is every team. Raises LastAdmin."""
        answer: User = self.call("PUT", "/users/{user}/roles/{team}", {"path": {"user": user, "team": team}, "body": {"role": role}}, User)
        return answer

    def start_delivery(self, body: NewDelivery) -> Delivery:
        """Starts a delivery of the model as it is declared now. Raises ModelNotDeclared, DeliveryUnderWay and NotAllowed."""
        answer: Delivery = self.call("POST", "/deliveries", {"body": body}, Delivery)
        return answer

    def verify_ledger(self, *, known: tuple[str, ...] = ()) -> Verification:
        """What verifying the whole log against this installation's own key gives."""
        answer: Verification = self.call("POST", "/ledger/verification", {"body": {"known": known}}, Verification)
        return answer
