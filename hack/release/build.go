package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/hack/image"
)

// binary is the program for one platform.
type binary struct {
	platform

	path string
	// server is what the program's command serve becomes in an image; for Linux only.
	server string
}

// build builds the program for every platform as the Dockerfile does, so that both get the same bytes from
// the same Go version.
func (r *release) build(ctx context.Context, work string) ([]binary, error) {
	var built []binary
	for _, p := range r.platforms {
		b := binary{platform: p, path: filepath.Join(work, p.String(), project)}
		if err := r.compile(ctx, p, b.path, "."); err != nil {
			return nil, err
		}
		if p.os == "linux" {
			b.server = filepath.Join(work, p.String(), "mta-sts-server")
			if err := r.compile(ctx, p, b.server, "./internal/policyserver/mta-sts-server"); err != nil {
				return nil, err
			}
		}
		built = append(built, b)
	}
	return built, nil
}

// compile builds one package into the file at path.
func (r *release) compile(ctx context.Context, p platform, path, pkg string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version="+r.version, "-o", path, pkg)
	command.Dir = r.root
	// What a builder has set for itself must not get into what others get.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch,
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0")
	if _, err := output(command); err != nil {
		return fmt.Errorf("building %s for %s: %w", pkg, p, err)
	}
	return nil
}

// image assembles the image for the architectures of Linux, and returns its digest.
func (r *release) image(ctx context.Context, work string, binaries []binary) (string, error) {
	certificates := filepath.Join(work, "ca-certificates.crt")
	pem, err := output(exec.CommandContext(ctx, r.roots))
	if err != nil {
		return "", fmt.Errorf("getting certificate authorities: %w", err)
	}
	if err := os.WriteFile(certificates, []byte(pem+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("writing certificate authorities: %w", err)
	}
	var images []image.Image
	for _, b := range binaries {
		if b.os != "linux" {
			continue
		}
		images = append(images, image.Image{
			User: "65532:65532", Architecture: b.arch, Created: r.made, Entrypoint: []string{"/" + project},
			Files: []image.File{
				{Source: certificates, Path: "/etc/ssl/certs/ca-certificates.crt"},
				{Source: b.path, Path: "/" + project},
				{Source: b.server, Path: "/" + filepath.Base(b.server)},
			},
			Labels: map[string]string{
				"org.opencontainers.image.title":       project,
				"org.opencontainers.image.description": "Publishes MTA-STS and TLS-RPT for mail domains from Kubernetes",
				"org.opencontainers.image.source":      repository,
				"org.opencontainers.image.licenses":    "Apache-2.0",
				"org.opencontainers.image.version":     r.version,
				"org.opencontainers.image.revision":    r.commit,
			},
		})
	}
	digest, err := image.WriteLayout(filepath.Join(r.out, "image"), r.version, images)
	if err != nil {
		return "", fmt.Errorf("assembling the image: %w", err)
	}
	named := reference + "@" + digest + "\n"
	return digest, os.WriteFile(filepath.Join(r.out, "image.txt"), []byte(named), 0o644)
}

// chart packs the chart as Helm does, and gives its files the commit's time: Helm takes the clock's.
func (r *release) chart(ctx context.Context, work string) error {
	_, err := output(exec.CommandContext(ctx, r.helm, "package", "--destination", work, filepath.Join(r.root, "charts", project)))
	if err != nil {
		return err
	}
	packed, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return errors.Join(fmt.Errorf("helm made %q, not one archive", packed), err)
	}
	files, err := readArchive(packed[0])
	if err != nil {
		return fmt.Errorf("reading the chart: %w", err)
	}
	return writeTar(filepath.Join(r.out, filepath.Base(packed[0])), files, r.made)
}

// archive packs the program as a plugin of kubectl, with the licence, which krew demands.
func (r *release) archive(b binary) error {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return fmt.Errorf("reading the program: %w", err)
	}
	license, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return fmt.Errorf("reading the licence: %w", err)
	}
	files := []member{{b.pluginFile(), 0o755, program}, {"LICENSE", 0o644, license}}
	path := filepath.Join(r.out, r.archiveName(b.platform))
	if strings.HasSuffix(path, ".zip") {
		return writeZip(path, files, r.made)
	}
	return writeTar(path, files, r.made)
}

// pluginFile is the name by which kubectl finds the program.
func (p platform) pluginFile() string {
	if p.os == "windows" {
		return "kubectl-mta_sts.exe"
	}
	return "kubectl-mta_sts"
}

func (r *release) archiveName(p platform) string {
	extension := ".tar.gz"
	if p.os == "windows" {
		extension = ".zip"
	}
	return fmt.Sprintf("kubectl-mta_sts_%s_%s%s", r.version, p, extension)
}
