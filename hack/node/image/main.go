// Command image assembles a container image from files, without a container engine, and writes it as
// an archive that containerd, docker and kind load.
//
//	image -name REF -o FILE.tar [-base ROOTFS.tar] [-user UID:GID] [-file SRC=DST]... [-label K=V]... ENTRYPOINT...
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/hack/image"
)

func main() {
	var i image.Image
	var files, labels pairs
	flag.StringVar(&i.Name, "name", "", "reference of the image")
	out := flag.String("o", "", "archive to write")
	flag.StringVar(&i.Base, "base", "", "tar archive of a root file system, the first layer")
	flag.StringVar(&i.User, "user", "", "user, by number")
	flag.Var(&files, "file", "file to copy: SOURCE=DESTINATION, DESTINATION absolute; repeatable")
	flag.Var(&labels, "label", "label: KEY=VALUE; repeatable")
	flag.Parse()
	i.Entrypoint = flag.Args()
	for _, pair := range files {
		i.Files = append(i.Files, image.File{Source: pair[0], Path: pair[1]})
	}
	i.Labels = map[string]string{}
	for _, pair := range labels {
		i.Labels[pair[0]] = pair[1]
	}
	if err := i.WriteArchive(*out); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

// pairs are repeatable flags of the form LEFT=RIGHT.
type pairs [][2]string

func (p *pairs) String() string { return fmt.Sprint(*p) }

func (p *pairs) Set(value string) error {
	left, right, found := strings.Cut(value, "=")
	if !found {
		return fmt.Errorf("%q has no =", value)
	}
	*p = append(*p, [2]string{left, right})
	return nil
}
