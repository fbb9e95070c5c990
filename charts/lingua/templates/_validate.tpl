{{/* What values.schema.json can't say: contradictions between values, with what to do about each. */}}
{{- define "lingua.validate" -}}
{{- $problems := list -}}
{{- $redis := .Values.redis -}}
{{- $external := $redis.external -}}
{{- $pdb := .Values.scheduler.podDisruptionBudget -}}
{{- $scaling := .Values.scheduler.autoscaling -}}
{{- $clients := .Values.auth.clients -}}
{{- $named := or $external.existingSecret $external.hosts -}}
{{- if and $redis.bundled.enabled $named -}}
{{- $problems = append $problems "redis.bundled and redis.external both name a store: set redis.bundled.enabled=false to use the external one, or empty redis.external.existingSecret and redis.external.hosts" -}}
{{- else if not (or $redis.bundled.enabled $named) -}}
{{- $problems = append $problems "no Redis is named: set redis.external.existingSecret (a Secret with the address under the key url) or redis.external.hosts; to try Lingua out set redis.bundled.enabled=true" -}}
{{- end -}}
{{- if and $external.existingSecret $external.hosts -}}
{{- $problems = append $problems "redis.external.existingSecret and redis.external.hosts both name the store: keep one" -}}
{{- end -}}
{{- if and $external.existingSecret (or $external.username $external.passwordSecret $external.sentinelPasswordSecret) -}}
{{- $problems = append $problems "redis.external.existingSecret holds the whole address: write user and passwords into it and empty redis.external.username, passwordSecret and sentinelPasswordSecret" -}}
{{- end -}}
{{- if and $external.existingSecret $external.tls.enabled (not $external.tls.secret) -}}
{{- $problems = append $problems "redis.external.existingSecret holds the whole address: ask for TLS in it (rediss://) and set redis.external.tls.enabled=false, or name the Secret with ca.crt as redis.external.tls.secret to have it mounted in /etc/lingua/redis" -}}
{{- end -}}
{{- if and $external.tls.secret (not $external.tls.enabled) -}}
{{- $problems = append $problems "redis.external.tls.secret is named and TLS is off: set redis.external.tls.enabled=true or empty the name" -}}
{{- end -}}
{{- if and $external.tls.clientCertificate (not $external.tls.secret) -}}
{{- $problems = append $problems "redis.external.tls.clientCertificate needs the Secret with tls.crt and tls.key: set redis.external.tls.secret" -}}
{{- end -}}
{{- if and $external.sentinelPasswordSecret (ne $external.kind "sentinel") -}}
{{- $problems = append $problems "redis.external.sentinelPasswordSecret is for redis.external.kind=sentinel: set the kind or empty the name" -}}
{{- end -}}
{{- if and (eq $external.kind "cluster") (not $redis.bundled.enabled) (not $redis.cell) -}}
{{- $problems = append $problems "a Redis cluster needs a cell, which keeps all keys in one slot: set redis.cell, such as c0" -}}
{{- end -}}
{{- if and (eq $external.kind "cluster") (ne (int $external.database) 0) -}}
{{- $problems = append $problems "a Redis cluster has database 0 only: set redis.external.database=0" -}}
{{- end -}}
{{- if and (ne (toString $pdb.minAvailable) "<nil>") (ne (toString $pdb.maxUnavailable) "<nil>") -}}
{{- $problems = append $problems "scheduler.podDisruptionBudget has minAvailable and maxUnavailable, and Kubernetes takes one: set the other to null" -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $problems = append $problems "scheduler.autoscaling.minReplicas is above maxReplicas: lower the one or raise the other" -}}
{{- end -}}
{{- if and (eq (toString .Values.scheduler.rollout.maxSurge | trimSuffix "%") "0") (eq (toString .Values.scheduler.rollout.maxUnavailable | trimSuffix "%") "0") -}}
{{- $problems = append $problems "scheduler.rollout.maxSurge and maxUnavailable are both 0, so no pod could ever be replaced: set one of them to 1" -}}
{{- end -}}
{{- $keys := compact (list $clients.existingSecret $clients.keySetUrl $clients.keySetConfigMap) -}}
{{- if gt (len $keys) 1 -}}
{{- $problems = append $problems "auth.clients names more than one key for the clients' tokens: keep one of existingSecret, keySetUrl and keySetConfigMap" -}}
{{- end -}}
{{- if and (not $keys) (or $clients.issuer $clients.audience) -}}
{{- $problems = append $problems "auth.clients.issuer and audience are checked only in tokens, and no key for tokens is named: set auth.clients.existingSecret, keySetUrl or keySetConfigMap" -}}
{{- end -}}
{{- if and .Values.auth.nodes.tokenReview (not .Values.rbac.create) (not .Values.scheduler.serviceAccount.name) -}}
{{- $problems = append $problems "auth.nodes.tokenReview needs the right to create tokenreviews and rbac.create is false: give that right to an account of yours and name it as scheduler.serviceAccount.name" -}}
{{- end -}}
{{- if and .Values.operator.namespaces (eq .Values.operator.scope "cluster") -}}
{{- $problems = append $problems "operator.scope is cluster and operator.namespaces lists some: empty the list, or set operator.scope=namespace" -}}
{{- end -}}
{{- if and .Values.node.enabled (not .Values.operator.enabled) -}}
{{- $problems = append $problems "node.enabled makes a TranslationFleet, which only the operator runs: set operator.enabled=true or node.enabled=false" -}}
{{- end -}}
{{- if and .Values.node.enabled (not .Values.scheduler.enabled) -}}
{{- $problems = append $problems "node.enabled runs nodes for this release's schedulers and there are none: set scheduler.enabled=true or node.enabled=false" -}}
{{- end -}}
{{- if and .Values.node.enabled (not .Values.rbac.create) -}}
{{- $problems = append $problems "node.enabled needs a Job with the right to make the fleet and rbac.create is false: apply the fleet yourself (docs/install.md) and set node.enabled=false" -}}
{{- end -}}
{{- if and .Values.node.enabled (eq .Values.operator.scope "namespace") (not (has .Release.Namespace (include "lingua.namespaces" . | fromJsonArray))) -}}
{{- $problems = append $problems (printf "node.enabled makes a fleet in namespace %s, which is not among operator.namespaces: add it there" .Release.Namespace) -}}
{{- end -}}
{{- if and .Values.node.tokenSecret .Values.auth.nodes.tokenReview -}}
{{- $problems = append $problems "node.tokenSecret is not used with auth.nodes.tokenReview, where the nodes show the token of their ServiceAccount: empty the one or switch the other off" -}}
{{- end -}}
{{- if and .Values.node.enabled (or .Values.auth.nodes.existingSecret .Values.auth.nodes.tokensSecret) (not .Values.node.tokenSecret) (not .Values.auth.nodes.tokenReview) -}}
{{- $problems = append $problems "schedulers ask nodes for a token and the reference node has none: set node.tokenSecret, or auth.nodes.tokenReview=true" -}}
{{- end -}}
{{- $ingress := .Values.scheduler.ingress -}}
{{- if and $ingress.enabled (not $ingress.hosts) -}}
{{- $problems = append $problems "scheduler.ingress has no host: set scheduler.ingress.hosts" -}}
{{- end -}}
{{- if and .Values.scheduler.httpRoute.enabled (not .Values.scheduler.httpRoute.parentRefs) -}}
{{- $problems = append $problems "scheduler.httpRoute has no Gateway: set scheduler.httpRoute.parentRefs" -}}
{{- end -}}
{{- range $name := keys .Values.scheduler.settings | sortAlpha -}}
{{- if has (trimSuffix "_FILE" $name) (include "lingua.schedulerOwn" $ | fromYamlArray) -}}
{{- $problems = append $problems (printf "scheduler.settings.%s is set by the chart from a value of its own: see charts/lingua/README.md, and remove it here" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := keys .Values.operator.settings | sortAlpha -}}
{{- if has (trimSuffix "_FILE" $name) (include "lingua.operatorOwn" $ | fromYamlArray) -}}
{{- $problems = append $problems (printf "operator.settings.%s is set by the chart from a value of its own: see charts/lingua/README.md, and remove it here" $name) -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values can't work:\n  * %s\n" (join "\n  * " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* Variables that the chart sets itself, directly or as a file (_FILE). */}}
{{- define "lingua.schedulerOwn" -}}
[LINGUA_HOST, LINGUA_PORT, LINGUA_HTTP_INTERNAL_PORT, LINGUA_REDIS_URL, LINGUA_REDIS_PASSWORD,
 LINGUA_REDIS_SENTINEL_PASSWORD, LINGUA_REDIS_PREFIX, LINGUA_REDIS_CELL,
 LINGUA_LOG_LEVEL, LINGUA_SESSION_LIMIT, LINGUA_DRAIN_GRACE_MS, LINGUA_PEER_ADDRESS, LINGUA_PEER_SECRET,
 LINGUA_NODES_ADMISSION, LINGUA_AUTH_SECRET, LINGUA_AUTH_KEY_SET, LINGUA_AUTH_ISSUER, LINGUA_AUTH_AUDIENCE,
 LINGUA_AUTH_TENANT_CLAIM, LINGUA_AUTH_ORIGINS, LINGUA_AUTH_NODE_SECRET, LINGUA_AUTH_NODE_TOKENS,
 LINGUA_AUTH_TOKEN_REVIEW]
{{- end -}}

{{- define "lingua.operatorOwn" -}}
[LINGUA_OPERATOR_NAMESPACES, LINGUA_OPERATOR_ADMISSION, LINGUA_OPERATOR_CLUSTER, LINGUA_OPERATOR_LOG_LEVEL,
 LINGUA_OPERATOR_HTTP_PORT, LINGUA_OPERATOR_STANDBY_ENABLED, LINGUA_OPERATOR_STANDBY_LEASE,
 LINGUA_OPERATOR_STANDBY_NAMESPACE, LINGUA_OPERATOR_SCHEDULER_URL, LINGUA_REDIS_URL, LINGUA_REDIS_PASSWORD,
 LINGUA_REDIS_SENTINEL_PASSWORD, LINGUA_REDIS_PREFIX, LINGUA_REDIS_CELL]
{{- end -}}
