// Command acmesolver answers one HTTP-01 challenge with cert-manager's own solver: cert-manager starts
// it as a pod, with these flags. The upstream command is a nested module that is not published.
package main

import (
	"flag"
	"log"
	"os"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
	"github.com/go-logr/stdr"
)

func main() {
	var s solver.HTTP01Solver
	flag.IntVar(&s.ListenPort, "listen-port", 8089, "port to listen on")
	flag.StringVar(&s.Domain, "domain", "", "domain of the challenge")
	flag.StringVar(&s.Token, "token", "", "token of the challenge")
	flag.StringVar(&s.Key, "key", "", "key authorization to answer")
	flag.Parse()
	log.Fatal(s.Listen(stdr.New(log.New(os.Stderr, "", log.LstdFlags))))
}
