{{/*
A value as an expression of CEL, the language of admission policies. Elements of different types may stand in one map
or list there only as dyn(). Strings that begin with `cel:` are expressions already.
*/}}
{{- define "outrigger.cel" -}}
{{- if kindIs "map" . -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }}, {{ end }}{{ toJson $key }}: dyn({{ include "outrigger.cel" (get $ $key) }}){{ end -}} }
{{- else if kindIs "slice" . -}}
[ {{- range $i, $item := . }}{{ if $i }}, {{ end }}dyn({{ include "outrigger.cel" $item }}){{ end -}} ]
{{- else if and (kindIs "string" .) (hasPrefix "cel:" .) -}}
{{ trimPrefix "cel:" . }}
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end }}

{{/* An operation of a JSONPatch. Arguments: op, path (CEL), value (any; left out for remove). */}}
{{- define "outrigger.patch" -}}
JSONPatch{op: {{ toJson .op }}, path: {{ .path }}{{ if hasKey . "value" }}, value: dyn({{ include "outrigger.cel" .value }}){{ end }}}
{{- end }}
