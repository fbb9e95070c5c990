{{/* Names, labels and the parts that several pods share. */}}

{{- define "lingua.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "lingua.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "lingua.labels" -}}
{{ include "lingua.selectorLabels" . }}
app.kubernetes.io/part-of: lingua
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The image of a part: a digest wins over the tag. Takes root and image. */}}
{{- define "lingua.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.image.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "lingua.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Pod Security Standard "restricted", for a pod and for a container. */}}
{{- define "lingua.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "lingua.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "lingua.schedulerAccount" -}}
{{- $account := .Values.scheduler.serviceAccount -}}
{{- default (ternary (printf "%s-scheduler" (include "lingua.fullname" .)) "default" $account.create) $account.name -}}
{{- end -}}

{{- define "lingua.operatorAccount" -}}
{{- $account := .Values.operator.serviceAccount -}}
{{- default (ternary (printf "%s-operator" (include "lingua.fullname" .)) "default" $account.create) $account.name -}}
{{- end -}}

{{/* Where nodes and clients inside the cluster find the schedulers. */}}
{{- define "lingua.url" -}}
{{- printf "%s-scheduler.%s.svc:%v" (include "lingua.fullname" .) .Release.Namespace .Values.scheduler.service.port -}}
{{- end -}}

{{/* The namespaces that the operator serves, as a JSON list; empty: the cluster. */}}
{{- define "lingua.namespaces" -}}
{{- if eq .Values.operator.scope "cluster" -}}
[]
{{- else -}}
{{- default (list .Release.Namespace) .Values.operator.namespaces | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/* Where a pod runs. Takes the values of the part. */}}
{{- define "lingua.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Spread of a part's pods. Takes root, component, constraints (the user's) and keys (ours, when the user has none). */}}
{{- define "lingua.spread" -}}
{{- $selector := dict "matchLabels" (include "lingua.selectorLabels" (dict "root" .root "component" .component) | fromYaml) -}}
{{- $constraints := .constraints -}}
{{- if not $constraints -}}
{{- $constraints = list -}}
{{- range .keys -}}
{{- $constraints = append $constraints (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway") -}}
{{- end -}}
{{- end }}
topologySpreadConstraints:
{{- range $constraints }}
  - {{ toYaml (merge (dict) . (dict "labelSelector" $selector)) | nindent 4 | trim }}
{{- end }}
{{- end -}}

{{/* Free settings as environment variables, sorted. */}}
{{- define "lingua.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}
