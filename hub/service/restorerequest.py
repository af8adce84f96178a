# SPDX-License-Identifier: Apache-2.0
"""What a hub asks of its authority after a restore that lost something, kept as a file until it is answered (GEN-2)."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.errors import ConfigurationError, StoreBehind
from protocol.http.fields import Bytes32
from protocol.restoration import Kept, Restoration

REQUEST_NAME: Final = "restore-request.json"


class KeptLog(BaseModel):
    """What was kept of one log, and the newest of it that guards and witnesses have shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: int
    root: Bytes32
    known_size: int
    known_root: Bytes32

    def kept(self) -> Kept:
        """Return it as it stands in the statement."""
        return Kept(self.size, self.root, self.known_size, self.known_root)


class RestoreRequest(BaseModel):
    """The file that is brought to the authority; times in ms UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    domain: str
    generation: int
    backup_at: int
    signed_until: int
    directory: KeptLog
    audit: KeptLog

    def subject(self) -> Restoration:
        """Return what the authority is to sign."""
        return Restoration(self.domain, self.generation, self.directory.kept(), self.audit.kept())


def read_request(folder: Path) -> RestoreRequest:
    """Return the request in a data folder; ConfigurationError if nothing waits there."""
    try:
        return RestoreRequest.model_validate_json((folder / REQUEST_NAME).read_bytes())
    except (OSError, ValidationError):
        raise ConfigurationError(f"There is no {REQUEST_NAME} in the data folder: no restore waits here.") from None


def check_not_waiting(folder: Path) -> None:
    """Raise StoreBehind while a restore waits for the authority's statement."""
    if (folder / REQUEST_NAME).exists():
        raise StoreBehind(
            f"This hub was restored and waits for its authority. Have {REQUEST_NAME} signed (`throughcare authority "
            "restore`), then type `throughcare-hub resume`."
        )
