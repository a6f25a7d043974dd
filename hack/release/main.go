// Command release makes everything that a release consists of, and publishes nothing: a multi-arch image
// as an OCI layout, the chart, archives of the kubectl plugin with their krew manifest, SBOMs, provenance,
// notes and checksums. What it makes follows from the checked out commit, the Go version and the pinned
// tools, byte for byte. Run it from the repository's root, by `make release-dry-run`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Where the project is, and where its releases go.
const (
	project    = "mta-sts-operator"
	repository = "https://github.com/mta-sts-operator/" + project
	module     = "github.com/mta-sts-operator/" + project
	reference  = "ghcr.io/mta-sts-operator/" + project
)

// release is what to make, and of what.
type release struct {
	// root of the repository, and the folder to write to.
	root, out string
	// version is the chart's appVersion, such as v0.1.0, and the Git tag.
	version string
	// commit is what is checked out, and made its time, which all files get.
	commit string
	made   time.Time
	// builder names who builds, for the provenance.
	builder string
	// helm and roots are tools of hack/tools.
	helm, roots string
	platforms   []platform
}

// platform is an operating system and an architecture, as Go names them.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	r := &release{root: "."}
	flag.StringVar(&r.out, "o", filepath.Join("dist", "release"), "folder to write to; what is in it is removed")
	flag.StringVar(&r.builder, "builder", "a dry run", "who builds, as a URI")
	flag.StringVar(&r.helm, "helm", "helm", "Helm's binary")
	flag.StringVar(&r.roots, "roots", "roots", "the binary that prints certificate authorities")
	tag := flag.String("tag", "", "Git tag to release; empty means a dry run")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "what to build for")
	flag.Parse()
	for p := range strings.SplitSeq(*platforms, ",") {
		goos, arch, _ := strings.Cut(p, "/")
		r.platforms = append(r.platforms, platform{goos, arch})
	}
	if err := r.describe(ctx); err != nil {
		return err
	}
	if *tag != "" {
		if err := r.permit(ctx, *tag); err != nil {
			return err
		}
	}
	return r.makeAll(ctx)
}

// describe finds out what is released.
func (r *release) describe(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(r.root, "charts", project, "Chart.yaml"))
	if err != nil {
		return fmt.Errorf("reading the version: %w", err)
	}
	var chart struct {
		AppVersion string `json:"appVersion"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		return fmt.Errorf("reading the version: %w", err)
	}
	r.version = chart.AppVersion
	commit, err := r.git(ctx, "log", "-1", "--format=%H %ct")
	if err != nil {
		return err
	}
	hash, seconds, _ := strings.Cut(commit, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("reading the commit's time: %w", err)
	}
	r.commit, r.made = hash, time.Unix(unix, 0).UTC()
	return nil
}

// permit refuses a tag that what is checked out is not.
func (r *release) permit(ctx context.Context, tag string) error {
	if tag != r.version {
		return fmt.Errorf("the tag is %s, and appVersion in Chart.yaml is %s: they must be one", tag, r.version)
	}
	changed, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return fmt.Errorf("files are not as they were committed:\n%s", changed)
	}
	return nil
}

// makeAll makes everything, in the order in which one thing needs another.
func (r *release) makeAll(ctx context.Context) error {
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return fmt.Errorf("emptying %s: %w", r.out, err)
	}
	work, err := os.MkdirTemp("", "mta-sts-release-")
	if err != nil {
		return fmt.Errorf("making a folder for binaries: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	binaries, err := r.build(ctx, work)
	if err != nil {
		return err
	}
	for _, b := range binaries {
		if err := errors.Join(r.archive(b), r.sbom(b)); err != nil {
			return err
		}
	}
	digest, err := r.image(ctx, work, binaries)
	if err != nil {
		return err
	}
	if err := errors.Join(r.chart(ctx, work), r.krew()); err != nil {
		return err
	}
	if err := errors.Join(r.provenance(ctx, digest), r.notes(ctx, digest)); err != nil {
		return err
	}
	return r.checksums()
}

func (r *release) git(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, "git", append([]string{"-C", r.root}, args...)...))
}

// output is what a command prints; an error holds what it complains about.
func output(command *exec.Cmd) (string, error) {
	out, err := command.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, failed.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", command.Args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
