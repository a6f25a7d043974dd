// Package e2e runs the operator among the software that people run it with: a real cluster,
// cert-manager, an ACME certificate authority, an Ingress controller, external-dns, an authoritative
// and a validating DNS server, and Postfix as a sender. Nothing in it is a model.
//
// Each test is a story of one mail domain in a namespace of its own, told from outside: with kubectl,
// with DNS, with what Postfix logs. README.md says what everything is and how it starts.
//
//	make e2e                       everything
//	make e2e RUN=TestDelivery      one story
package e2e
