"""The parts that page contexts are made of: links, steps, moments, crumbs, hits. Owns their data; `macros.html` draws them."""

from typing import Literal

import msgspec

from modelyard.core.clock import Instant

Tone = Literal["good", "warn", "bad", "idle", "busy"]
"""What a state means: well, needs a look, failed, not at work, under way."""

StepState = Literal["done", "now", "failed", "waits", "skipped", "next"]


class Link(msgspec.Struct, frozen=True):
    """A word and where it leads."""

    label: str
    href: str


class Chip(msgspec.Struct, frozen=True):
    """A usual filter of a list: its word, where it leads, how many it finds, and whether it is the one in force."""

    label: str
    href: str
    count: int | None = None
    is_on: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of a pipeline as a page shows it: its name, how it stands, one short fact."""

    name: str
    state: StepState = "next"
    text: str = ""
    href: str = ""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: when, what, and what more there is to say."""

    at: Instant
    title: str
    text: str = ""
    tone: Tone = "idle"
    href: str = ""


class Change(msgspec.Struct, frozen=True):
    """A key with its value before and after; `None` where there was or is none."""

    key: str
    before: str | None
    after: str | None


class Pager(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list goes on: keyset pagination, so there is a next page and a first one, and no page numbers."""

    said: str
    first: str | None = None
    next: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """One of the values that a field offers."""

    value: str
    label: str
    is_on: bool = False


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a search found."""

    title: str
    href: str
    detail: str = ""


class HitGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found of one kind, best first."""

    label: str
    hits: tuple[Hit, ...]


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `web/search.html`: what was asked, and what was found of each kind."""

    q: str
    groups: tuple[HitGroup, ...]


class LoginPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `web/login.html`. `next` is the path to go to afterwards; `hint` says how to get in at first."""

    error: str = ""
    next: str = "/"
    hint: str = ""
    name: str = ""


class FirstPasswordPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `web/first_password.html`: who chooses a password, under which one-time token."""

    name: str
    token: str
    error: str = ""
    least: int = 12
