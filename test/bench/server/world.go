package main

import (
	"fmt"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// world is what every contender serves: a body for each host.
type world struct {
	hosts  []string
	bodies []string
	// stamp tells generations of the same hosts apart.
	stamp time.Time
}

// newWorld returns n hosts with a body each, no two alike. Generation g differs from the others in the
// body of the first host alone, as after an edit of one policy.
func newWorld(n, generation int) world {
	w := world{stamp: time.Date(2026, 1, 1, 0, 0, generation, 0, time.UTC)}
	for i := range n {
		age := 604800
		if i == 0 {
			age += generation
		}
		w.hosts = append(w.hosts, fmt.Sprintf("mta-sts.domain-%d.example", i))
		w.bodies = append(w.bodies, fmt.Sprintf(
			"version: STSv1\nmode: enforce\nmx: mx1.domain-%d.example\nmx: mx2.domain-%d.example\nmax_age: %d\n", i, i, age))
	}
	return w
}

// id returns the id under which the operator would publish the body of host i.
func (w world) id(i int) mtasts.ID {
	at := w.stamp
	if i > 0 {
		at = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	id, _ := mtasts.MintID(at, "", w.bodies[i])
	return id
}

// request returns the bytes that an Ingress controller sends for one request of a sender: what ingress-nginx adds
// is there, because reading a header is a good part of answering.
func request(host, path string, keepAlive bool) string {
	connection := ""
	if !keepAlive {
		connection = "Connection: close\r\n"
	}
	return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + connection +
		"X-Request-ID: 9f3b1c6e2a7d4580b1e6f2c3d4a5b697\r\nX-Real-IP: 192.0.2.25\r\nX-Forwarded-For: 192.0.2.25\r\n" +
		"X-Forwarded-Host: " + host + "\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n" +
		"X-Forwarded-Scheme: https\r\nX-Scheme: https\r\nUser-Agent: mta-sts-daemon\r\nAccept: */*\r\n\r\n"
}
