"""The table of commands. Owns their names and where their functions are; loads none of them."""

import msgspec


class Command(msgspec.Struct, frozen=True):
    """A command: its name, where its function is, one line about it, and the group that it is listed in."""

    name: str
    home: str
    about: str
    group: str


COMMANDS = (
    Command("init", "modelyard.cli.starting:init", "A new project with a first model and its CI workflow", "Build"),
    Command("adopt", "modelyard.cli.adopting:adopt", "A model's declaration, written from a tracked run", "Build"),
    Command("plan", "modelyard.cli.projects:plan", "What the declarations would change", "Build"),
    Command("apply", "modelyard.cli.projects:apply", "Change it", "Build"),
    Command("tune", "modelyard.cli.tuning:tune", "A model's parameters searched, trial by trial", "Build"),
    Command("features list", "modelyard.cli.catalogue:list_", "The views of your teams, stale ones first", "Build"),
    Command("features show", "modelyard.cli.catalogue:show", "A view: how fresh, what reads it, and what is wrong", "Build"),
    Command("features get", "modelyard.cli.features:get", "A feature set's values online, with their ages", "Build"),
    Command("features join", "modelyard.cli.features:join", "A feature set joined to rows, as it was visible at each instant", "Build"),
    Command("features push", "modelyard.cli.features:push", "A file's rows, pushed as events that views read", "Build"),
    Command(
        "features materialize",
        "modelyard.cli.materializing:materialize",
        "What became available, brought online; a range anew",
        "Build",
    ),
    Command("features erase", "modelyard.cli.erasing:erase", "All values of an entity erased, with a reason", "Build"),
    Command("sync", "modelyard.cli.spools:sync", "What runs left in their spools, delivered", "Build"),
    Command("ship", "modelyard.cli.deliveries:ship", "A model through the life cycle, followed live", "Deliver"),
    Command("status", "modelyard.cli.standing:status", "What is live, since when, its health, and what waits for whom", "Deliver"),
    Command("approve", "modelyard.cli.deliveries:approve", "Approve what waits", "Deliver"),
    Command("reject", "modelyard.cli.deliveries:reject", "Reject what waits, with a reason", "Deliver"),
    Command("portfolio", "modelyard.cli.fleet:portfolio", "Every model, worst first, and what waits for whom", "Watch"),
    Command("questions", "modelyard.cli.fleet:questions", "The six questions, answered from records", "Deliver"),
    Command("reproduce", "modelyard.cli.reproductions:reproduce", "A version or run made again from its records, and compared", "Deliver"),
    Command("trace", "modelyard.cli.fleet:trace", "What a prediction, version or run was made from", "Deliver"),
    Command("dossier", "modelyard.cli.governance:dossier", "The audit dossier of a version: PDF, evidence, proofs", "Deliver"),
    Command("trust", "modelyard.cli.governance:trust", "What an auditor keeps to verify bundles with", "Deliver"),
    Command("verify", "modelyard.cli.verification:verify", "An audit bundle held against what you trust, offline", "Deliver"),
    Command("rollback", "modelyard.cli.traffic:rollback", "A model back to the version before, at once", "Deliver"),
    Command("deprecate", "modelyard.cli.traffic:deprecate", "A version that should not be taken up any more, with a reason", "Deliver"),
    Command("retire", "modelyard.cli.traffic:retire", "A model or a version out of service for good, with a reason", "Deliver"),
    Command("log labels", "modelyard.cli.labels:labels", "Late ground truth from a file", "Watch"),
    Command("why", "modelyard.cli.alerts:why", "What led to an alert, and whether a rollback would help", "Watch"),
    Command("silence", "modelyard.cli.alerts:silence", "An alert not told again for a while, with a reason", "Watch"),
    Command("login", "modelyard.cli.logins:login", "Keep a token for a server", "Access"),
    Command("logout", "modelyard.cli.logins:logout", "Forget and revoke it", "Access"),
    Command("token create", "modelyard.cli.accounts:create_token", "A new token, shown once", "Access"),
    Command("token list", "modelyard.cli.accounts:list_tokens", "Your tokens, never their secrets", "Access"),
    Command("token revoke", "modelyard.cli.accounts:revoke_token", "Revoke a token at once", "Access"),
    Command("user add", "modelyard.cli.accounts:add_user", "A new account, and the link for its password", "Access"),
    Command("user list", "modelyard.cli.accounts:list_users", "The accounts of your teams", "Access"),
    Command("import mlflow", "modelyard.cli.moving:import_mlflow", "What an MLflow server or database holds, brought here", "Move"),
    Command("export", "modelyard.cli.moving:export", "Everything that tracking and the registry hold, in open formats", "Move"),
    Command("up", "modelyard.server.commands.up:up", "All roles on one machine", "Run"),
    Command("server", "modelyard.server.commands.server:server", "The control plane alone", "Run"),
    Command("gateway", "modelyard.server.commands.gateway:gateway", "The data plane alone", "Run"),
    Command("worker", "modelyard.server.commands.worker:worker", "A worker alone", "Run"),
    Command("doctor", "modelyard.server.doctor:doctor", "What is wrong with this installation, and what to do", "Run"),
)
GROUPS = ("Build", "Deliver", "Watch", "Access", "Move", "Run")
