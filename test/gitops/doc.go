// Package gitops holds no code: its tests try the health checks for Argo CD and Flux on objects recorded
// from a real API server, one per state. TestTheStatesOfAPolicyAreAsRecorded and its twin for
// publications, in test/integration, record them and keep them true.
package gitops
