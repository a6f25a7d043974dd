{{- define "gvList" -}}
# API reference

Written by `make manifests` from the comments in `api/v1alpha1`; `kubectl explain mtasts.spec` prints the same. Rules that span fields, or that tell what to write instead, stand with the fields in the CRD. The operator's own settings are in [configuration.md](configuration.md).
{{ range . }}
{{ template "gvDetails" . }}
{{- end }}
{{- end -}}
