package main

import (
	"encoding/json"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// object is a piece of Caddy's JSON.
type object map[string]any

// caddyConfig returns Caddy's configuration in its own language.
func caddyConfig(s site, w world) string {
	policy := object{"handler": "file_server", "root": s.dir + "/sites/{http.request.host}", "index_names": []string{}}
	match := object{"path": []string{mtasts.PolicyPath}}
	if len(w.hosts) == 1 {
		match["host"] = w.hosts
		policy = object{
			"handler": "static_response", "body": w.bodies[0],
			"headers": object{"Content-Type": []string{"text/plain; charset=utf-8"}},
		}
	}
	server := object{
		"listen":          []string{s.address},
		"automatic_https": object{"disable": true},
		"idle_timeout":    "620s",
		"routes": []object{
			{"match": []object{match}, "handle": []object{policy}, "terminal": true},
			{"handle": []object{{"handler": "static_response", "status_code": 404}}},
		},
	}
	encoded, err := json.Marshal(object{
		"admin":   object{"listen": s.admin},
		"logging": object{"logs": object{"default": object{"level": "ERROR"}}},
		"apps":    object{"http": object{"servers": object{"policies": server}}},
	})
	if err != nil {
		panic(err) // strings and maps of them
	}
	return string(encoded)
}
