"""The configurations in the samples and in the chart's comments are accepted by the program."""

import os
import pathlib
import re
import subprocess
import tempfile
import textwrap
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def configurations():
    """(where, text) of each ConfigMap."""
    for path in sorted((SOURCE / "k8s/samples").glob("*.yaml")):
        for match in re.finditer(r"^  config\.yaml: \|\n((?:    .*\n|\n)+)", path.read_text(), re.MULTILINE):
            yield path.name, textwrap.dedent(match[1])
    rendered = (SOURCE / "tests/helm/golden/everything.yaml").read_text()
    for match in re.finditer(r"^  config\.yaml: \|\n((?:    .*\n)+)", rendered, re.MULTILINE):
        yield "everything.yaml", textwrap.dedent(match[1])


class Samples(unittest.TestCase):
    def test_configurations_are_accepted(self):
        seen = []
        for where, text in configurations():
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(text)
                file.flush()
                done = subprocess.run([os.environ["OUTRIGGER_BIN"], "check", "--config", file.name],
                                      capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, f"{where}: {done.stderr}")
            seen.append(where)
        self.assertEqual(set(seen), {"llm.yaml", "job.yaml", "everything.yaml"})


if __name__ == "__main__":
    unittest.main()
