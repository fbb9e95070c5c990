{{/* The address of the store, as environment variables and files. */}}

{{/* The port of the store, for policies. */}}
{{- define "lingua.redisPorts" -}}
{{- if .Values.redis.bundled.enabled -}}
[6379]
{{- else -}}
{{- $ports := list -}}
{{- range .Values.redis.external.hosts -}}
{{- $ports = append $ports (splitList ":" . | last | int) -}}
{{- end -}}
{{- if eq .Values.redis.external.kind "sentinel" -}}
{{- $ports = append $ports 6379 -}}
{{- end -}}
{{- default (list 6379 26379) $ports | uniq | sortAlpha | toJson | replace "\"" "" -}}
{{- end -}}
{{- end -}}

{{/* Whether the store's TLS files are to be mounted. */}}
{{- define "lingua.redisFiles" -}}
{{- $redis := .Values.redis -}}
{{- if and (not $redis.bundled.enabled) $redis.external.tls.enabled $redis.external.tls.secret -}}yes{{- end -}}
{{- end -}}

{{/* user:password@ of an address made of parts; the words in $(...) are put in by Kubernetes. */}}
{{- define "lingua.redisCredentials" -}}
{{- $external := .Values.redis.external -}}
{{- if or $external.username $external.passwordSecret -}}
{{- printf "%s%s@" $external.username (ternary ":$(LINGUA_CHART_REDIS_PASSWORD)" "" (not (empty $external.passwordSecret))) -}}
{{- end -}}
{{- end -}}

{{- define "lingua.redisUrl" -}}
{{- $external := .Values.redis.external -}}
{{- $tls := $external.tls.enabled -}}
{{- $scheme := ternary "rediss" "redis" $tls -}}
{{- if ne $external.kind "server" -}}
{{- $scheme = printf "%s+%s" $scheme $external.kind -}}
{{- end -}}
{{- $path := dict "server" (toString $external.database) "sentinel" (printf "%s/%v" $external.sentinelService $external.database) "cluster" "" -}}
{{- $query := list -}}
{{- if include "lingua.redisFiles" . -}}
{{- $query = append $query "ssl_ca_certs=/etc/lingua/redis/ca.crt" -}}
{{- if $external.tls.clientCertificate -}}
{{- $query = append $query "ssl_certfile=/etc/lingua/redis/tls.crt" -}}
{{- $query = append $query "ssl_keyfile=/etc/lingua/redis/tls.key" -}}
{{- end -}}
{{- end -}}
{{- if $external.sentinelPasswordSecret -}}
{{- $query = append $query "sentinel_password=$(LINGUA_CHART_SENTINEL_PASSWORD)" -}}
{{- end -}}
{{- $url := printf "%s://%s%s/%s" $scheme (include "lingua.redisCredentials" .) (join "," $external.hosts) (get $path $external.kind) -}}
{{- ternary $url (printf "%s?%s" $url (join "&" $query)) (empty $query) -}}
{{- end -}}

{{- define "lingua.redisEnv" -}}
{{- $external := .Values.redis.external -}}
{{- if .Values.redis.bundled.enabled }}
- name: LINGUA_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "lingua.fullname" . }}-valkey
      key: url
{{- else if $external.existingSecret }}
- name: LINGUA_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $external.existingSecret }}
      key: {{ $external.urlKey }}
{{- else }}
{{- with $external.passwordSecret }}
- name: LINGUA_CHART_REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $external.passwordKey }}
{{- end }}
{{- with $external.sentinelPasswordSecret }}
- name: LINGUA_CHART_SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $external.sentinelPasswordKey }}
{{- end }}
- name: LINGUA_REDIS_URL
  value: {{ include "lingua.redisUrl" . | quote }}
{{- end }}
- name: LINGUA_REDIS_PREFIX
  value: {{ .Values.redis.prefix | quote }}
- name: LINGUA_REDIS_CELL
  value: {{ .Values.redis.cell | quote }}
{{- end -}}

{{- define "lingua.redisMount" -}}
{{- if include "lingua.redisFiles" . }}
- name: redis-tls
  mountPath: /etc/lingua/redis
  readOnly: true
{{- end }}
{{- end -}}

{{- define "lingua.redisVolume" -}}
{{- if include "lingua.redisFiles" . }}
- name: redis-tls
  secret:
    secretName: {{ .Values.redis.external.tls.secret }}
    defaultMode: 0440
{{- end }}
{{- end -}}
