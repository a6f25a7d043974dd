// Package harness models the parts of a cluster and of the world that surround
// the operator: Deployment controller and scheduler, kubelets, cert-manager,
// the Ingress controller, external-dns and DNS. With it a kube-apiserver
// without nodes behaves as a cluster in which policies really are served.
//
// Each model is a plain struct. It is driven by Step, which looks at the world
// through a client.Client and a clock and makes the progress that is due. A
// model starts no goroutine and never waits, so the same models run against a
// virtual clock. What a model stores, it stores because the real thing does;
// its faults are those the real thing has:
//
//	Workload     pods are created, rolled and replaced, never moved
//	Kubelet      a volume is read at one time and applied at a later one
//	CA           certificates come late, fail and expire
//	Ingress      routes to ready pods only, by SNI and host
//	ExternalDNS  refuses, merges and forgets records in several ways
//	DNS          answers, or fails to, and remembers who asked what when
//
// Start is the loopback driver: a ticker steps all models, and real listeners on
// 127.0.0.1 make DNS, HTTPS and the policy servers of the pods reachable. All
// pods have the address 127.0.0.1; what tells them apart is their container
// ports, which the Workload rewrites from the template to the ports of real
// listeners.
package harness
