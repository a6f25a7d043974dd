package controllers

import (
	"hash/maphash"
	"maps"
	"sync"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slimmer makes of objects what the cache holds: without what nobody reads here, and with one copy of what
// the objects of a domain, or of thousands of domains, have in common. What others may write into them without a
// bound of the API's is cut (I11).
type slimmer struct {
	seed maphash.Seed

	mu sync.Mutex
	// recent are sets of labels or of annotations, by their hash; older are those before them. bytes are in recent.
	recent, older map[uint64]map[string]string
	bytes         int
}

// Bounds of the sets that are known, before the older ones are forgotten. All children of a domain have two
// sets of their own, and those of thirty thousand are known. Longer ones than sharedSetBytes are somebody else's.
const (
	mostSets       = 1 << 16
	mostSetBytes   = 16 << 20
	sharedSetBytes = 1 << 10
)

func newSlimmer() *slimmer {
	return &slimmer{seed: maphash.MakeSeed(), recent: map[uint64]map[string]string{}}
}

// slim is a [toolscache.TransformFunc].
func (s *slimmer) slim(o any) (any, error) {
	object, ok := o.(metav1.Object)
	if !ok {
		return o, nil // the last known state of something deleted
	}
	object.SetManagedFields(nil)
	object.SetNamespace(shared(object.GetNamespace()))
	object.SetName(shared(object.GetName()))
	object.SetLabels(s.known(boundedLabels(object.GetLabels())))
	annotations := object.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation) // a second copy of the object
	object.SetAnnotations(s.known(boundedAnnotations(annotations)))
	object.SetOwnerReferences(boundedOwners(object.GetOwnerReferences()))
	slimKind(o)
	return o, nil
}

// known is the same set as it is known already: nobody changes what comes from the cache. A map takes 300 bytes
// however little is in it, and where nothing is in it nothing is held.
func (s *slimmer) known(set map[string]string) map[string]string {
	if len(set) == 0 {
		return nil
	}
	size := metaBytes(set)
	if size > sharedSetBytes {
		return set
	}
	var sum uint64
	for key, value := range set { // in any order
		sum += maphash.Comparable(s.seed, [2]string{key, value})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same, recent := s.recent[sum]
	if !recent {
		same = s.older[sum]
	}
	if !maps.Equal(same, set) {
		same = make(map[string]string, len(set))
		for key, value := range set {
			same[shared(key)] = shared(value)
		}
	}
	if recent {
		s.recent[sum] = same
		return same
	}
	if len(s.recent) >= mostSets || s.bytes+size > mostSetBytes {
		s.older, s.recent, s.bytes = s.recent, map[uint64]map[string]string{}, 0
	}
	s.recent[sum] = same
	s.bytes += size
	return same
}

func shared(text string) string { return unique.Make(text).Value() }
