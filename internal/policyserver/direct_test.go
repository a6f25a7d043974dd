package policyserver

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// plain is a listener that package wire knows nothing about, so that net/http answers everything.
type plain struct{ net.Listener }

// TestBothWaysAnswerAlike asks one server that answers usual requests by itself, and one that leaves all
// to net/http.
func TestBothWaysAnswerAlike(t *testing.T) {
	files := map[string]string{hostA: value(1), hostB: value(2)}
	direct := startWith(t, Options{}, files)
	general := startWith(t, Options{Listener: plain{loopback(t)}}, files)
	for _, method := range []string{"GET", "HEAD"} {
		for _, host := range []string{hostA, "MTA-STS.B.Example.:80", "mta-sts.stranger.example", strings.Repeat("a", 5000)} {
			for _, field := range []string{"", "Connection: close\r\n", "Connection: keep-alive\r\n", "X-Forwarded-Host: " + hostB + "\r\n"} {
				request := method + " " + mtasts.PolicyPath + " HTTP/1.1\r\nHost: " + host + "\r\n" + field + "\r\n"
				want, got := general.raw(t, method, request), direct.raw(t, method, request)
				for _, r := range []response{want, got} {
					if _, err := http.ParseTime(r.header.Get("Date")); err != nil {
						t.Errorf("%.100q: date: %v", request, err)
					}
					r.header.Del("Date")
				}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(response{})); diff != "" {
					t.Errorf("%.100q: (-net/http +direct)\n%s", request, diff)
				}
			}
		}
	}
}
