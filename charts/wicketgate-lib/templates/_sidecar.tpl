{{- /*
The gate beside an application. charts/wicketgate has the same file, for its
injector; a test holds the two together.

  wicketgate.sidecar           for initContainers: the native sidecar; nothing with nativeSidecar: false
  wicketgate.sidecar.fallback  for the end of containers: with nativeSidecar: false the gate, else nothing
  wicketgate.volumes           for volumes

Each takes the top context and reads .Values.wicketgate.
*/ -}}

{{- define "wicketgate.sidecar.defaults" -}}
image: {registry: ghcr.io, repository: wicketgate/wicketgate, tag: "", digest: "", pullPolicy: IfNotPresent}
configMap: wicketgate
nativeSidecar: true
port: 8420
adminPort: 8421
resources:
  requests: {cpu: 25m, memory: 32Mi}
  limits: {memory: 128Mi}
extraEnv: []
extraVolumeMounts: []
{{- end -}}

{{- /* The values over the defaults, as JSON. A key that is not known ends the rendering. */ -}}
{{- define "wicketgate.sidecar.settings" -}}
{{- $defaults := include "wicketgate.sidecar.defaults" . | fromYaml -}}
{{- $given := .Values.wicketgate | default dict -}}
{{- range $key, $_ := $given -}}
  {{- if not (hasKey $defaults $key) -}}
    {{- fail (printf "wicketgate.%s: no such value; there are %s" $key (keys $defaults | sortAlpha | join ", ")) -}}
  {{- end -}}
{{- end -}}
{{- mustMergeOverwrite $defaults (deepCopy $given) | toJson -}}
{{- end -}}

{{- /* The image of settings, by digest where there is one. */ -}}
{{- define "wicketgate.sidecar.image" -}}
{{- $name := .repository -}}
{{- if .registry }}{{ $name = printf "%s/%s" .registry .repository }}{{ end -}}
{{- if .digest -}}
{{ $name }}@{{ .digest }}
{{- else -}}
{{ $name }}:{{ .tag | default "0.1.0" }}
{{- end -}}
{{- end -}}

{{- /* The container of settings, less what makes it a sidecar. */ -}}
{{- define "wicketgate.sidecar.container" -}}
name: wicketgate
image: {{ include "wicketgate.sidecar.image" .image | quote }}
imagePullPolicy: {{ .image.pullPolicy }}
args: [serve, --config, /etc/wicketgate/config.yaml]
env:
  - name: WICKETGATE_POD_IPS
    valueFrom:
      fieldRef:
        fieldPath: status.podIPs
  {{- with .extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - {name: gate, containerPort: {{ int .port }}, protocol: TCP}
  - {name: admin, containerPort: {{ int .adminPort }}, protocol: TCP}
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 1
  timeoutSeconds: 1
  failureThreshold: 30
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 3
lifecycle:
  preStop:
    httpGet: {path: /drain, port: admin}
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: wicketgate-config, mountPath: /etc/wicketgate, readOnly: true}
  {{- with .extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "wicketgate.sidecar" -}}
{{- $settings := include "wicketgate.sidecar.settings" . | fromJson -}}
{{- if $settings.nativeSidecar -}}
{{- $container := include "wicketgate.sidecar.container" $settings | fromYaml -}}
{{- list (set $container "restartPolicy" "Always") | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "wicketgate.sidecar.fallback" -}}
{{- $settings := include "wicketgate.sidecar.settings" . | fromJson -}}
{{- if not $settings.nativeSidecar -}}
{{- list (include "wicketgate.sidecar.container" $settings | fromYaml) | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "wicketgate.volumes" -}}
{{- $settings := include "wicketgate.sidecar.settings" . | fromJson -}}
- name: wicketgate-config
  configMap:
    name: {{ $settings.configMap }}
{{- end -}}

{{- /*
An object in CEL: value in a dictionary with the path of its type. What
Kubernetes knows as a map of names is one in CEL, all else has a type.
*/ -}}
{{- define "wicketgate.cel" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
  {{- $maps := list "requests" "limits" -}}
  {{- $parts := list -}}
  {{- $isMap := has (last (splitList "." $path)) $maps -}}
  {{- range $key, $value := .value -}}
    {{- $inner := include "wicketgate.cel" (dict "value" $value "path" (printf "%s.%s" $path $key)) -}}
    {{- $parts = append $parts (printf "%s: %s" (ternary ($key | toJson) $key $isMap) $inner) -}}
  {{- end -}}
  {{- printf "%s{%s}" (ternary "" $path $isMap) (join ", " $parts) -}}
{{- else if kindIs "slice" .value -}}
  {{- $parts := list -}}
  {{- range .value -}}
    {{- $parts = append $parts (include "wicketgate.cel" (dict "value" . "path" $path)) -}}
  {{- end -}}
  {{- printf "[%s]" (join ", " $parts) -}}
{{- else if kindIs "float64" .value -}}
  {{- int .value -}}
{{- else -}}
  {{- toJson .value -}}
{{- end -}}
{{- end -}}
