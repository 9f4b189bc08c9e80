{{- define "token-blacklist.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "token-blacklist.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "token-blacklist.labels" -}}
{{ include "token-blacklist.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "token-blacklist.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* The restrictions of every pod. */}}
{{- define "token-blacklist.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "token-blacklist.containerSecurity" -}}
image: {{ include "token-blacklist.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "token-blacklist.databaseEnv" -}}
- { name: DATABASE_URL_FILE, value: /run/secrets/database/url }
- { name: DATABASE_TLS, value: {{ ternary "on" "off" .Values.database.tls | quote }} }
{{- if .Values.database.caConfigMap }}
- { name: DATABASE_CA_FILE, value: /run/config/database/ca.pem }
{{- end }}
{{- end }}

{{- define "token-blacklist.databaseMounts" -}}
- { name: database, mountPath: /run/secrets/database, readOnly: true }
{{- if .Values.database.caConfigMap }}
- { name: database-ca, mountPath: /run/config/database, readOnly: true }
{{- end }}
{{- end }}

{{- define "token-blacklist.databaseCaVolume" -}}
{{- if .Values.database.caConfigMap -}}
- name: database-ca
  configMap:
    name: {{ .Values.database.caConfigMap }}
    items: [{ key: {{ .Values.database.caKey | quote }}, path: ca.pem }]
{{- end }}
{{- end }}
