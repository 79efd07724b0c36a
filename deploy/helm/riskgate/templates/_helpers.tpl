{{- define "riskgate.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "riskgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "riskgate.labels" -}}
{{ include "riskgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "riskgate.metadata" -}}
name: {{ include "riskgate.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "riskgate.labels" . | nindent 2 }}
{{- end -}}

{{- define "riskgate.secretName" -}}
{{- if .Values.secret.existingSecret -}}
{{- .Values.secret.existingSecret -}}
{{- else if .Values.secret.create -}}
{{- include "riskgate.fullname" . -}}
{{- else -}}
{{- fail "secret.existingSecret names no secret: create one with the keys of secret.files, or set secret.create" -}}
{{- end -}}
{{- end -}}

{{- define "riskgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "riskgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}
