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
{{- with .clients.existingSecret }}
- name: LINGUA_AUTH_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.clients.secretKey }}
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
{{- with .nodes.existingSecret }}
- name: LINGUA_AUTH_NODE_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.nodes.secretKey }}
{{- end }}
{{- if .nodes.tokensSecret }}
- name: LINGUA_AUTH_NODE_TOKENS
  value: /etc/lingua/node-tokens/tokens
{{- end }}
{{- if .nodes.tokenReview }}
- name: LINGUA_AUTH_TOKEN_REVIEW
  value: "true"
{{- end }}
{{- with .peers.existingSecret }}
- name: LINGUA_PEER_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.peers.secretKey }}
{{- end }}
{{- end -}}

{{- define "lingua.schedulerMounts" -}}
{{- if .Values.auth.clients.keySetConfigMap }}
- {name: key-set, mountPath: /etc/lingua/key-set, readOnly: true}
{{- end }}
{{- if .Values.auth.nodes.tokensSecret }}
- {name: node-tokens, mountPath: /etc/lingua/node-tokens, readOnly: true}
{{- end }}
{{- end -}}

{{- define "lingua.schedulerVolumes" -}}
{{- with .Values.auth.clients.keySetConfigMap }}
- name: key-set
  configMap:
    name: {{ . }}
{{- end }}
{{- with .Values.auth.nodes.tokensSecret }}
- name: node-tokens
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}
