package simulation

import (
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/util/json"
)

// fields are an object as its JSON says.
type fields = map[string]any

// encode turns an object into its JSON, as it goes over the wire: times lose their fractions there.
func encode(o any) fields {
	data, err := json.Marshal(o)
	if err != nil {
		panic(err) // every object here was made by Go code
	}
	var out fields
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}

// decode is the inverse of encode.
func decode(f fields, into any) {
	data, err := json.Marshal(f)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		panic(err)
	}
}

// mergePatch is RFC 7396: null removes, objects are merged, everything else is replaced.
func mergePatch(target, patch fields) fields {
	out := maps.Clone(target)
	if out == nil {
		out = fields{}
	}
	for key, value := range patch {
		inner, isMap := value.(fields)
		switch have, _ := out[key].(fields); {
		case value == nil:
			delete(out, key)
		case isMap:
			out[key] = mergePatch(have, inner)
		default:
			out[key] = value
		}
	}
	return out
}

// applied is what server-side apply makes of a live object: what this applier set the last time and no
// longer sets goes, what it sets now is merged over the rest. Lists are taken as a whole: there is no
// second applier in this world.
func applied(live, last, now fields) fields {
	return mergePatch(without(live, last, now), now)
}

// without is live but for the fields of last that now has no more.
func without(live, last, now fields) fields {
	out := maps.Clone(live)
	for key, old := range last {
		kept, stays := now[key]
		oldMap, isMap := old.(fields)
		liveMap, liveIsMap := out[key].(fields)
		switch {
		case isMap && liveIsMap:
			inner, _ := kept.(fields)
			if out[key] = without(liveMap, oldMap, inner); len(out[key].(fields)) == 0 && !stays {
				delete(out, key)
			}
		case !stays && reflect.DeepEqual(out[key], old):
			delete(out, key)
		}
	}
	return out
}
