"""What a join and the process between it and Ray say to each other: a number a line one way, JSON a line the other. Owns the words."""

import msgspec


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: how many processors the cluster has, or why it is not reached."""

    cpus: int = 1
    away: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A task is answered, or has failed for good."""

    number: int
    error: str = ""


def task_file(number: int) -> str:
    """The file, in the folder of both, that holds a task."""
    return f"{number}.task"


def answer_file(number: int) -> str:
    """The file that holds its answers."""
    return f"{number}.answer"
