{{- /* Values that contradict each other, each with a sentence that says what to do. */ -}}
{{- define "wicketgate.verify" -}}
{{- include "wicketgate.verifyPresent" (list "" .Values (include "wicketgate.needed" . | fromYaml)) }}
{{- $v := .Values }}
{{- if and $v.config $v.existingConfigMap }}
{{- fail "config and existingConfigMap are both set: keep one, the gate reads one file." }}
{{- end }}
{{- if not (or $v.config $v.existingConfigMap (include "wicketgate.onlyInjector" .)) }}
{{- fail "the gate has no configuration: set config (version, issuers, resources) or existingConfigMap." }}
{{- end }}
{{- if and $v.metrics.podMonitor.enabled $v.metrics.serviceMonitor.enabled }}
{{- fail "metrics.podMonitor and metrics.serviceMonitor are both enabled: every pod would be scraped twice; keep one." }}
{{- end }}
{{- if and $v.networkPolicy.upstream.podLabels (not $v.networkPolicy.enabled) }}
{{- fail "networkPolicy.upstream closes nothing while networkPolicy.enabled is false: enable it, or take upstream.podLabels away." }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}
{{- fail "ingress.enabled without ingress.hosts: name the hosts that the Ingress is for." }}
{{- end }}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled without httpRoute.parentRefs: name the Gateway that the route belongs to." }}
{{- end }}
{{- if and $v.autoscaling.enabled (lt (int $v.autoscaling.maxReplicas) (int $v.autoscaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas." }}
{{- end }}
{{- if and $v.autoscaling.enabled (not (or $v.autoscaling.targetCPUUtilizationPercentage $v.autoscaling.targetMemoryUtilizationPercentage $v.autoscaling.metrics)) }}
{{- fail "autoscaling.enabled without anything to scale by: set autoscaling.targetCPUUtilizationPercentage or autoscaling.metrics." }}
{{- end }}
{{- include "wicketgate.verifyDistinct" . }}
{{- if include "wicketgate.onlyInjector" . }}
{{- include "wicketgate.verifyOnlyInjector" . }}
{{- end }}
{{- if $v.config }}
{{- include "wicketgate.verifyPort" (list "ports.traffic" $v.ports.traffic "listen" $v.config.listen) }}
{{- include "wicketgate.verifyPort" (list "ports.admin" $v.ports.admin "admin.listen" (dig "admin" "listen" nil $v.config)) }}
{{- range $key := list "ext_authz" "forward_auth" }}
{{- with index $v.config $key }}
{{- include "wicketgate.verifyListed" (list $ (printf "%s.listen" $key) .listen) }}
{{- end }}
{{- end }}
{{- with dig "revocation" "signals" "listen" nil $v.config }}
{{- include "wicketgate.verifyListed" (list $ "revocation.signals.listen" .) }}
{{- end }}
{{- range $i, $resource := $v.config.resources }}
{{- include "wicketgate.verifyListed" (list $ (printf "resources[%d].listen" $i) $resource.listen) }}
{{- end }}
{{- include "wicketgate.verifyTLS" . }}
{{- include "wicketgate.verifyDrain" . }}
{{- end }}
{{- end }}

{{- /* Values that templates cannot do without; null takes the chart's default away. */ -}}
{{- define "wicketgate.needed" -}}
global: {}
image: {repository: "", pullPolicy: ""}
tls: {}
ports: {traffic: "", admin: ""}
updateStrategy: {type: ""}
terminationGracePeriodSeconds: ""
serviceAccount: {create: "", automount: ""}
service: {type: "", port: ""}
ingress: {}
httpRoute: {}
networkPolicy: {upstream: {}}
metrics:
  podMonitor: {}
  serviceMonitor: {}
  prometheusRule: {}
  dashboard: {}
autoscaling: {enabled: "", minReplicas: "", maxReplicas: ""}
podDisruptionBudget: {}
injector: {namespaceSelector: {}, configMap: ""}
{{- end }}

{{- /* list "where.", values, what they need. */ -}}
{{- define "wicketgate.verifyPresent" -}}
{{- $where := index . 0 }}{{ $values := index . 1 }}
{{- range $key, $below := index . 2 }}
{{- $value := get $values $key }}
{{- if kindIs "invalid" (index $values $key) }}
{{- fail (printf "%s%s is null, and the chart cannot do without: leave it out for its default, or set it." $where $key) }}
{{- end }}
{{- if kindIs "map" $below }}
{{- include "wicketgate.verifyPresent" (list (printf "%s%s." $where $key) $value $below) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Values for a gate of the release's own, where there is none. */ -}}
{{- define "wicketgate.verifyOnlyInjector" -}}
{{- $for := "there is none: replicaCount is 0, and neither config nor existingConfigMap is set" }}
{{- range $path := list
  "ingress.enabled" "httpRoute.enabled" "networkPolicy.enabled" "metrics.podMonitor.enabled" "metrics.serviceMonitor.enabled"
  "secrets" "tls.existingSecret" "ports.extra" "podAnnotations" "podLabels" "nodeSelector" "tolerations" "affinity" "priorityClassName"
  "extraEnv" "extraEnvFrom" "extraVolumes" "extraVolumeMounts" "extraContainers" "extraInitContainers" }}
{{- $value := $.Values }}
{{- range splitList "." $path }}{{ $value = get $value . }}{{ end }}
{{- if $value }}
{{- $instead := ternary "; for gates beside others there is injector.extraEnv" "" (eq $path "extraEnv") }}
{{- fail (printf "%s is for a gate of this release's own, and %s. Take it away, or give that gate its configuration and replicas%s." $path $for $instead) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "wicketgate.verifyPort" -}}
{{- $given := index . 3 | default (printf ":%d" (ternary 8420 8421 (eq (index . 2) "listen"))) }}
{{- if not (hasSuffix (printf ":%d" (int (index . 1))) (toString $given)) }}
{{- fail (printf "%s is %d, but the configuration has %s: %q; make them agree." (index . 0) (int (index . 1)) (index . 2) $given) }}
{{- end }}
{{- if regexMatch "^(localhost|127\\.|\\[::1\\])" (toString $given) }}
{{- fail (printf "%s is %q: nobody outside the pod reaches that, not even the kubelet's probes; write \":%d\"." (index . 2) $given (int (index . 1))) }}
{{- end }}
{{- end }}

{{- /* A listener of the configuration that the pod and its Service must know. */ -}}
{{- define "wicketgate.verifyListed" -}}
{{- $p := (index . 0).Values.ports }}
{{- $known := list (toString (int $p.traffic)) }}
{{- range $p.extra }}{{ $known = append $known (toString (int .port)) }}{{ end }}
{{- $listen := index . 2 | default "" | toString }}
{{- $port := regexFind "[0-9]+$" $listen }}
{{- if and $port (not (has $port $known)) (not (regexMatch "^(localhost|127\\.|\\[::1\\])" $listen)) }}
{{- fail (printf "%s is %q, but the Service does not have that port: add {name: NAME, port: %s} to ports.extra." (index . 1) $listen $port) }}
{{- end }}
{{- end }}

{{- define "wicketgate.verifyTLS" -}}
{{- $named := dig "tls" "cert_file" "" .Values.config }}
{{- if and .Values.tls.existingSecret (not $named) }}
{{- fail "tls.existingSecret is mounted, but the configuration serves plain HTTP: add tls: {cert_file: /run/secrets/wicketgate/tls/tls.crt, key_file: /run/secrets/wicketgate/tls/tls.key} to config." }}
{{- end }}
{{- if and (not .Values.tls.existingSecret) (hasPrefix "/run/secrets/wicketgate/tls/" $named) }}
{{- fail "the configuration names a certificate in /run/secrets/wicketgate/tls, but tls.existingSecret is not set." }}
{{- end }}
{{- end }}

{{- define "wicketgate.verifyDrain" -}}
{{- $delay := include "wicketgate.seconds" (dig "drain" "delay" "5s" .Values.config) | int }}
{{- $timeout := include "wicketgate.seconds" (dig "drain" "timeout" "25s" .Values.config) | int }}
{{- $need := add $delay $timeout 5 | int }}
{{- if lt (int .Values.terminationGracePeriodSeconds) $need }}
{{- fail (printf "terminationGracePeriodSeconds is %d, but drain.delay and drain.timeout of the configuration take %d s and need 5 more: set %d." (int .Values.terminationGracePeriodSeconds) (add $delay $timeout) $need) }}
{{- end }}
{{- end }}

{{- /* Ports of a pod, and of its Service, must differ in number and name. */ -}}
{{- define "wicketgate.verifyDistinct" -}}
{{- $p := .Values.ports }}
{{- $pod := list (int $p.traffic) (int $p.admin) }}
{{- $service := list (int .Values.service.port) }}
{{- $names := list }}
{{- range $p.extra }}
{{- $pod = append $pod (int .port) }}
{{- $service = append $service (int .port) }}
{{- $names = append $names .name }}
{{- end }}
{{- if or (ne (len $pod) (len (uniq $pod))) (ne (len $names) (len (uniq $names))) }}
{{- fail "ports.traffic, ports.admin and ports.extra have a port or a name twice: each needs its own." }}
{{- end }}
{{- if ne (len $service) (len (uniq $service)) }}
{{- fail "service.port is one of ports.extra as well: a Service has each number once." }}
{{- end }}
{{- end }}

{{- /* Something where the release has no gate of its own, only the injector. */ -}}
{{- define "wicketgate.onlyInjector" -}}
{{- if and (not .Values.config) (not .Values.existingConfigMap) .Values.injector.enabled (not .Values.autoscaling.enabled) (eq (int .Values.replicaCount) 0) }}yes{{ end }}
{{- end }}
