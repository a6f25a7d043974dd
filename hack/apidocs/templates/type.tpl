{{- define "type" -}}
{{- if markdownShouldRenderType . }}
## {{ .Name }}

{{ .Doc }}
{{ if .References }}
In {{ range $i, $r := .SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $r }}{{ end }}.
{{ end }}
{{- if .Members }}
| Field | Meaning | Default | |
|---|---|---|---|
{{ range .Members -}}
| `{{ .Name }}` {{ markdownRenderType .Type }} | {{ template "type_members" . }} | {{ with .Default }}`{{ . }}`{{ end }} | {{ template "rules" .Validation }} |
{{ end }}
{{- end }}
{{- if .EnumValues }}
| Value | Meaning |
|---|---|
{{ range .EnumValues -}}
| `{{ .Name }}` | {{ template "cell" (regexReplaceAll "^[A-Z][A-Za-z]+:? " .Doc "") }} |
{{ end }}
{{- end }}
{{- end }}
{{- end -}}
