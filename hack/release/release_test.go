package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// made is a release for this machine's architecture, made once for all tests.
var made *release

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mta-sts-release-test-")
	if err != nil {
		panic(err)
	}
	if made, err = makeRelease(dir); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// makeRelease makes one for Linux and for this machine.
func makeRelease(out string) (*release, error) {
	r := &release{root: filepath.Join("..", ".."), out: out, builder: "a test", helm: os.Getenv("HELM")}
	r.platforms = []platform{{"linux", runtime.GOARCH}}
	if runtime.GOOS != "linux" {
		r.platforms = append(r.platforms, platform{runtime.GOOS, runtime.GOARCH})
	}
	for name, path := range map[string]*string{"helm": &r.helm, "roots": &r.roots} {
		if *path == "" {
			built, err := output(exec.Command(filepath.Join(r.root, "hack", "tools", "build.sh"), name))
			if err != nil {
				return nil, err
			}
			*path = built
		}
	}
	ctx := context.Background()
	if err := r.describe(ctx); err != nil {
		return nil, err
	}
	return r, r.makeAll(ctx)
}

func TestTwoReleasesOfOneCommitAreEqual(t *testing.T) {
	again, err := makeRelease(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree(t, made.out), tree(t, again.out)); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
}

// tree is the checksum of every file below a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		sums[name], err = digestOf(path)
		return err
	})
	if err != nil || len(sums) < 10 {
		t.Fatal(len(sums), "files", err)
	}
	return sums
}

func TestChecksumsAndProvenanceAreOfEveryFile(t *testing.T) {
	want := tree(t, made.out)
	for name := range want {
		if strings.HasPrefix(name, "image"+string(filepath.Separator)) || name == "checksums.txt" {
			delete(want, name)
		}
	}
	got := map[string]string{}
	for line := range strings.Lines(text(t, "checksums.txt")) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		got[name] = sum
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checksums.txt: -files +lines:\n%s", diff)
	}
	var statement struct {
		Subject []struct {
			Name   string
			Digest map[string]string
		}
	}
	if err := json.Unmarshal([]byte(text(t, "provenance.intoto.json")), &statement); err != nil {
		t.Fatal(err)
	}
	delete(want, "provenance.intoto.json") // it cannot tell of itself,
	delete(want, "notes.md")               // and nobody installs these
	name, digest, _ := strings.Cut(strings.TrimSpace(text(t, "image.txt")), "@sha256:")
	want[name] = digest
	got = map[string]string{}
	for _, s := range statement.Subject {
		got[s.Name] = s.Digest["sha256"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("provenance: -files +subjects:\n%s", diff)
	}
}

// TestThePluginIsWhatKrewInstalls does what krew does: it compares the archive with the manifest, unpacks it
// and runs the program under the name that kubectl looks for.
func TestThePluginIsWhatKrewInstalls(t *testing.T) {
	var manifest struct {
		Metadata struct{ Name string }
		Spec     struct {
			Version   string
			Platforms []struct {
				Selector         struct{ MatchLabels struct{ OS, Arch string } }
				URI, SHA256, Bin string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text(t, "mta-sts.yaml")), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Metadata.Name != "mta-sts" || manifest.Spec.Version != made.version || len(manifest.Spec.Platforms) != len(made.platforms) {
		t.Errorf("the manifest is %+v", manifest)
	}
	for _, p := range manifest.Spec.Platforms {
		archive := filepath.Join(made.out, filepath.Base(p.URI))
		if sum, err := digestOf(archive); err != nil || sum != p.SHA256 {
			t.Errorf("%s has checksum %s, and the manifest says %s (%v)", p.URI, sum, p.SHA256, err)
		}
		if labels := p.Selector.MatchLabels; labels.OS != runtime.GOOS || labels.Arch != runtime.GOARCH {
			continue
		}
		files, err := readArchive(archive)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, f := range files {
			names = append(names, f.name)
		}
		if want := []string{p.Bin, "LICENSE"}; !slices.Equal(names, want) {
			t.Errorf("the archive has %q, want %q", names, want)
		}
		program := filepath.Join(t.TempDir(), p.Bin)
		if err := os.WriteFile(program, files[0].content, os.FileMode(files[0].mode)); err != nil {
			t.Fatal(err)
		}
		if out, err := output(exec.CommandContext(t.Context(), program, "--version")); err != nil || out != "kubectl mta-sts version "+made.version {
			t.Errorf("it says %q (%v)", out, err)
		}
	}
}

// TestWindowsGetsAZip does not need a build for Windows.
func TestWindowsGetsAZip(t *testing.T) {
	r := *made
	r.out = t.TempDir()
	b := binary{platform: platform{"windows", "amd64"}, path: filepath.Join(t.TempDir(), project)}
	if err := os.WriteFile(b.path, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.archive(b); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(r.out, "kubectl-mta_sts_"+r.version+"_windows_amd64.zip"))
	if err != nil || !bytes.HasPrefix(content, []byte("PK")) || !bytes.Contains(content, []byte("kubectl-mta_sts.exe")) {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}

func TestTheSBOMNamesWhatIsLinked(t *testing.T) {
	var bom struct {
		BOMFormat, SpecVersion string
		Components             []component
	}
	if err := json.Unmarshal([]byte(text(t, project+"_"+made.version+"_"+made.platforms[0].String()+".cdx.json")), &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" {
		t.Errorf("it is a %q", bom.BOMFormat)
	}
	versions := map[string]string{}
	for _, c := range bom.Components {
		versions[c.Name] = c.Version
	}
	for line := range strings.Lines(read(t, made.root, "go.mod")) {
		fields := strings.Fields(line)
		if len(fields) == 2 && slices.Contains([]string{"k8s.io/client-go", "github.com/miekg/dns", "sigs.k8s.io/controller-runtime"}, fields[0]) && versions[fields[0]] != fields[1] {
			t.Errorf("%s is %s in go.mod, and %q in the SBOM", fields[0], fields[1], versions[fields[0]])
		}
	}
	if versions["std"] != strings.TrimPrefix(runtime.Version(), "go") || versions["github.com/onsi/gomega"] != "" {
		t.Errorf("the SBOM is of something else: %v", versions)
	}
}

func TestTheChartInstallsTheReleasedVersion(t *testing.T) {
	packed, err := filepath.Glob(filepath.Join(made.out, "*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatal(packed, err)
	}
	out, err := output(exec.CommandContext(t.Context(), made.helm, "template", project, packed[0], "--kube-version", "1.31.0"))
	if err != nil || !strings.Contains(out, "image: "+reference+":"+made.version+"\n") {
		t.Errorf("it installs something else than %s (%v)", made.version, err)
	}
}

func TestOnlyTheTagOfWhatIsCheckedOutIsReleased(t *testing.T) {
	if err := made.permit(t.Context(), "v9.9.9"); err == nil || !strings.Contains(err.Error(), "Chart.yaml") {
		t.Errorf("got %v", err)
	}
}

// TestTheImageIsWhatTheDockerfileSays keeps the two ways to the image apart by nothing but where the
// certificate authorities come from.
func TestTheImageIsWhatTheDockerfileSays(t *testing.T) {
	dockerfile := read(t, made.root, "Dockerfile")
	_, last, _ := strings.Cut(dockerfile, "\nFROM scratch\n")
	find := func(pattern string) (found []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(last, -1) {
			found = append(found, m[1:]...)
		}
		return found
	}
	layers, config := unpacked(t)
	if want := find(`(?m)^USER (.*)$`); !slices.Equal(want, []string{config.User}) {
		t.Errorf("user is %q, want %q", config.User, want)
	}
	var entrypoint []string
	if err := json.Unmarshal([]byte(strings.Join(find(`(?m)^ENTRYPOINT (.*)$`), "")), &entrypoint); err != nil || !slices.Equal(entrypoint, config.Entrypoint) {
		t.Errorf("entrypoint is %q, want %q (%v)", config.Entrypoint, entrypoint, err)
	}
	labels := map[string]string{"org.opencontainers.image.revision": made.commit}
	for label := range slices.Chunk(find(`(org\.[a-z.]+)="([^"]*)"`), 2) {
		labels[label[0]] = strings.ReplaceAll(label[1], "$VERSION", made.version)
	}
	if diff := cmp.Diff(labels, config.Labels); diff != "" {
		t.Errorf("labels: -Dockerfile +image:\n%s", diff)
	}
	var files []string
	err := filepath.WalkDir(layers, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, layers))
		}
		return err
	})
	want := find(`(?m)^COPY --from=build \S+ (\S+)$`)
	if slices.Sort(want); err != nil || !slices.Equal(files, want) {
		t.Errorf("files are %q, want %q (%v)", files, want, err)
	}
}

func TestTheImageTrustsWhomSendersTrust(t *testing.T) {
	root, _ := unpacked(t)
	rest, count := []byte(read(t, root, "etc", "ssl", "certs", "ca-certificates.crt")), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !c.IsCA {
			t.Errorf("%v is no authority (%v)", c, err)
		}
		count++
	}
	if count < 50 {
		t.Errorf("it trusts %d authorities", count)
	}
}

// configuration is what an image says about how to run it.
type configuration struct {
	User       string
	Entrypoint []string
	Labels     map[string]string
}

// unpacked is the root file system of the image for this machine's architecture, read as a registry's client
// would: from the index to the manifest to the layers, every blob by its digest.
func unpacked(t *testing.T) (root string, config configuration) {
	t.Helper()
	type descriptor struct {
		Digest   string
		Platform struct{ Architecture string }
	}
	blob := func(digest string, into any) []byte {
		path := filepath.Join(made.out, "image", "blobs", strings.ReplaceAll(digest, ":", string(filepath.Separator)))
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if sum, _ := digestOf(path); "sha256:"+sum != digest {
			t.Errorf("%s has checksum %s", digest, sum)
		}
		if into != nil {
			if err := json.Unmarshal(content, into); err != nil {
				t.Fatal(err)
			}
		}
		return content
	}
	var top, index struct{ Manifests []descriptor }
	if err := json.Unmarshal([]byte(text(t, "image", "index.json")), &top); err != nil || len(top.Manifests) != 1 {
		t.Fatal(top, err)
	}
	if !strings.HasSuffix(strings.TrimSpace(text(t, "image.txt")), "@"+top.Manifests[0].Digest) {
		t.Errorf("image.txt does not name %s", top.Manifests[0].Digest)
	}
	blob(top.Manifests[0].Digest, &index)
	at := slices.IndexFunc(index.Manifests, func(d descriptor) bool { return d.Platform.Architecture == runtime.GOARCH })
	if at < 0 {
		t.Fatalf("there is no image for %s", runtime.GOARCH)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	blob(index.Manifests[at].Digest, &manifest)
	var whole struct{ Config configuration }
	blob(manifest.Config.Digest, &whole)
	root = t.TempDir()
	for _, l := range manifest.Layers {
		untar(t, root, blob(l.Digest, nil))
	}
	return root, whole.Config
}

func untar(t *testing.T, root string, layer []byte) {
	t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var content []byte
			if content, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, content, header.FileInfo().Mode())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	return read(t, append([]string{made.out}, path...)...)
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
