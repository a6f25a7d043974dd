{{- define "type_members" -}}
{{- if eq .Name "metadata" }}as of every object{{ else }}{{ template "cell" .Doc }}{{ end -}}
{{- end -}}

{{- define "cell" -}}
{{ . | replace "\n" " " | replace "|" "\\|" | replace "<" "&lt;" | trim }}
{{- end -}}

{{- define "rules" -}}
{{- $shown := list -}}
{{- range . -}}
{{- if hasPrefix "Required" . }}{{ $shown = append $shown "required" }}
{{- else if or (hasPrefix "Optional" .) (contains "XValidation" .) (hasPrefix "Enum" .) }}
{{- else }}{{ $shown = append $shown . }}{{ end -}}
{{- end -}}
{{ join ", " $shown }}
{{- end -}}
