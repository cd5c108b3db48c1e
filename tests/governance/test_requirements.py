"""The catalogue, and how a requirement is answered: by evidence, by saying what lacks, or not at all without a person."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.governance.domain import Evidence, EvidenceKind, Status
from modelyard.governance.requirements import catalogue
from modelyard.governance.rules.catalogue import Found, Requirement, answered, counted
from modelyard.governance.rules.packages import decided, locked_packages

AT = "2026-01-01T00:00:00Z"
FACTS = sorted(catalogue().facts)
KINDS = {kind: next(one for one in catalogue().requirements if one.kind is kind and one.framework == "iso-42001") for kind in EvidenceKind}


def found(*facts: str) -> Found:
    """Evidence for those facts."""
    return Found(evidence={fact: (Evidence(path="bom.cdx.json", pointer=f"/{fact}", sha256="00" * 32),) for fact in facts})


def requirement(name: str) -> Requirement:
    """A requirement of the catalogue."""
    return next(one for one in catalogue().requirements if one.id == name)


def test_the_catalogue_holds_202_requirements_of_eight_frameworks_over_facts_that_it_defines() -> None:
    known = catalogue()
    assert (len(known.requirements), len(known.frameworks)) == (202, 8)
    assert len({one.id for one in known.requirements}) == 202
    assert {one.framework for one in known.requirements} <= {one.id for one in known.frameworks}
    assert {fact for one in known.requirements for fact in one.facts} <= set(known.facts)


@given(st.sets(st.sampled_from(FACTS)), st.sampled_from(("minimal", "limited", "high")))
def test_no_set_of_records_closes_what_needs_a_person_and_nothing_is_met_without_all_of_its_facts(facts: set[str], tier: str) -> None:
    for one in catalogue().requirements:
        answer = answered(one, tier, found(*facts), AT)
        if answer.status is Status.MET:
            assert one.kind is EvidenceKind.AUTO
            assert set(one.facts) <= facts
            assert len(answer.evidence) == len(one.facts)
        else:
            assert answer.reason
        assert bool(answer.needs) == (one.kind is not EvidenceKind.AUTO and answer.status is Status.MISSING)


def test_what_lacks_is_named() -> None:
    one = KINDS[EvidenceKind.AUTO]
    answer = answered(one, "limited", found(one.facts[0]), AT)
    assert (answer.status, answer.reason) == (Status.MISSING, f"not on record: {', '.join(one.facts[1:])}")
    assert [each.pointer for each in answer.evidence] == [f"/{one.facts[0]}"]


@pytest.mark.parametrize("kind", [EvidenceKind.HUMAN, EvidenceKind.BOTH])
def test_what_a_person_has_to_add_shows_what_is_on_record_meanwhile(kind: EvidenceKind) -> None:
    one = KINDS[kind]
    answer = answered(one, "limited", found(*one.facts), AT)
    assert (answer.status, answer.needs, len(answer.evidence)) == (Status.MISSING, "person", len(one.facts))
    assert "a person has to" in answer.reason


def test_duties_for_high_risks_and_rescinded_guidance_do_not_apply_below() -> None:
    duty, rescinded = requirement("EUAIA-12.1"), requirement("SR117-VI.3")
    below = answered(duty, "limited", found(*duty.facts), AT)
    assert (below.status, "high-risk systems" in below.reason) == (Status.NOT_APPLICABLE, True)
    assert answered(duty, "high", found(*duty.facts), AT).status is Status.MET
    assert answered(rescinded, "high", found(*rescinded.facts), AT).status is Status.NOT_APPLICABLE


def test_what_was_read_from_secondary_sources_says_so() -> None:
    answers = [answered(one, "high", found(), AT) for one in catalogue().requirements]
    assert sum(one.uncertain for one in answers) == sum(one.uncertain for one in catalogue().requirements) > 0
    counts = counted(answers)
    assert sum(msgspec.structs.astuple(counts)) == 202
    assert counts.met == 0


LOCK = b"""
[[package]]
name = "mine"
version = "0"
source = { virtual = "." }
dependencies = [
    { name = "numpy", version = "2.4", source = { registry = "x" }, marker = "python_full_version < '3.12'" },
    { name = "numpy", version = "2.5", source = { registry = "x" }, marker = "python_full_version >= '3.12'" },
    { name = "winonly", marker = "sys_platform == 'win32'" },
]
[package.dev-dependencies]
dev = [{ name = "pytest" }]
[[package]]
name = "numpy"
version = "2.4"
source = { registry = "x" }
wheels = [{ url = "y", hash = "sha256:aa" }]
[[package]]
name = "numpy"
version = "2.5"
source = { registry = "x" }
[[package]]
name = "winonly"
version = "1"
source = { registry = "x" }
dependencies = [{ name = "mine" }, { name = "deep" }]
[[package]]
name = "deep"
version = "1"
source = { registry = "x" }
[[package]]
name = "pytest"
version = "8"
source = { registry = "x" }
"""


def test_packages_are_those_that_the_project_needs_under_the_recorded_python() -> None:
    packages = locked_packages(LOCK, {"python_full_version": "3.11.7"})
    assert [(one.name, one.version, one.is_optional) for one in packages] == [
        ("deep", "1", True),
        ("numpy", "2.4", False),
        ("winonly", "1", True),
    ]
    assert packages[1].digests == ("aa",)


MARKERS = {
    "": True,
    "python_full_version >= '3.11'": True,
    "python_full_version < '3.11' or platform_machine == 'x86_64'": True,
    "(python_full_version < '3.11' or sys_platform == 'x') and platform_machine != 'x86_64'": False,
    "sys_platform == 'linux' or python_version == '3.10'": None,
    "extra == 'x' and python_version > '3.9'": None,
    "python_full_version in '3.11'": None,
    "nonsense": None,
}


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_is_decided_only_by_what_is_on_record(marker: str) -> None:
    assert decided(marker, {"python_full_version": "3.11.7", "python_version": "3.11", "platform_machine": "x86_64"}) is MARKERS[marker]
