"""values.schema.json: what the chart accepts. The part below `config` is what the program accepts."""

import json
import subprocess

STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"}
STRINGS = {"type": "object", "additionalProperties": STRING}
QUANTITIES = {
    "type": "object", "additionalProperties": False,
    "properties": {what: {"type": ["string", "number"]} for what in ("cpu", "memory", "ephemeral-storage")},
}
FAILURE_POLICY = {"enum": ["Fail", "Ignore"]}


def closed(**properties):
    return {"type": "object", "additionalProperties": False, "properties": properties}


RESOURCES = closed(requests=QUANTITIES, limits=QUANTITIES)

CHART = closed(
    # What Helm adds for a chart that another depends on.
    **{"global": {"type": "object"}},
    image=closed(repository={"type": "string", "minLength": 1}, tag=STRING,
                 digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                 pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]}),
    config={"$ref": "#/$defs/config"},
    configMapName=NAME,
    configNamespaces={"type": "array", "items": NAME},
    injection=closed(enabled=BOOLEAN, mode={"enum": ["auto", "policy", "webhook"]},
                     labelValue={"type": "string", "minLength": 1, "maxLength": 63},
                     portName={"type": "string", "pattern": "^[a-z0-9-]{1,15}$"},
                     failurePolicy=FAILURE_POLICY,
                     webhook=closed(
                         failurePolicy=FAILURE_POLICY,
                         timeoutSeconds={"type": "integer", "minimum": 1, "maximum": 30},
                         replicas={"type": "integer", "minimum": 1, "maximum": 32},
                         resources=RESOURCES,
                         certificate=closed(
                             lifetime={"type": "string", "pattern": "^([0-9]+(d|h|m|s))+$"},
                             secretName={"type": "string", "pattern": f"^$|{NAME['pattern']}"},
                             caBundle={"type": "string", "pattern": "^$|^-----BEGIN CERTIFICATE-----"},
                             issuerRef=closed(name={"type": "string", "minLength": 1}, kind=STRING, group=STRING)))),
    sidecar=closed(kind={"enum": ["auto", "native", "container"]},
                   resources=RESOURCES,
                   probes={"enum": ["http", "grpc"]},
                   extraArgs={"type": "array", "items": STRING},
                   env={"type": "array", "items": {"type": "object"}}),
    appPreStopSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    metrics=closed(
        scrapeAnnotations=BOOLEAN,
        podMonitor=closed(enabled=BOOLEAN, interval={"type": "string", "pattern": "^[0-9]+(ms|s|m)$"}, labels=STRINGS),
        rules=closed(enabled=BOOLEAN, labels=STRINGS),
        dashboard=closed(enabled=BOOLEAN, labels=STRINGS)),
    networkPolicy=closed(enabled=BOOLEAN, prometheusNamespaceSelector={"type": "object"}),
)


def text(outrigger):
    """With the schema that the program at `outrigger` prints."""
    printed = json.loads(subprocess.run([outrigger, "schema"], check=True, capture_output=True, text=True).stdout)
    root = printed["$ref"].rsplit("/", 1)[-1]
    definitions = dict(printed["$defs"], config=printed["$defs"][root])
    schema = {"$schema": printed["$schema"], "title": "Values of the chart outrigger", **CHART, "$defs": definitions}
    return json.dumps(schema, indent=2) + "\n"
