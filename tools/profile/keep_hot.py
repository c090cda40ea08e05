#!/usr/bin/env python3
"""Copies those records of a profile in LLVM's text form that were run often to standard output.

What runs seldom gains nothing from a profile, and its numbers would change with every training.
"""

import sys

# The bench alone sends some hundred thousand requests; the processes of the tests start a thousand times.
MIN_COUNT = 5000


def counters_of(lines):
    start = next((i for i, line in enumerate(lines) if line == "# Counter Values:"), len(lines))
    for line in lines[start + 1:]:
        if not line.isdigit():
            return
        yield int(line)


def main():
    with open(sys.argv[1]) as file:
        records = file.read().strip().split("\n\n")
    kept = []
    for index, record in enumerate(records):
        lines = record.split("\n")
        if index == 0:  # begins with the header of the file
            header = [line for line in lines[:2]]
            kept.append("\n".join(header))
            lines = lines[2:]
        if max(counters_of(lines), default=0) >= MIN_COUNT:
            kept.append("\n".join(lines) + "\n")
    print("\n".join(kept))


if __name__ == "__main__":
    main()
