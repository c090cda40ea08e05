"""The dashboard and the alerts ask for metrics, labels and values of labels that the program exports."""

import json
import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FILES = SOURCE / "helm/outrigger/files"
# Labels that a scrape adds, and those of histograms.
SCRAPE = {"job", "namespace", "pod", "instance"}


def documented():
    """metric -> labels, and (metric, label) -> values, as docs/metrics.md has them."""
    labels, values = {}, {}
    for line in (SOURCE / "docs/metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = [re.findall(r"`([^`]*)`", cell) for cell in cells]
        if not names[0] or not names[0][0].startswith("outrigger_"):
            continue
        metric = names[0][0]
        if len(cells) == 4:
            labels[metric] = set(names[2]) | ({"le"} if cells[1] == "histogram" else set())
        elif len(cells) == 3 and names[1]:
            values[metric, names[1][0]] = set(names[2])
    return labels, values


def expressions():
    for panel in json.loads((FILES / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for alert in re.split(r"- alert: ", (FILES / "alerts.yaml").read_text())[1:]:
        yield alert.split()[0], re.search(r"expr:(.*?)\n +(?:for|labels):", alert, re.DOTALL)[1]


class Expressions(unittest.TestCase):
    def setUp(self):
        self.labels, self.values = documented()
        self.assertGreater(len(self.labels), 30)
        self.assertGreater(len(self.values), 10)

    def test_ask_for_what_there_is(self):
        seen = 0
        for where, text in expressions():
            for name, selector in re.findall(r"(outrigger_\w+)(?:\{(.*?)\})?", text):
                metric = name if name in self.labels else re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertIn(metric, self.labels, where)
                seen += 1
                for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', selector):
                    if label in SCRAPE:
                        continue
                    self.assertIn(label, self.labels[metric], f"{where}: {metric}")
                    known = self.values.get((metric, label))
                    if known and value:
                        self.assertLessEqual(set(value.split("|")), known, f"{where}: {metric} {label}")
        self.assertGreater(seen, 40)

    def test_group_by_labels_that_there_are(self):
        for where, text in expressions():
            metrics = [re.sub(r"_(bucket|sum|count)$", "", name) if name not in self.labels else name
                       for name in re.findall(r"outrigger_\w+", text)]
            there = set.union(*(self.labels[metric] for metric in metrics)) | SCRAPE
            for group in re.findall(r"(?:by|without) \(([^)]*)\)", text):
                self.assertLessEqual(set(re.findall(r"\w+", group)), there, where)


if __name__ == "__main__":
    unittest.main()
