"""What quickstart prints, and the memory of whether all of it was as expected."""

import sys
import time


class Report:
    """Sections with checks. Each check prints what was expected and what was seen."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self._section_failed = 0
        self._began = None
        self._tty = sys.stdout.isatty()

    def section(self, title):
        self.end_section()
        self._began = time.monotonic()
        self._section_failed = self.failed
        self._print(f"\n{self._bold(title)}")

    def end_section(self):
        if self._began is None:
            return
        seconds = time.monotonic() - self._began
        self._began = None
        if self.failed > self._section_failed:
            self._print(f"  not as it should be ({seconds:.1f} s)")
        else:
            self._print(f"  ({seconds:.1f} s)")

    def say(self, text):
        self._print(f"  {text}")

    def write(self, text):
        """Without an end of line, for what arrives piece by piece."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def check(self, is_so, expected, seen):
        """Counts. What was seen is shown in either case, so that nobody has to believe the mark."""
        if is_so:
            self.passed += 1
            says_it = str(seen) in expected
            self._print(f"  {self._coloured('32', '✓')} {expected}{'' if says_it else f': {seen}'}")
        else:
            self.failed += 1
            self._print(f"  {self._coloured('31', '✗')} expected {expected}; saw: {seen}")
        return is_so

    def _bold(self, text):
        return self._coloured("1", text)

    def _coloured(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self._tty else text

    def _print(self, text):
        print(text, flush=True)
