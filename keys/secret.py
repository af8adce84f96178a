# SPDX-License-Identifier: Apache-2.0
"""What holds a secret must not show it by accident: not in a log line, not in a traceback, not in a pickle.

Every class of this package that keeps private bytes derives from `Secret` (ERR-2). Python cannot wipe
memory reliably, so the second line of defence is to keep such objects few and short-lived.
"""

from typing import NoReturn


class Secret:
    """Base of all objects with private bytes: they print as their class name and refuse to be serialised."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: secret>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not serialised")
