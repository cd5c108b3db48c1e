"""Signed notes against the vectors of Go's sumdb/note, and checkpoints against the C2SP specification."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.ledger.domain import NoteInvalid
from modelyard.ledger.rules import note

# Key, text and signature of the tests of golang.org/x/mod/sumdb/note.
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
NOTE = f"{TEXT}\n{LINE}"
KEY = note.parse_verifier_key(VERIFIER)
ROOT = bytes(range(32))


def test_the_note_of_go_is_signed_byte_for_byte_and_opens() -> None:
    assert note.signed_note(TEXT, note.parse_signer_key(SIGNER)) == NOTE
    assert note.opened_note(NOTE, [KEY]) == TEXT


def test_keys_keep_their_lines() -> None:
    signer = note.parse_signer_key(SIGNER)
    assert (signer.text, signer.verifier.text, KEY.text) == (SIGNER, VERIFIER, VERIFIER)
    assert KEY.key_id.hex() == "c74f20a3"


def test_a_private_key_is_not_shown_by_its_representation() -> None:
    signer = note.parse_signer_key(SIGNER)
    assert signer.seed.hex() not in repr(signer)
    assert base64.b64encode(signer.seed).decode() not in f"{signer!r}{signer}"


def test_no_part_of_a_key_line_and_no_change_of_a_character_passes_as_a_key() -> None:
    parts = [VERIFIER[start:end] for start in range(0, len(VERIFIER), 3) for end in range(start, len(VERIFIER) + 1)]
    changed = [VERIFIER[:at] + chr(ord(VERIFIER[at]) + 1) + VERIFIER[at + 1 :] for at in range(len(VERIFIER))]
    longer = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="
    other_algorithm = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    for wrong in (*(part for part in parts if part != VERIFIER), *changed, longer, other_algorithm):
        with pytest.raises(NoteInvalid):
            note.parse_verifier_key(wrong)


def test_a_wrong_private_key_is_refused_without_repeating_it() -> None:
    for wrong in (VERIFIER, SIGNER[:-2] + "A=", SIGNER.replace("c74f20a3", "c74f20a4")):
        with pytest.raises(NoteInvalid) as caught:
            note.parse_signer_key(wrong)
        assert "AYEKFALV" not in caught.value.message


@pytest.mark.parametrize(
    "broken",
    [
        NOTE[:-1],
        NOTE + "\n",
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("— ", ""),
        NOTE.replace("PeterNeumann ", "PeterNeumann  "),
        NOTE.replace("PeterNeumann ", "Peter+Neumann "),
        NOTE.replace("x08go", "x08g"),
        NOTE.replace("JnAM=", "JnAN="),
        f"{TEXT}\n— PeterNeumann x08goA==\n",
        f"{TEXT}\n",
        NOTE.replace("If", "\tIf"),
        "",
        TEXT + "\n" + LINE * 101,
    ],
)
def test_malformed_notes_are_refused(broken: str) -> None:
    with pytest.raises(NoteInvalid):
        note.opened_note(broken, [KEY])


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 127))
def test_a_note_with_any_character_changed_does_not_open(at: int, shift: int) -> None:
    changed = NOTE[:at] + chr((ord(NOTE[at]) + shift) % 0x3000) + NOTE[at + 1 :]
    with pytest.raises(NoteInvalid):
        note.opened_note(changed, [KEY])


def test_signatures_of_unknown_keys_are_passed_over_and_alone_do_not_count() -> None:
    other = note.SignerKey(name="witness.example/w", seed=bytes(32))
    line = note.signed_note(TEXT, other).rpartition("\n\n")[2]
    assert note.opened_note(NOTE + line, [KEY]) == TEXT
    assert note.opened_note(f"{TEXT}\n{line}{LINE}", [KEY]) == TEXT
    with pytest.raises(NoteInvalid, match="none of the 1 trusted keys"):
        note.opened_note(f"{TEXT}\n{line}", [KEY])
    with pytest.raises(NoteInvalid, match="none of the 0 trusted keys"):
        note.opened_note(NOTE, [])


def test_one_wrong_signature_of_a_trusted_key_spoils_the_note() -> None:
    wrong = note.signed_note(TEXT + "more\n", note.parse_signer_key(SIGNER)).rpartition("\n\n")[2]
    with pytest.raises(NoteInvalid, match="does not fit"):
        note.opened_note(NOTE + wrong, [KEY])


def test_a_text_without_its_last_newline_is_not_signed() -> None:
    for text in ("no newline", "a\tb\n"):
        with pytest.raises(NoteInvalid):
            note.signed_note(text, note.parse_signer_key(SIGNER))


def test_a_checkpoint_reads_as_it_was_written() -> None:
    text = note.checkpoint_text("example.com/behind-the-sofa", 20_852_163, ROOT)
    assert text == f"example.com/behind-the-sofa\n20852163\n{base64.b64encode(ROOT).decode()}\n"
    found = note.parse_checkpoint_text(text)
    assert (found.origin, found.size, found.root) == ("example.com/behind-the-sofa", 20_852_163, ROOT)


def test_the_checkpoint_of_the_specification_parses_with_extension_lines() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nextension\n"
    assert note.parse_checkpoint_text(text).root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"


@pytest.mark.parametrize("size", ["", "01", "-1", "+1", "1e3", "\N{ARABIC-INDIC DIGIT ONE}", " 1", "00"])
def test_a_size_has_one_form(size: str) -> None:
    with pytest.raises(NoteInvalid):
        note.parse_checkpoint_text(f"origin\n{size}\n{base64.b64encode(ROOT).decode()}\n")


@pytest.mark.parametrize("text", ["o\n1\n", "o\n1\nAAAA\n", "o\n1\n\n", "\n1\n{}\n", "o\n1\n{}", "o\n1\n{}\n\n"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        note.parse_checkpoint_text(text.format(base64.b64encode(ROOT).decode()))


def test_a_key_opens_checkpoints_of_its_own_log_only() -> None:
    signer = note.parse_signer_key(SIGNER)
    own = note.signed_note(note.checkpoint_text("PeterNeumann", 7, ROOT), signer)
    assert note.opened_checkpoint(own, KEY).size == 7
    foreign = note.signed_note(note.checkpoint_text("example.com/log", 7, ROOT), signer)
    with pytest.raises(NoteInvalid, match=r"is of example\.com/log, the key of PeterNeumann"):
        note.opened_checkpoint(foreign, KEY)


def test_an_origin_with_spaces_or_plus_is_refused() -> None:
    for origin in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(NoteInvalid):
            note.checkpoint_text(origin, 1, ROOT)
