"""What a declaration may have the server read: sources lie below folders or addresses that an admin named. Owns that bound alone."""

import os
from pathlib import Path

from modelyard.access.domain import EVERY_TEAM, LOCAL_COMMANDS, Principal, Role
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.settings import Settings
from modelyard.delivery import service
from modelyard.delivery.declaration import AppliedModel, DeclaredModel, ModelDeclaration
from modelyard.features.domain import Csv, Delta, Parquet, Push, Sql, is_address
from modelyard.features.sources.files import ENDINGS, files_at, fixed_part
from modelyard.features.sources.reach import connection_url
from modelyard.storage.database import Database
from modelyard.storage.objects import local_folder


class SourceOutside(ModelyardError):
    """The source lies outside of what this installation reads from."""

    kind = Kind.FORBIDDEN


def declare_model(database: Database, principal: Principal, settings: Settings, body: DeclaredModel) -> AppliedModel:
    """Makes a declaration the current one of its model, and its views and feature set the ones under their names.

    Types that a declaration leaves open are read from the sources, which lie below `features.roots` or `features.addresses`, and
    never where the installation keeps its own data; this machine's own commands and admins of the installation, who reach
    all that anyway, may name any. Which databases there are the settings say to everybody. Raises SourceOutside.
    """
    if not reads_anything(principal):
        check_sources(body.declaration, Path(body.root), settings)
    return service.declare_model(database, principal, body)


def reads_anything(principal: Principal) -> bool:
    """Whether the caller owns the installation: its admin, or who holds the token in the data folder."""
    return principal.may(Role.ADMIN, EVERY_TEAM) or (principal.kind == "service" and principal.name == LOCAL_COMMANDS)


def check_sources(declaration: ModelDeclaration, root: Path, settings: Settings) -> None:
    """Raises SourceOutside unless every file of every source lies where others may have it read, all links followed."""
    sources = (declaration.observations.source, *(view.source for view in declaration.views))
    for source in dict.fromkeys(sources):
        if isinstance(source, Sql):
            connection_url(source.connection)
            _check_connection(source.connection, declaration.team, settings)
        elif isinstance(source, Push):
            continue  # whose events those are is checked where the view is applied
        elif is_address(source.path):
            _check_address(source.path, settings)
        else:
            _check_path(source, root, settings)


def _check_connection(name: str, team: str, settings: Settings) -> None:
    teams = settings.features.connection_teams.get(name)
    if teams is not None and team not in teams:
        raise SourceOutside(
            f"the connection {name} is not read for models of the team {team}",
            hint=f"have an admin add {team} to features.connection_teams in modelyard.toml, or declare it for a team that may read it",
        )


def _check_path(source: Parquet | Csv | Delta, root: Path, settings: Settings) -> None:
    allowed = tuple(Path(one).resolve() for one in settings.features.roots)
    own = tuple(Path(one).resolve() for one in (settings.folder, *filter(None, (local_folder(url) for url in _kept_at(settings)))))

    def is_open(path: Path) -> bool:
        return _is_below(path, allowed) and not _is_below(path, own)

    # The path itself comes first, so that nothing outside is so much as looked at.
    ending = ENDINGS.get(type(source), "")
    if not is_open(root / source.path) or not all(is_open(Path(one.path)) for one in files_at(source.path, root, ending)):
        names = ", ".join(map(str, allowed)) or "none"
        raise SourceOutside(
            f"{source.path} of {root} lies outside of the folders that sources may be read from: {names}",
            hint="have an admin add its folder to features.roots in modelyard.toml, or apply it on the server's own machine",
        )


def _check_address(path: str, settings: Settings) -> None:
    allowed = settings.features.addresses
    if not any(_leads_below(path, one) for one in allowed) or any(_leads_below(path, one) for one in _kept_at(settings)):
        raise SourceOutside(
            f"{path} lies outside of the addresses that sources may be read from: {', '.join(allowed) or 'none'}",
            hint="have an admin add where it begins to features.addresses in modelyard.toml",
        )


def _kept_at(settings: Settings) -> tuple[str, ...]:
    """Where the installation keeps what is its own."""
    return settings.blobs_url, settings.tables_url


def _leads_below(path: str, address: str) -> bool:
    """Whether all that `path` may stand for lies below `address`."""
    return fixed_part(path).startswith(address.rstrip("/") + "/")


def _is_below(path: Path, allowed: tuple[Path, ...]) -> bool:
    real = Path(os.path.realpath(path))  # `resolve` raises for a link to itself, before Python 3.13
    return any(real.is_relative_to(root) for root in allowed)
