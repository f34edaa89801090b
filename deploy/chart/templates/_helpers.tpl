{{- define "handler.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "handler.fullname" -}}
{{- $name := include "handler.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "handler.serviceAccount" -}}
{{- default (include "handler.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "handler.selectorLabels" -}}
app.kubernetes.io/name: {{ include "handler.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "handler.labels" -}}
{{ include "handler.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "handler.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether the node is impersonated: "true" or nothing. */ -}}
{{- define "handler.asNode" -}}
{{- $asked := toString .Values.handler.impersonateNode -}}
{{- if or (eq $asked "true") (and (eq $asked "auto") (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version)) -}}
true
{{- end -}}
{{- end -}}

{{- /* Whether there are admission policies: "true" or nothing. */ -}}
{{- define "handler.policy" -}}
{{- $asked := toString .Values.admissionPolicy.create -}}
{{- if or (eq $asked "true") (and (eq $asked "auto") (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version)) -}}
true
{{- end -}}
{{- end -}}

{{- /* Whether events are written, as they are unless told otherwise: "true" or nothing. */ -}}
{{- define "handler.events" -}}
{{- if ne (toString .Values.handler.kubernetesEvents) "false" -}}
true
{{- end -}}
{{- end -}}

{{- /* For which workloads replacements are made first, as the binary takes it: YAML has read an `on`
or `off` without quotes as a boolean. */ -}}
{{- define "handler.makeBeforeBreak" -}}
{{- $asked := .Values.handler.makeBeforeBreak -}}
{{- if kindIs "bool" $asked -}}
{{- ternary "on" "off" $asked -}}
{{- else -}}
{{- default "" $asked -}}
{{- end -}}
{{- end -}}

{{- /* Whether replacements are made first for any: "true" or nothing. */ -}}
{{- define "handler.makesFirst" -}}
{{- if has (include "handler.makeBeforeBreak" .) (list "annotated" "on") -}}
true
{{- end -}}
{{- end -}}

{{- /* What `null` leaves to the binary is empty here. */ -}}
{{- define "handler.listen" -}}
{{- default "" .Values.handler.listen -}}
{{- end -}}

{{- define "handler.port" -}}
{{- regexFind "[0-9]+$" (include "handler.listen" .) -}}
{{- end -}}

{{- /* The taint's key; where it is left to the binary, the binary's own. */ -}}
{{- define "handler.taintKey" -}}
{{- regexReplaceAll ":[A-Za-z]+$" (default "spot-interrupt-handler/interruption" .Values.handler.taint) "" -}}
{{- end -}}

{{- /* Whether the webhook's URL comes in a variable: "true" or nothing. */ -}}
{{- define "handler.urlInEnv" -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "WEBHOOK_URL" "WEBHOOK_URL_FILE") -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Probes of a loopback address go there: on the node's network the kubelet reaches it. */ -}}
{{- define "handler.probe" -}}
port: http
{{- if hasPrefix "127." (include "handler.listen" .) }}
host: 127.0.0.1
{{- else if hasPrefix "[::1]" (include "handler.listen" .) }}
host: "::1"
{{- end }}
{{- end -}}

{{- /* Every value under `handler` is an option of `run`. */ -}}
{{- define "handler.args" -}}
- run
{{- range $name, $value := omit .Values.handler "impersonateNode" "dryRun" "notices" "makeBeforeBreak" }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- {{ printf "--%s=%v" (kebabcase $name) $value | quote }}
{{- end }}
{{- end }}
{{- with include "handler.makeBeforeBreak" . }}
- --make-before-break={{ . }}
{{- end }}
{{- if include "handler.asNode" . }}
- --impersonate-node=true
{{- end }}
{{- if .Values.handler.dryRun }}
- --dry-run
{{- end }}
{{- range .Values.handler.notices }}
- {{ printf "--on=%s" . | quote }}
{{- end }}
{{- with .Values.webhook }}
{{- if .secretName }}
- --webhook-url-file=/etc/webhook/secret/url
{{- if .headersKey }}
- --webhook-headers-file=/etc/webhook/secret/headers
{{- end }}
{{- end }}
{{- if .template }}
- --webhook-template=/etc/webhook/template/template.json
{{- end }}
{{- end }}
{{- end -}}

{{- /* What does not fit together, in words. */ -}}
{{- define "handler.check" -}}
{{- $listen := include "handler.listen" . -}}
{{- $loopback := regexMatch "^(127\\.|\\[::1\\])" $listen -}}
{{- $shutdown := default "130s" .Values.handler.shutdownGrace -}}
{{- $grace := add (regexFind "^[0-9]+" $shutdown | int) 10 -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $grace) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is too short for handler.shutdownGrace %s; write at least %d" (int .Values.terminationGracePeriodSeconds) $shutdown $grace) -}}
{{- end -}}
{{- $urlInEnv := include "handler.urlInEnv" . -}}
{{- if and .Values.webhook.secretName $urlInEnv -}}
{{- fail "webhook.secretName: the URL is in extraEnv, too; leave one of them out" -}}
{{- end -}}
{{- if and .Values.webhook.headersKey (not .Values.webhook.secretName) -}}
{{- fail "webhook.secretName: headers without the Secret that they are in; name it" -}}
{{- end -}}
{{- if and .Values.webhook.template (not .Values.webhook.secretName) (not $urlInEnv) -}}
{{- fail "webhook.secretName: a template without a URL; name the Secret that holds it" -}}
{{- end -}}
{{- if and $loopback (not .Values.hostNetwork) -}}
{{- fail "handler.listen: the kubelet reaches loopback on the node's network only; set hostNetwork, or write an address such as 0.0.0.0:9810" -}}
{{- end -}}
{{- if and .Values.podMonitor.create (or $loopback (not $listen)) -}}
{{- fail "handler.listen: a PodMonitor needs an address that Prometheus reaches; write one such as 0.0.0.0:9810" -}}
{{- end -}}
{{- if and (eq .Values.dnsPolicy "None") (not (.Values.dnsConfig).nameservers) -}}
{{- fail "dnsConfig.nameservers: dnsPolicy None needs at least one" -}}
{{- end -}}
{{- end -}}
