# SPDX-License-Identifier: Apache-2.0
"""A newcomer's own key and its public file: what is shown, what is refused, and what goes on after a cut (ENR-12)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.authority.newkey import make_key, open_new_key, public_half, read_new_key, words_of
from connectors.authority.office import Office, open_signer
from connectors.cli.failures import next_step
from keys.sealedfile import open_file
from keys.signing import HybridSigner
from protocol import labels
from protocol.errors import ConfigurationError, EnrolmentRefused, KeystoreError, MalformedEnvelope
from protocol.newcomer import NewKey, new_key_message
from tests.scenarios.running import Spoken, Typist

pytestmark = pytest.mark.usefixtures("quick_keys")

ROOT = bytes(range(32))
PLACE = "approver-2"
SIGNER = HybridSigner.from_seeds(b"e" * 32, b"m" * 32)
NEW = public_half(SIGNER, PLACE, ROOT)
SPOKEN = " ".join(words_of(NEW))


@pytest.fixture
def type_(capsys: pytest.CaptureFixture[str]) -> Typist:
    return Typist(capsys)


def makes(type_: Typist, key: Path, *more: str, typed: str = "a newcomer's passphrase") -> Spoken:
    file = key.with_name("secret")
    file.write_text(f"{typed}\n")
    file.chmod(0o600)
    given = more or ("--approver", "2", "--root-fingerprint", ROOT.hex())
    return type_("authority", "new-key", "--out", key, "--passphrase-file", file, *given)


def test_enr_9_a_newcomers_key_is_sealed_for_one_place_and_bound_to_the_root(type_: Typist, tmp_path: Path) -> None:
    key = tmp_path / "approver-2-new.key"
    spoken = makes(type_, key)
    assert spoken.code == 0, spoken.err
    assert key.stat().st_mode & 0o777 == 0o600
    public = tmp_path / "approver-2-new.pub"
    new = NewKey.parse(public.read_bytes())
    assert f"    {' '.join(words_of(new))}\n" in spoken.out, "alone on a line, to be read out"
    assert read_new_key(public, PLACE, ROOT, " ".join(words_of(new)).upper()) == new
    secret = b"a newcomer's passphrase"
    assert open_signer(key, PLACE, secret, ROOT).public == new.identity
    assert open_file(key, PLACE, secret)[64:] == ROOT
    for place, root in (("approver-1", ROOT), ("root-2", ROOT), (PLACE, bytes(32))):
        with pytest.raises(KeystoreError):
            open_signer(key, place, secret, root)
    for seed in open_signer(key, PLACE, secret, ROOT).seeds:
        assert seed not in public.read_bytes()


def test_enr_12_typed_again_it_shows_the_same_words_and_makes_no_other_key(type_: Typist, tmp_path: Path) -> None:
    """Cut off between key and public file, or the words forgotten."""
    key = tmp_path / "approver-2-new.key"
    first, sealed = makes(type_, key), key.read_bytes()
    (tmp_path / "approver-2-new.pub").unlink()
    again = makes(type_, key)
    assert (again.code, again.out) == (0, first.out), again.err
    assert key.read_bytes() == sealed
    wrong = makes(type_, key, typed="another passphrase")
    assert (wrong.code, key.read_bytes()) == (8, sealed), wrong.err
    other = makes(type_, key, "--approver", "3", "--root-fingerprint", ROOT.hex())
    assert (other.code, key.read_bytes()) == (8, sealed), "a key for another place"


def test_enr_12_a_file_that_lies_there_is_nobodys_to_overwrite(type_: Typist, tmp_path: Path) -> None:
    key, public = tmp_path / "approver-2-new.key", tmp_path / "approver-2-new.pub"
    public.write_text("somebody's")
    refused = makes(type_, key)
    assert (refused.code, public.read_text(), key.exists()) == (6, "somebody's", False), refused.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--approver", "0", "--root-fingerprint", ROOT.hex()), "a number from 1 to 10"),
        (("--approver", "11", "--root-fingerprint", ROOT.hex()), "a number from 1 to 10"),
        (("--approver", "2", "--root-fingerprint", ROOT.hex()[:-2]), "throughcare authority show"),
        (("--approver", "2", "--root-fingerprint", "g" * 64), "throughcare authority show"),
        (("--root-person", "11", "--root-fingerprint", ROOT.hex()), "a number from 1 to 10"),
        (("--root-fingerprint", ROOT.hex()), "--approver NUMBER or --root-person NUMBER"),
        (("--approver", "1", "--root-person", "1", "--root-fingerprint", ROOT.hex()), "--approver NUMBER or"),
    ],
)
def test_what_makes_no_key_says_what_to_type(given: tuple[str, ...], said: str, type_: Typist, tmp_path: Path) -> None:
    refused = makes(type_, tmp_path / "a.key", *given)
    assert (refused.code, said in refused.err, (tmp_path / "a.key").exists()) == (2, True, False), refused.err


Alter = Callable[[NewKey], NewKey]


def _others_proof(new: NewKey) -> NewKey:
    return replace(new, proof=HybridSigner.generate().sign(labels.NEW_KEY, new.message))


def _half_a_proof(new: NewKey) -> NewKey:
    """The identity's classical half is the stranger's own, the other one somebody else's."""
    return replace(new, proof=(new.proof[0], bytes(3309)))


def _another_use(new: NewKey) -> NewKey:
    """A signature of the very key, made for something else."""
    return replace(new, proof=SIGNER.sign(labels.STATEMENT, new.message))


def _another_key(new: NewKey) -> NewKey:
    return replace(new, identity=HybridSigner.generate().public)


def _low_order(new: NewKey) -> NewKey:
    return replace(new, identity=replace(new.identity, ed25519=bytes(32)))


@pytest.mark.parametrize("alter", [_others_proof, _half_a_proof, _another_use, _another_key, _low_order])
def test_enr_12_keys_that_nobody_proves_to_hold_are_refused(alter: Alter, tmp_path: Path) -> None:
    """Another agency's or approver's public key, say, in a file of the stranger's own."""
    altered, file = alter(NEW), tmp_path / "a.pub"
    file.write_bytes(altered.encode())
    with pytest.raises(EnrolmentRefused, match="was altered"):
        read_new_key(file, PLACE, ROOT, " ".join(words_of(altered)))


@pytest.mark.parametrize(
    ("place", "root", "spoken", "said"),
    [
        ("approver-1", ROOT, SPOKEN, "another place"),
        ("root-2", ROOT, SPOKEN, "another place"),
        (PLACE, bytes(32), SPOKEN, "another root"),
        (PLACE, ROOT, SPOKEN.rpartition(" ")[0], "words"),
        (PLACE, ROOT, "", "words"),
        (PLACE, ROOT, " ".join(reversed(SPOKEN.split())), "words"),
    ],
)
def test_enr_12_a_key_for_something_else_or_with_other_words_is_refused(
    place: str, root: bytes, spoken: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.pub"
    file.write_bytes(NEW.encode())
    with pytest.raises(EnrolmentRefused, match=said) as refused:
        read_new_key(file, place, root, spoken)
    # Other words lead back to the telephone, and to nobody who makes a key anew.
    assert ("type what you hear" in next_step(refused.value)) == (said == "words")


def test_enr_12_a_public_file_that_cannot_be_read_is_told_as_that(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pub", tmp_path):
        with pytest.raises(ConfigurationError):
            read_new_key(path, PLACE, ROOT, SPOKEN)


@given(st.binary(max_size=200) | st.integers(0, 5_000).map(lambda at: NEW.encode()[:at]))
def test_enr_12_what_is_no_public_file_is_malformed_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        NewKey.parse(raw)


@given(st.integers(0, len(NEW.encode()) - 1), st.integers(1, 255))
def test_enr_12_no_byte_of_a_public_file_can_be_changed(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    raw = bytearray(NEW.encode())
    raw[at] ^= flip
    file = tmp_path_factory.getbasetemp() / "flipped.pub"
    file.write_bytes(raw)
    with pytest.raises(EnrolmentRefused):
        read_new_key(file, PLACE, ROOT, SPOKEN)


def test_enr_4_the_words_of_two_keys_differ_and_depend_on_place_and_root(office: Office) -> None:
    other = HybridSigner.generate()
    root = office.facts.root_fingerprint
    made = [(SIGNER, PLACE, ROOT), (other, PLACE, ROOT), (SIGNER, "approver-1", ROOT), (SIGNER, PLACE, root)]
    assert len({words_of(public_half(*one)) for one in made}) == len(made)
    assert NEW.message == new_key_message(PLACE, ROOT, SIGNER.public)


def test_a_key_that_is_cut_is_none(tmp_path: Path) -> None:
    key = tmp_path / "a.key"
    make_key(key, PLACE, ROOT, b"p")
    key.write_bytes(key.read_bytes()[:-1])
    with pytest.raises(KeystoreError):
        make_key(key, PLACE, ROOT, b"p")


def test_enr_13_a_newcomer_to_the_root_opens_the_very_key_of_the_public_file(tmp_path: Path) -> None:
    mine = make_key(tmp_path / "mine.key", "root-1", ROOT, b"p")
    make_key(tmp_path / "other.key", "root-1", ROOT, b"p")
    new = public_half(mine, "root-1", ROOT)
    assert open_new_key(tmp_path / "mine.key", new, b"p").public == mine.public
    for key, secret in (("other.key", b"p"), ("mine.key", b"q")):
        with pytest.raises(KeystoreError):
            open_new_key(tmp_path / key, new, secret)
