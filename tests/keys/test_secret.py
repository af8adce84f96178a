# SPDX-License-Identifier: Apache-2.0
"""Nothing that holds a secret prints it or lets itself be serialised (attack 61, this package's part)."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from keys.keystore import Keystore, _Entry
from keys.opening import VerifiedMessage, VerifiedSection
from keys.sealedfile import SMALL, PassphraseKey
from keys.sealing import MessageDraft, SectionDraft
from keys.secret import Secret
from keys.signing import DeviceSigner, Ed25519Signer, HybridSigner
from keys.xwing import XWingSecret

CANARY = b"canary canary canary canary 32 B"
SECRETS: dict[str, Callable[[Path], Secret]] = {
    "<XWingSecret: secret>": lambda _: XWingSecret(CANARY),
    "<Ed25519Signer: secret>": lambda _: Ed25519Signer.from_seed(CANARY),
    "<HybridSigner: secret>": lambda _: HybridSigner.from_seeds(CANARY, CANARY),
    "<DeviceSigner: secret>": lambda _: DeviceSigner.from_seeds(CANARY, CANARY, bytes(32)),
    "<PassphraseKey: secret>": lambda _: PassphraseKey.create(CANARY, SMALL),
    "<Keystore: secret>": lambda folder: Keystore.create(folder / "keys", CANARY, SMALL),
}


@pytest.mark.parametrize("expected", SECRETS)
def test_err_2_a_secret_prints_as_its_class_name(expected: str, tmp_path: Path) -> None:
    secret = SECRETS[expected](tmp_path)
    assert repr(secret) == str(secret) == f"{secret}" == expected
    assert repr({"key": [secret]}) == f"{{'key': [{expected}]}}"


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_not_pickled_or_copied(name: str, tmp_path: Path) -> None:
    secret = SECRETS[name](tmp_path)
    for action in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            action(secret)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (VerifiedMessage, {"payload", "sections"}),
        (VerifiedSection, {"body", "attachments"}),
        (MessageDraft, {"payload"}),
        (SectionDraft, {"body"}),
        (_Entry, {"wrapping_key"}),
    ],
)
def test_err_2_content_is_left_out_of_the_repr(kind: type, names: set[str]) -> None:
    shown = {one.name for one in dataclasses.fields(kind) if one.repr}
    assert not shown & names
