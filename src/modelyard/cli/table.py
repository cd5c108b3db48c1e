"""The table of commands. Owns their names and where their functions are; loads none of them."""

import msgspec


class Command(msgspec.Struct, frozen=True):
    """A command: its name, where its function is, one line about it, and the group that it is listed in."""

    name: str
    home: str
    about: str
    group: str


COMMANDS = (
    Command("up", "modelyard.server.commands:up", "All roles on one machine", "Run"),
    Command("server", "modelyard.server.commands:server", "The control plane alone", "Run"),
    Command("gateway", "modelyard.server.commands:gateway", "The data plane alone", "Run"),
    Command("worker", "modelyard.server.commands:worker", "A worker alone", "Run"),
    Command("plan", "modelyard.cli.projects:plan", "What the declarations would change", "Build"),
    Command("apply", "modelyard.cli.projects:apply", "Change it", "Build"),
    Command("ship", "modelyard.cli.deliveries:ship", "A model through the life cycle, followed live", "Deliver"),
    Command("status", "modelyard.cli.deliveries:status", "What is under way, and what waits for whom", "Deliver"),
    Command("approve", "modelyard.cli.deliveries:approve", "Approve what waits", "Deliver"),
    Command("reject", "modelyard.cli.deliveries:reject", "Reject what waits, with a reason", "Deliver"),
    Command("trace", "modelyard.cli.fleet:trace", "What a prediction, version or run was made from", "Deliver"),
)
GROUPS = ("Build", "Deliver", "Run")
