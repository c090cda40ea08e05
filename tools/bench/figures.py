"""From samples to figures: medians, and ratios taken inside each round.

Other work on the machine moves all proxies of a round together, so a ratio is formed within each
round first and the median of those ratios is what counts.
"""

import statistics


def median(values):
    """The median of what is not None, or None."""
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def column(samples, workload, peer, field):
    """One value per round; None where the run did not count."""
    runs = samples.get(workload, {}).get(peer, [])
    return [run.get(field) if run else None for run in runs]


def typical(samples, workload, peer, field):
    return median(column(samples, workload, peer, field))


def ratio(samples, workload, peer, base, field="cpu_us"):
    pairs = zip(column(samples, workload, peer, field), column(samples, workload, base, field))
    return median([a / b for a, b in pairs if a is not None and b])


def added(samples, workload, peer, base, field):
    """Median over the rounds of what `peer` adds to `base`."""
    pairs = zip(column(samples, workload, peer, field), column(samples, workload, base, field))
    return median([a - b for a, b in pairs if a is not None and b is not None])


def spread(samples, workload, peer, field="cpu_us"):
    """How far the rounds lie apart, as a part of their median: a sign of a disturbed run."""
    present = [v for v in column(samples, workload, peer, field) if v is not None]
    if len(present) < 2:
        return None
    return (max(present) - min(present)) / statistics.median(present)
