"""The Grafana dashboard of the chart: the five filters at a glance, then what they stand on."""

import json

PODS = 'namespace=~"$namespace", pod=~"$pod"'


def metric(name, **labels):
    pairs = [PODS] + [f'{key}{value if value[0] in "=!" else "=" + json.dumps(value)}' for key, value in labels.items()]
    return f"outrigger_{name}{{{', '.join(pairs)}}}"


def rate(name, by, **labels):
    return f"sum by ({by}) (rate({metric(name, **labels)}[$__rate_interval]))"


def total(name, by="", **labels):
    return f"sum by ({by}) ({metric(name, **labels)})" if by else f"sum ({metric(name, **labels)})"


def quantile(q, name, by=""):
    groups = ", ".join(filter(None, [by, "le"]))
    return f"histogram_quantile({q}, sum by ({groups}) (rate({metric(name + '_bucket')}[$__rate_interval])))"


# (row, [(title, unit, what it tells, [(expression, legend), ...]), ...])
ROWS = [
    ("Requests", [
        ("Requests", "reqps", "Answers by class; none: the client had left.",
         [(rate("requests_total", "code_class"), "{{code_class}}")]),
        ("Refused or failed here", "reqps", "Answers that the proxy made itself, by reason.",
         [(rate("requests_total", "reason", reason='!=""'), "{{reason}}")]),
        ("Duration", "s", "From the request's head to the end of its answer.",
         [(quantile(0.5, "request_duration_seconds"), "p50"), (quantile(0.95, "request_duration_seconds"), "p95")]),
        ("First token", "s", "From the request's head to the first content of a stream.",
         [(quantile(0.5, "ttft_seconds"), "p50"), (quantile(0.95, "ttft_seconds"), "p95")]),
        ("In flight", "short", "Requests that have begun and not ended.", [(total("in_flight_requests", "pod"), "{{pod}}")]),
        ("Service healthy", "short", "1 while the check of the service passes.",
         [(metric("app_healthy"), "{{pod}} {{check}}")]),
    ]),
    ("Idempotency", [
        ("Requests with a key", "reqps", "What became of them.", [(rate("idempotency_total", "result"), "{{result}}")]),
        ("Keys", "short", "Keys in the table by state.", [(total("idempotency_keys", "state"), "{{state}}")]),
        ("Kept answers", "bytes", "Bytes that are kept for replay.", [(total("idempotency_body_bytes", "pod"), "{{pod}}")]),
    ]),
    ("Rate limit", [
        ("Decisions", "reqps", "By rule, enforced or in shadow.",
         [(rate("limiter_decisions_total", "rule, decision, mode"), "{{rule}} {{decision}} {{mode}}")]),
        ("Refused tenants", "reqps", "The five that are refused most.",
         [(f'topk(5, {rate("limiter_tenant_rejections_total", "tenant")})', "{{tenant}}")]),
        ("Buckets", "short", "Held by each rule.", [(total("limiter_buckets", "rule"), "{{rule}}")]),
    ]),
    ("Retry", [
        ("Failed attempts", "ops", "By cause and what was made of them.",
         [(rate("retries_total", "cause, result"), "{{cause}} {{result}}")]),
        ("Backoff", "s", "Waits before another attempt.",
         [(quantile(0.5, "retry_backoff_seconds"), "p50"), (quantile(0.95, "retry_backoff_seconds"), "p95")]),
        ("Budget left", "short", "Retries still allowed in this window.",
         [(total("retry_budget_remaining", "pod, upstream"), "{{pod}} {{upstream}}")]),
    ]),
    ("Breaker", [
        ("State", "short", "0 closed, 1 half-open, 2 open.", [(metric("breaker_state"), "{{pod}} {{breaker}}")]),
        ("Transitions", "ops", "By cause.", [(rate("breaker_transitions_total", "to, cause"), "{{to}}: {{cause}}")]),
        ("Refused", "reqps", "Attempts refused by a breaker or its throttle gate.",
         [(rate("breaker_refusals_total", "breaker, reason, mode"), "{{breaker}} {{reason}} {{mode}}")]),
    ]),
    ("Timeout", [
        ("Timeouts", "ops", "By tier.", [(rate("timeouts_total", "tier"), "{{tier}}")]),
        ("Between tokens", "s", "Time between content events of a stream.",
         [(quantile(0.5, "inter_token_seconds"), "p50"), (quantile(0.95, "inter_token_seconds"), "p95")]),
        ("Streams by end", "ops", "How streamed answers ended.",
         [(rate("stream_outcome_total", "outcome"), "{{outcome}}")]),
    ]),
    ("Proxy", [
        ("Memory", "bytes", "Resident, and buffers against their budget.",
         [(metric("process_resident_memory_bytes"), "{{pod}} resident"), (metric("buffer_bytes"), "{{pod}} buffers"),
          (metric("buffer_limit_bytes"), "{{pod}} budget")]),
        ("Processor", "short", "Cores in use.", [(rate("process_cpu_seconds_total", "pod"), "{{pod}}")]),
        ("Connections", "short", "From clients and to services.",
         [(total("downstream_connections"), "clients"), (total("upstream_connections", "upstream, state"), "{{upstream}} {{state}}")]),
        ("Configuration", "short", "Number in use; 0 below: the latest change was refused.",
         [(metric("config_generation"), "{{pod}}"), (metric("config_last_reload_successful"), "{{pod}} accepted")]),
    ]),
]
SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS, WIDTH, HEIGHT = 3, 8, 7


def panel(number, spec, x, y):
    title, unit, description, queries = spec
    return {
        "id": number, "type": "timeseries", "title": title, "description": description, "datasource": SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": chr(ord("A") + i), "expr": expr, "legendFormat": legend, "datasource": SOURCE}
                    for i, (expr, legend) in enumerate(queries)],
    }


def choice(name, label, label_values):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "multi": True,
            "includeAll": True, "allValue": ".*", "query": {"query": label_values, "refId": name}, "current": {}}


def dashboard():
    panels, y, number = [], 0, 1
    for row, specs in ROWS:
        panels.append({"id": number, "type": "row", "title": row, "collapsed": False, "panels": [],
                       "gridPos": {"h": 1, "w": COLUMNS * WIDTH, "x": 0, "y": y}})
        number, y = number + 1, y + 1
        for i, spec in enumerate(specs):
            panels.append(panel(number, spec, i % COLUMNS * WIDTH, y + i // COLUMNS * HEIGHT))
            number += 1
        y += -(-len(specs) // COLUMNS) * HEIGHT
    return {
        "uid": "outrigger", "title": "Outrigger", "tags": ["outrigger"], "schemaVersion": 39, "editable": True,
        "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "panels": panels,
        "templating": {"list": [
            {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}},
            choice("namespace", "Namespace", "label_values(outrigger_build_info, namespace)"),
            choice("pod", "Pod", 'label_values(outrigger_build_info{namespace=~"$namespace"}, pod)'),
        ]},
    }


def text():
    return json.dumps(dashboard(), indent=1) + "\n"
