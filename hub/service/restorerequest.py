# SPDX-License-Identifier: Apache-2.0
"""What a hub asks of its authority after a restore that lost something, kept as a file until it is answered (GEN-2)."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlalchemy import Connection

from hub.store import restorations
from protocol.errors import ConfigurationError, StoreBehind
from protocol.http.restoring import RestoreRequest

REQUEST_NAME: Final = "restore-request.json"


def read_request(folder: Path) -> RestoreRequest:
    """Return the request in a data folder; ConfigurationError if nothing waits there, or it cannot be read."""
    try:
        return RestoreRequest.model_validate_json((folder / REQUEST_NAME).read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(f"There is no {REQUEST_NAME} in the data folder: no restore waits here.") from None
    except (OSError, ValidationError):
        error = ConfigurationError(
            f"The {REQUEST_NAME} in the data folder cannot be read: it is damaged, or another version wrote it."
        )
        error.add_note("next: the same restore from the backup file again, which writes another")
        raise error from None


def check_database_waits_not(connection: Connection) -> None:
    """Raise StoreBehind while a restore of this database waits, of whichever process: it was asked for beside one."""
    if restorations.waits(connection):
        raise StoreBehind(
            f"The database was restored and waits for its authority. Have the {REQUEST_NAME} signed that it left, "
            "and type `throughcare-hub resume` where it lies; where it is lost, `throughcare-hub restore --in-place`."
        )


def check_not_waiting(folder: Path) -> None:
    """Raise StoreBehind while a restore waits for the authority's statement."""
    if (folder / REQUEST_NAME).exists():
        raise StoreBehind(
            f"This hub was restored and waits for its authority. Have {REQUEST_NAME} signed (`throughcare authority "
            "restore`), then type `throughcare-hub resume`."
        )
