"""A version's model card as a page: every line with the record that it was read from, and what only a person can say."""

import msgspec

from modelyard.access.domain import Principal
from modelyard.governance import service
from modelyard.governance.domain import CardSection, Dossier, ModelCard
from modelyard.governance.pages.words import SOURCES, Origin, source_page
from modelyard.registry.domain import ModelName
from modelyard.registry.service import show_version
from modelyard.storage.blobs import DIGEST, Blobs
from modelyard.storage.database import Snapshot
from modelyard.web.parts import Link


class CardFact(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the card: a term, what is recorded, and the page of the record. A digest is shown short and copyable."""

    term: str
    value: str
    source: Link
    is_digest: bool


class CardPart(msgspec.Struct, frozen=True, kw_only=True):
    """A section of the card with its lines."""

    section: CardSection
    facts: tuple[CardFact, ...]


class CardPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `governance/card.html`. `unsaid` are the sections in which a person has something to add."""

    card: ModelCard
    sections: tuple[CardPart, ...]
    aliases: tuple[str, ...]
    unsaid: tuple[Link, ...]
    dossier: Dossier | None


def show_card(snapshot: Snapshot, principal: Principal, blobs: Blobs, model: ModelName, version: int) -> CardPage:
    """The model card of a version. Raises NotAttestable where no delivery made it."""
    card = service.get_card(snapshot, blobs, principal, model, version)
    made = service.list_version_dossiers(snapshot, principal, model, version)
    origin = Origin(model=model, version=version, delivery=card.delivery, run=card.run)
    return CardPage(
        card=card,
        sections=tuple(CardPart(section=one, facts=_facts(one, origin)) for one in card.sections),
        aliases=tuple(show_version(snapshot, principal, model, version).aliases),
        unsaid=tuple(Link(one.title, f"#{one.id}") for one in card.sections if one.open),
        dossier=made[0] if made else None,
    )


def _facts(section: CardSection, origin: Origin) -> tuple[CardFact, ...]:
    return tuple(
        CardFact(
            term=one.term,
            value=one.value,
            source=Link(SOURCES[one.source], source_page(one.source, origin)),
            is_digest=DIGEST.fullmatch(one.value) is not None,
        )
        for one in section.lines
    )
