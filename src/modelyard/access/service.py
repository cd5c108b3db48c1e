"""The use cases of access: who may, logging in, accounts, teams, tokens. Each change writes its ledger entry."""

from modelyard.access.domain import NotAllowed, Principal, Role, TeamId


def require(principal: Principal, role: Role, team: TeamId) -> None:
    """Raises NotAllowed unless `principal` has `role`, or one that includes it, in `team`."""
    if not principal.may(role, team):
        raise NotAllowed(
            f"{principal.name} is no {role} in team {team}",
            hint=f"ask an admin of {team} for the role: yard user role NAME {team} {role}",
        )
