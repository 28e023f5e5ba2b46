{{/* Names and labels that the templates share. */}}

{{- define "nightlatch.version" -}}
{{- .Chart.AppVersion -}}
{{- end -}}

{{- define "nightlatch.image" -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}

{{- define "nightlatch.labels" -}}
app.kubernetes.io/part-of: nightlatch
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{ include "nightlatch.selector" . }}
{{- end -}}

{{- define "nightlatch.selector" -}}
app.kubernetes.io/name: nightlatch
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "nightlatch.operator" -}}nightlatch-operator{{- end -}}
{{- define "nightlatch.gateway" -}}nightlatch-gateway{{- end -}}

{{/* The container's side of the restricted Pod Security Standard. */}}
{{- define "nightlatch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "nightlatch.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Scheduling fields of one component's pods. */}}
{{- define "nightlatch.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* What the operator may do with the objects of the namespaces it serves. */}}
{{- define "nightlatch.operatorRules" -}}
- apiGroups: [nightlatch.dev]
  resources: [inferenceendpoints, inferenceclients, tokenissuers]
  verbs: [get, list, watch]
- apiGroups: [nightlatch.dev]
  resources: [inferenceendpoints/status, inferenceclients/status, tokenissuers/status]
  verbs: [update]
# Owner references that block deletion need this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [nightlatch.dev]
  resources: [inferenceendpoints/finalizers, inferenceclients/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The labels of namespaces, for endpoints that let clients in by them. A Role gives access to its own namespace alone.
- apiGroups: [""]
  resources: [namespaces]
  verbs: {{ ternary "[get]" "[list, watch]" (not (empty .Values.watchNamespaces)) }}
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.certManager.enabled }}
# The Certificates that cert-manager fills, and its way to be asked for a renewal, which is a condition of their status.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [cert-manager.io]
  resources: [certificates/status]
  verbs: [patch]
{{- end }}
{{- end -}}

{{/* What a gateway may read of the namespaces it serves. Never a write verb, never a Secret. */}}
{{- define "nightlatch.gatewayRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- end -}}
