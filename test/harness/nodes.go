package harness

import (
	"maps"
	"slices"
	"sync"
)

// Nodes are the machines of the cluster as scheduler and kubelets know them.
// There are no Node objects behind them.
type Nodes struct {
	mu   sync.Mutex
	lost map[string]bool
}

// NewNodes returns node-a, node-b and node-c.
func NewNodes() *Nodes {
	return &Nodes{lost: map[string]bool{"node-a": false, "node-b": false, "node-c": false}}
}

// Names returns the names of all nodes, sorted.
func (n *Nodes) Names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.lost))
}

// exists tells whether there is such a node.
func (n *Nodes) exists(node string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.lost[node]
	return ok
}

// isLost tells whether the cluster has lost contact with a node.
func (n *Nodes) isLost(node string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost[node]
}

func (n *Nodes) setLost(node string, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost[node] = lost
}
