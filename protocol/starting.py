# SPDX-License-Identifier: Apache-2.0
"""How a program that serves starts quickly: nothing that it loads is garbage, so no garbage is looked for meanwhile.

Python's collector looks through all objects again and again while they become more, which is a quarter of the
processor time of a start. What is loaded once stays to the end: later collections need not look at it either.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def starting() -> Iterator[Callable[[], None]]:
    """Collect no garbage until the program has started, which it says by calling what is given here.

    At the latest it is collected again when the block ends, however it does.
    """

    def started() -> None:
        gc.freeze()
        gc.enable()

    gc.disable()
    try:
        yield started
    finally:
        gc.enable()
