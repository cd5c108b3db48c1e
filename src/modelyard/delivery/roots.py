"""Which files a declaration may have the server read: sources lie below folders that an admin named. Owns that bound alone."""

from pathlib import Path

from modelyard.access.domain import EVERY_TEAM, LOCAL_COMMANDS, Principal, Role
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.settings import Settings
from modelyard.delivery import service
from modelyard.delivery.declaration import AppliedModel, DeclaredModel, ModelDeclaration
from modelyard.features.domain import Parquet
from modelyard.features.rows import source_files
from modelyard.storage.database import Database


class SourceOutside(ModelyardError):
    """The source lies outside of the folders that this installation reads from."""

    kind = Kind.FORBIDDEN


def declare_model(database: Database, principal: Principal, settings: Settings, body: DeclaredModel) -> AppliedModel:
    """Makes a declaration the current one of its model, and its views and feature set the ones under their names.

    Types that a declaration leaves open are read from the sources, which lie below `features.roots`; this machine's own
    commands and admins of the installation, who reach its files anyway, may name any. Raises SourceOutside.
    """
    if not reads_anything(principal):
        check_sources(body.declaration, Path(body.root), tuple(Path(root).resolve() for root in settings.features.roots))
    return service.declare_model(database, principal, body)


def reads_anything(principal: Principal) -> bool:
    """Whether the caller owns the installation: its admin, or who holds the token in the data folder."""
    return principal.may(Role.ADMIN, EVERY_TEAM) or (principal.kind == "service" and principal.name == LOCAL_COMMANDS)


def check_sources(declaration: ModelDeclaration, root: Path, allowed: tuple[Path, ...]) -> None:
    """Raises SourceOutside unless every file of every source lies below a folder of `allowed`, all links followed."""
    sources = (declaration.observations.source, *(view.source for view in declaration.views))
    for source in dict.fromkeys(sources):
        # The path itself comes first, so that nothing outside is so much as looked at.
        if not _is_below(root / source.path, allowed) or not all(_is_below(Path(one.path), allowed) for one in source_files(source, root)):
            raise _outside(source, root, allowed)


def _is_below(path: Path, allowed: tuple[Path, ...]) -> bool:
    return any(path.resolve().is_relative_to(root) for root in allowed)


def _outside(source: Parquet, root: Path, allowed: tuple[Path, ...]) -> SourceOutside:
    names = ", ".join(map(str, allowed)) or "none"
    return SourceOutside(
        f"{source.path} of {root} lies outside of the folders that sources may be read from: {names}",
        hint="have an admin add its folder to features.roots in modelyard.toml, or apply it on the server's own machine",
    )
