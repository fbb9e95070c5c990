{{/* The store: its address and its secrets. */}}

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
{{- $user := ternary "" (printf "%s@" $external.username) (empty $external.username) -}}
{{- $url := printf "%s://%s%s/%s" $scheme $user (join "," $external.hosts) (get $path $external.kind) -}}
{{- ternary $url (printf "%s?%s" $url (join "&" $query)) (empty $query) -}}
{{- end -}}

{{- define "lingua.redisEnv" -}}
{{- $external := .Values.redis.external -}}
{{- if or .Values.redis.bundled.enabled $external.existingSecret }}
- name: LINGUA_REDIS_URL_FILE
  value: /etc/lingua/secrets/redis-url
{{- else }}
- name: LINGUA_REDIS_URL
  value: {{ include "lingua.redisUrl" . | quote }}
{{- if $external.passwordSecret }}
- name: LINGUA_REDIS_PASSWORD_FILE
  value: /etc/lingua/secrets/redis-password
{{- end }}
{{- if $external.sentinelPasswordSecret }}
- name: LINGUA_REDIS_SENTINEL_PASSWORD_FILE
  value: /etc/lingua/secrets/sentinel-password
{{- end }}
{{- end }}
- name: LINGUA_REDIS_PREFIX
  value: {{ .Values.redis.prefix | quote }}
- name: LINGUA_REDIS_CELL
  value: {{ .Values.redis.cell | quote }}
{{- end -}}

{{/* The same as sources of a projected volume: secrets are files, not variables. */}}
{{- define "lingua.redisSources" -}}
{{- $external := .Values.redis.external -}}
{{- if .Values.redis.bundled.enabled }}
{{- include "lingua.source" (list (printf "%s-valkey" (include "lingua.fullname" .)) "url" "redis-url") }}
{{- else if $external.existingSecret }}
{{- include "lingua.source" (list $external.existingSecret $external.urlKey "redis-url") }}
{{- else }}
{{- include "lingua.source" (list $external.passwordSecret $external.passwordKey "redis-password") }}
{{- include "lingua.source" (list $external.sentinelPasswordSecret $external.sentinelPasswordKey "sentinel-password") }}
{{- end }}
{{- end -}}

{{/* One key of a Secret as a file; nothing where no Secret is named. Takes secret, key and file. */}}
{{- define "lingua.source" -}}
{{- if first . }}
- secret:
    name: {{ first . }}
    items:
      - {key: {{ index . 1 }}, path: {{ last . }}}
{{- end }}
{{- end -}}

{{/* The volume of a part's secrets, and where it is seen. Takes the sources. */}}
{{- define "lingua.secretsVolume" -}}
{{- if . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "lingua.secretsMount" -}}
{{- if . }}
- {name: secrets, mountPath: /etc/lingua/secrets, readOnly: true}
{{- end }}
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
