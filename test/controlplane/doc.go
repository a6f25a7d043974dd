// Package controlplane runs a real Kubernetes API for tests and for the demo: etcd,
// kube-apiserver with RBAC, and on request kube-controller-manager, all on loopback.
//
// It is envtest with what envtest lacks: the garbage collector and the namespace controller,
// without which deletion means nothing; an API server that restarts over the same data; an audit
// log to count writes in; and an error that says where to get a missing program. The programs
// come from the folder named by KUBEBUILDER_ASSETS. There is no kubelet: Pods never run.
package controlplane
