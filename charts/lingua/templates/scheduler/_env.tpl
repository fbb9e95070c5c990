{{- define "lingua.schedulerEnv" -}}
{{- $values := .Values.scheduler -}}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: LINGUA_PORT
  value: "5010"
- name: LINGUA_HTTP_INTERNAL_PORT
  value: "5011"
- name: LINGUA_PEER_ADDRESS
  value: {{ $values.peerAddress | quote }}
- name: LINGUA_LOG_LEVEL
  value: {{ $values.logLevel }}
- name: LINGUA_SESSION_LIMIT
  value: {{ $values.maxSessionsPerPod | quote }}
- name: LINGUA_DRAIN_GRACE_MS
  value: {{ mul $values.drainSeconds 1000 | quote }}
- name: LINGUA_NODES_ADMISSION
  value: {{ ternary "declared" "open" (eq .Values.operator.admission "declared") }}
{{- include "lingua.redisEnv" . }}
{{- include "lingua.authEnv" .Values.auth }}
{{- include "lingua.settings" $values.settings }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "lingua.authEnv" -}}
{{- if .clients.existingSecret }}
- name: LINGUA_AUTH_SECRET_FILE
  value: /etc/lingua/secrets/clients
{{- end }}
{{- with .clients.keySetUrl }}
- name: LINGUA_AUTH_KEY_SET
  value: {{ . | quote }}
{{- end }}
{{- if .clients.keySetConfigMap }}
- name: LINGUA_AUTH_KEY_SET
  value: /etc/lingua/key-set/jwks.json
{{- end }}
{{- with .clients.issuer }}
- name: LINGUA_AUTH_ISSUER
  value: {{ . | quote }}
{{- end }}
{{- with .clients.audience }}
- name: LINGUA_AUTH_AUDIENCE
  value: {{ . | quote }}
{{- end }}
- name: LINGUA_AUTH_TENANT_CLAIM
  value: {{ .clients.tenantClaim | quote }}
{{- with .clients.origins }}
- name: LINGUA_AUTH_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- if .nodes.existingSecret }}
- name: LINGUA_AUTH_NODE_SECRET_FILE
  value: /etc/lingua/secrets/nodes
{{- end }}
{{- if .nodes.tokensSecret }}
- name: LINGUA_AUTH_NODE_TOKENS
  value: /etc/lingua/secrets/node-tokens
{{- end }}
{{- if .nodes.tokenReview }}
- name: LINGUA_AUTH_TOKEN_REVIEW
  value: "true"
{{- end }}
{{- if .peers.existingSecret }}
- name: LINGUA_PEER_SECRET_FILE
  value: /etc/lingua/secrets/peers
{{- end }}
{{- end -}}

{{- define "lingua.schedulerSources" -}}
{{- $auth := .Values.auth -}}
{{- include "lingua.redisSources" . }}
{{- include "lingua.source" (list $auth.clients.existingSecret $auth.clients.secretKey "clients") }}
{{- include "lingua.source" (list $auth.nodes.existingSecret $auth.nodes.secretKey "nodes") }}
{{- include "lingua.source" (list $auth.nodes.tokensSecret "tokens" "node-tokens") }}
{{- include "lingua.source" (list $auth.peers.existingSecret $auth.peers.secretKey "peers") }}
{{- end -}}

{{- define "lingua.schedulerMounts" -}}
{{- include "lingua.secretsMount" (include "lingua.schedulerSources" .) }}
{{- if .Values.auth.clients.keySetConfigMap }}
- {name: key-set, mountPath: /etc/lingua/key-set, readOnly: true}
{{- end }}
{{- end -}}

{{- define "lingua.schedulerVolumes" -}}
{{- include "lingua.secretsVolume" (include "lingua.schedulerSources" .) }}
{{- with .Values.auth.clients.keySetConfigMap }}
- name: key-set
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}
