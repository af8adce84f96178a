# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.vectors` writes the vectors; with `--check` it only compares and exits 1 on a difference."""

import sys

from tests.vectors import enrolment, envelopes, primitives, statements
from tests.vectors.cases import FOLDER, Recording, write


def texts() -> dict[str, str]:
    """Return every file's name and content."""
    recording = Recording()
    log = statements.build_log(recording)
    documents = [
        *primitives.build(recording),
        *statements.build(recording, log),
        *envelopes.build(recording, log),
        *enrolment.build(recording, log),
    ]
    return {f"{one['structure']}.json": write(one) for one in documents}


def main(arguments: list[str]) -> int:
    """Write or compare; return the exit code."""
    wanted = texts()
    present = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    differing = sorted(name for name in {*wanted, *present} if wanted.get(name) != present.get(name))
    if arguments == ["--check"]:
        for name in differing:
            sys.stderr.write(f"tests/vectors/{name} differs from what the code makes; run python -m tests.vectors\n")
        return 1 if differing else 0
    if arguments:
        sys.stderr.write("usage: python -m tests.vectors [--check]\n")
        return 2
    for name in differing:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    sys.stdout.write(f"{len(wanted)} files, {len(differing)} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
