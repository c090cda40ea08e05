#!/usr/bin/env python3
"""The end of the output of each failed test, from ctest's JUnit files.

    failures.py build/dev/ctest.xml ...

A long run scrolls: what failed early is repeated where the run ends.
"""

import sys
import xml.etree.ElementTree as xml

LINES = 40
LINE_BYTES = 400
# Frames that are the same in each stack of a fuzz target.
NOISE = ("fuzzer::Fuzzer", "in __libc_start", "in _start ")


def failed(path):
    for case in xml.parse(path).getroot().iter("testcase"):
        if case.get("status") == "fail":
            yield case.get("name"), case.findtext("system-out") or ""


def main(paths):
    for path in paths:
        for name, output in failed(path):
            lines = [line for line in output.splitlines() if not any(word in line for word in NOISE)]
            print(f"=== {path}: {name}, the last {min(LINES, len(lines))} of {len(lines)} lines")
            for line in lines[-LINES:]:
                print(line[:LINE_BYTES])


if __name__ == "__main__":
    main(sys.argv[1:])
