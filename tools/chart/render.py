"""Draws the panels of a Grafana dashboard of time series: their places, titles, units, queries and legends are its own."""

import datetime
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: E402
from PIL import Image  # noqa: E402

BACKGROUND, PANEL, EDGE, TEXT, GRID = "#111217", "#181b1f", "#2c3036", "#ccccdc", "#2c3036"
LINES = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0", "#c8f2c2", "#a16069"]
COLUMNS, COLUMN_INCHES, UNIT_INCHES, DPI = 24, 0.58, 0.35, 100
MAX_LEGENDS = 8


def number(value):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g} {letter}"
    return f"{value:.3g}"


def in_bytes(value):
    for size, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f} B"


def in_seconds(value):
    if value == 0:
        return "0"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"


UNITS = {"reqps": lambda value: f"{number(value)} req/s", "ops": lambda value: f"{number(value)}/s",
         "s": in_seconds, "bytes": in_bytes, "short": number}


def legend(form, labels):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), form).strip() or "other"


def series_of(panel, ask, interval):
    """(name, times, values) of everything that the panel's queries return, and those that return nothing."""
    found, empty = [], []
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", interval)
        expression = re.sub(r"\$(namespace|pod)\b", ".*", expression)
        result = ask(expression)
        points = 0
        for each in result:
            values = [(float(at), float(value)) for at, value in each["values"] if value != "NaN"]
            points += len(values)
            if values:
                found.append((legend(target["legendFormat"], each["metric"]), *zip(*values)))
        if not points:
            empty.append(f"{panel['title']}: {expression}")
    return found, empty


def draw_panel(figure, box, panel, series):
    left, bottom, width, height = box
    axes = figure.add_axes([left, bottom, width, height], facecolor=PANEL)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(EDGE)
    inches = height * figure.get_figheight()
    wide = width * figure.get_figwidth()
    axes.text(0.12 / wide, 1 - 0.12 / inches, panel["title"], color=TEXT, fontsize=9, weight="bold", va="top")
    names = [name for name, _, _ in series][:MAX_LEGENDS]
    rows = -(-len(names) // 2) if names else 0
    low = 0.42 + 0.15 * rows
    plot = figure.add_axes([left + 0.75 / figure.get_figwidth(), bottom + low / figure.get_figheight(),
                            width - 0.95 / figure.get_figwidth(), height - (low + 0.42) / figure.get_figheight()], facecolor=PANEL)
    for i, (name, times, values) in enumerate(series):
        color = LINES[i % len(LINES)]
        at = [datetime.datetime.fromtimestamp(second) for second in times]
        plot.plot(at, values, color=color, linewidth=1.1, label=name if i < MAX_LEGENDS else None)
        plot.fill_between(at, values, color=color, alpha=0.08, linewidth=0)
    plot.set_ylim(bottom=0)
    if plot.get_ylim()[1] <= 1e-9 or all(max(values) == 0 for _, _, values in series):
        plot.set_ylim(0, 1)
    plot.yaxis.set_major_locator(MaxNLocator(4))
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: UNITS[panel["fieldConfig"]["defaults"]["unit"]](value)))
    if series:
        ticks = matplotlib.dates.AutoDateLocator(minticks=3, maxticks=8)
        ticks.intervald[matplotlib.dates.SECONDLY] = [5, 10, 15, 30]
        plot.xaxis.set_major_locator(ticks)
        plot.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%H:%M:%S"))
    else:
        plot.set_xticks([])
    plot.tick_params(colors="#8e8e9a", labelsize=7, length=0)
    plot.grid(color=GRID, linewidth=0.6)
    plot.margins(x=0)
    for spine in plot.spines.values():
        spine.set_visible(False)
    if names:
        shown = plot.legend(loc="upper left", bbox_to_anchor=(-0.12, -0.14), ncol=2, fontsize=7, frameon=False, labelcolor=TEXT,
                            handlelength=1.2, columnspacing=1.2, labelspacing=0.2, borderaxespad=0)
        for line in shown.get_lines():
            line.set_linewidth(2.5)


def draw(dashboard, ask, path, interval):
    """`ask` returns what Prometheus does for a range. Returns the queries without data."""
    panels = dashboard["panels"]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    title_inches = 0.5
    figure = plt.figure(figsize=(COLUMNS * COLUMN_INCHES, bottom * UNIT_INCHES + title_inches), dpi=DPI, facecolor=BACKGROUND)
    wide, high = figure.get_size_inches()
    figure.text(0.15 / wide, 1 - 0.25 / high, dashboard["title"], color=TEXT, fontsize=14, weight="bold", va="center")
    gap, empty = 0.05, []
    for panel in panels:
        place = panel["gridPos"]
        top = high - title_inches - place["y"] * UNIT_INCHES
        if panel["type"] == "row":
            figure.text(0.15 / wide, (top - place["h"] * UNIT_INCHES / 2) / high, panel["title"], color=TEXT, fontsize=11, va="center")
            continue
        series, without = series_of(panel, ask, interval)
        empty += without
        draw_panel(figure, ((place["x"] * COLUMN_INCHES + gap) / wide, (top - place["h"] * UNIT_INCHES + gap) / high,
                            (place["w"] * COLUMN_INCHES - 2 * gap) / wide, (place["h"] * UNIT_INCHES - 2 * gap) / high), panel, series)
    figure.savefig(path, facecolor=BACKGROUND)
    plt.close(figure)
    # Few colours: a third of the bytes.
    Image.open(path).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(path, optimize=True)
    return empty
