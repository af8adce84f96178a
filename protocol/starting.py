# SPDX-License-Identifier: Apache-2.0
"""How a program that serves starts quickly: nothing that it loads is garbage, so no garbage is looked for meanwhile.

Python's collector looks through all objects again and again while they become more, which is a quarter of the
processor time of a start. What is loaded once stays to the end: later collections need not look at it either. And a
program that serves leaves hardly any cycles: what is in work goes when nobody holds it any more, so it is seldom looked
for what does not.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SELDOM = (10_000, 20, 20)
"""How many more objects there must be before garbage is looked for, and how often among older ones; those of
Python 3.11 are 700, 10 and 10, which a few dozen messages in work exceed."""


_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where OpenSSL is told to look for the authorities of the web."""


@contextmanager
def asking_nobody() -> Iterator[None]:
    """Have aiohttp imported without the authorities of the web, by a program that asks nobody over TLS.

    aiohttp reads all of them as it is imported, for its client: a tenth of a hub's imports, and 2 MiB that it would
    keep. That client then believes no certificate. What makes a context of its own afterwards, such as the driver of
    PostgreSQL, believes whom it would without this.
    """
    before = {name: os.environ.get(name) for name in _AUTHORITIES}
    os.environ.update(dict.fromkeys(_AUTHORITIES, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


@contextmanager
def starting() -> Iterator[Callable[[], None]]:
    """Collect no garbage until the program has started, which it says by calling what is given here.

    At the latest it is collected again when the block ends, however it does.
    """

    def started() -> None:
        gc.freeze()
        gc.set_threshold(*SELDOM)
        gc.enable()

    gc.disable()
    try:
        yield started
    finally:
        gc.enable()
