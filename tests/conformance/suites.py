"""Suites of other people: Go programs, pinned here, installed through Go's module proxy when they are missing."""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

SUITES = pathlib.Path(os.environ.get("SUITES_DIR") or tempfile.gettempdir())
SCORES = SUITES / "scores"


def forget_scores(suite):
    """Of an earlier run."""
    (SCORES / suite).unlink(missing_ok=True)


def score(suite, text):
    """Prints it, and keeps it for the end of tools/test."""
    print(f"{suite}, {text}", flush=True)
    SCORES.mkdir(parents=True, exist_ok=True)
    with open(SCORES / suite, "a", encoding="ascii") as file:
        file.write(f"{suite}, {text}\n")


def install(suite, package, version):
    """The path of the program that is the Go package, once it is there."""
    folder = SUITES / f"{suite}-{version.partition('+')[0]}"
    program = folder / package.rpartition("/")[2]
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([os.environ.get("GO_PROGRAM", "go"), "install", f"{package}@{version}"], check=True, timeout=500,
                       env={**os.environ, "GOBIN": str(folder)})
    return program
