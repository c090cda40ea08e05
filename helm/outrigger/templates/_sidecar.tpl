{{/*
The sidecar: the one definition behind every way to get it into a pod.

  {{ include "outrigger.sidecar" (dict "scope" .Subcharts.outrigger "upstream" "127.0.0.1:8000") }}

is an element of a pod's initContainers or, as an ordinary container (outrigger.sidecarKind), the first of its
containers. For a chart that has this one as a dependency outrigger.initContainers and outrigger.containers, with the
same arguments, are it in its place and nothing in the other. Arguments:

  scope       this chart's scope: `.` within it, `.Subcharts.outrigger` in the chart that depends on it
  upstream    host:port of the app
  portName    name of the port that takes requests; default: injection.portName
  drain       how long its PreStop may take: terminationGracePeriodSeconds - 5s; default: 25s
  resources   default: sidecar.resources
  kind        native or container; default: what sidecar.kind comes to
  appHealth   arguments for probes of an app that listens on loopback only, see docs/kubernetes.md

A value that begins with `cel:` is an expression for outrigger.cel.
*/}}
{{- define "outrigger.sidecar" -}}
{{- $values := .scope.Values -}}
{{- $isNative := eq (.kind | default (include "outrigger.sidecarKind" .scope)) "native" -}}
{{- $args := concat (list "serve" "--config" "/etc/outrigger/config.yaml" "--optional" "--upstream" .upstream) $values.sidecar.extraArgs -}}
{{- if kindIs "string" .appHealth -}}
{{- $args = printf "cel:%s + %s" (include "outrigger.cel" $args) (trimPrefix "cel:" .appHealth) -}}
{{- else -}}
{{- $args = concat $args (.appHealth | default list) -}}
{{- end -}}
name: outrigger
image: {{ include "outrigger.image" .scope }}
imagePullPolicy: {{ $values.image.pullPolicy }}
{{- if $isNative }}
restartPolicy: Always
{{- end }}
args: {{ toJson $args }}
{{- with $values.sidecar.env }}
env: {{ toJson . }}
{{- end }}
ports:
  - {name: {{ .portName | default $values.injection.portName | toJson }}, containerPort: 15001, protocol: TCP}
  - {name: outrigger-prom, containerPort: 15020, protocol: TCP}
# With a native sidecar the app starts when this has passed. It says nothing of the app, which could not pass before it.
startupProbe:
  {{ include "outrigger.probe" (dict "scope" .scope "path" "/startupz" "service" "startup") }}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 120
# The hysteresis is the proxy's own: what it says holds.
readinessProbe:
  {{ include "outrigger.probe" (dict "scope" .scope "path" "/readyz" "service" "readiness") }}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 1
livenessProbe:
  {{ include "outrigger.probe" (dict "scope" .scope "path" "/livez" "service" "liveness") }}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
# The image has no shell. PreStop hooks of all containers begin at once. The SIGTERM comes when the app has ended or, to
# an ordinary container, after the hook.
lifecycle:
{{- if not $isNative }}
  # The kubelet starts the containers one after the other, the next one when this hook has ended.
  postStart:
    exec:
      command: [/usr/bin/outrigger, wait, --timeout, 120s]
{{- end }}
  preStop:
    exec:
      command: [/usr/bin/outrigger, drain, --wait, --timeout, {{ .drain | default "25s" | toJson }}]
resources: {{ .resources | default $values.sidecar.resources | toJson }}
securityContext: {{- include "outrigger.securityContext" .scope | nindent 2 }}
volumeMounts:
  - {name: outrigger-config, mountPath: /etc/outrigger, readOnly: true}
{{- end }}

{{/* The sidecar in a list of a pod's init containers, or of its containers, in whichever it belongs. */}}
{{- define "outrigger.initContainers" -}}
{{- if eq (include "outrigger.sidecarKind" .scope) "native" -}}
- {{- include "outrigger.sidecar" . | nindent 2 }}
{{- end -}}
{{- end }}
{{- define "outrigger.containers" -}}
{{- if ne (include "outrigger.sidecarKind" .scope) "native" -}}
- {{- include "outrigger.sidecar" . | nindent 2 }}
{{- end -}}
{{- end }}

{{/*
native: an init container that goes on running. container: the first of the pod's containers, where Services do not
resolve the ports of native ones by name (kubernetes/kubernetes#127958). Its argument is this chart's scope.
*/}}
{{- define "outrigger.sidecarKind" -}}
{{- $kind := .Values.sidecar.kind -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if eq $kind "auto" -}}
{{ ternary "native" "container" (semverCompare ">= 1.32.0-0" $version) }}
{{- else if and (eq $kind "native") (semverCompare "< 1.30.0-0" $version) -}}
{{ fail (printf "sidecar.kind: native needs Kubernetes 1.30, which has native sidecars and hooks that sleep; this one is %s. Take container, or auto." $version) }}
{{- else -}}
{{ $kind }}
{{- end -}}
{{- end }}

{{- define "outrigger.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* How the kubelet asks. Arguments: scope, path (of the admin port), service (of gRPC). */}}
{{- define "outrigger.probe" -}}
{{- if eq .scope.Values.sidecar.probes "grpc" -}}
{{- $address := dig "admin" "grpc_address" "" .scope.Values.config -}}
grpc: {port: {{ regexFind "[0-9]+$" $address | required "sidecar.probes: grpc needs config.admin.grpc_address, such as 0.0.0.0:15021" }}, service: {{ .service }}}
{{- else -}}
httpGet: {path: {{ .path }}, port: 15020}
{{- end -}}
{{- end }}

{{/* The element of a pod's volumes that belongs to it. Arguments: scope, configMap (default: configMapName), optional. */}}
{{- define "outrigger.volume" -}}
name: outrigger-config
configMap:
  name: {{ .configMap | default .scope.Values.configMapName | toJson }}
  optional: {{ hasKey . "optional" | ternary .optional true | toJson }}
{{- end }}

{{/*
The lifecycle of the app's container. Arguments: scope, seconds (default: appPreStopSeconds). Where the sidecar is an
ordinary container Kubernetes may have no hook that sleeps: it is the sidecar that answers late.
*/}}
{{- define "outrigger.appLifecycle" -}}
{{- $seconds := .seconds | default .scope.Values.appPreStopSeconds -}}
preStop:
{{- if eq (include "outrigger.sidecarKind" .scope) "native" }}
  sleep: {seconds: {{ toJson $seconds }}}
{{- else if kindIs "string" $seconds }}
  httpGet: {path: {{ printf "cel:\"/.outrigger/app-stop/\" + string(%s)" (trimPrefix "cel:" $seconds) | toJson }}, port: 15020}
{{- else }}
  httpGet: {path: /.outrigger/app-stop/{{ int $seconds }}, port: 15020}
{{- end }}
{{- end }}

{{/* Labels and annotations of a pod with the sidecar. */}}
{{- define "outrigger.podLabels" -}}
outrigger/sidecar: "true"
{{- end }}
{{- define "outrigger.podAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "15020"
prometheus.io/path: /metrics
{{- end }}

{{/*
All of it as JSON for the program, with marks for what differs between pods: the sidecar in both its forms, and which
it is. Its argument is this chart's scope.
*/}}
{{- define "outrigger.definition" -}}
{{- $sidecars := dict -}}
{{- range $kind := list "native" "container" -}}
{{- $_ := set $sidecars $kind (include "outrigger.sidecar" (dict "scope" $ "kind" $kind "upstream" "@upstream" "portName" "@port" "drain" "@drain") | fromYaml) -}}
{{- end -}}
{{- $annotations := ternary (include "outrigger.podAnnotations" . | fromYaml) dict .Values.metrics.scrapeAnnotations -}}
{{- dict "sidecars" $sidecars "kind" (include "outrigger.sidecarKind" .) "volume" (include "outrigger.volume" (dict "scope" .) | fromYaml)
  "labels" (include "outrigger.podLabels" . | fromYaml) "annotations" $annotations
  "portName" .Values.injection.portName "appPreStopSeconds" (int .Values.appPreStopSeconds) | toJson -}}
{{- end }}

{{- define "outrigger.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}
{{ printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* How pods get the sidecar: policy, webhook or none. */}}
{{- define "outrigger.injectionMode" -}}
{{- $hasPolicies := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- $mode := .Values.injection.mode -}}
{{- if not .Values.injection.enabled -}}
none
{{- else if eq $mode "auto" -}}
{{ ternary "policy" "webhook" $hasPolicies }}
{{- else if and (eq $mode "policy") (not $hasPolicies) -}}
{{ fail (printf "injection.mode: policy needs MutatingAdmissionPolicy of admissionregistration.k8s.io/v1, which Kubernetes has from 1.36 on; this one is %s. Take webhook, or auto." .Capabilities.KubeVersion.Version) }}
{{- else -}}
{{ $mode }}
{{- end -}}
{{- end }}

{{/* Names of objects without a namespace tell two releases apart. */}}
{{- define "outrigger.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "outrigger.labels" -}}
app.kubernetes.io/name: outrigger
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
