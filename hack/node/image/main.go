// Command image assembles a container image from files, without a container engine, and writes it as
// an archive that containerd, docker and kind load. Image, layers and configuration are what a
// Dockerfile of COPY, USER, ENTRYPOINT and LABEL lines on an empty base would give.
//
//	image -name REF -o FILE.tar [-base ROOTFS.tar] [-user UID:GID] [-file SRC=DST]... [-label K=V]... ENTRYPOINT...
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	var i image
	flag.StringVar(&i.name, "name", "", "reference of the image")
	out := flag.String("o", "", "archive to write")
	flag.StringVar(&i.base, "base", "", "tar archive of a root file system, the first layer")
	flag.StringVar(&i.user, "user", "", "user, by number")
	flag.Var(&i.files, "file", "file to copy: SOURCE=DESTINATION, DESTINATION absolute; repeatable")
	flag.Var(&i.labels, "label", "label: KEY=VALUE; repeatable")
	flag.Parse()
	i.entrypoint = flag.Args()
	if err := i.write(*out); err != nil {
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
