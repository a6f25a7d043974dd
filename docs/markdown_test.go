package docs

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository.
const root = ".."

// pages are all Markdown files that people read, as paths from here.
func pages(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "testdata" || (len(d.Name()) > 2 && d.Name()[0] == '.')) {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".md") {
			out = append(out, filepath.Clean(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// section is a heading with the text below it, up to the next heading of any level.
type section struct {
	level               int
	title, anchor, text string
}

var (
	fenced   = regexp.MustCompile("(?ms)^( *)(```)([a-z]*)[^\n]*\n(.*?)^ *```$")
	heading  = regexp.MustCompile(`^(#{1,6}) (.+)$`)
	notInURL = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	linkText = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
)

// sections splits a page at its headings; what stands before the first has level 0.
func sections(markdown string) []section {
	out := []section{{}}
	seen := map[string]bool{}
	for line := range strings.Lines(fenced.ReplaceAllString(markdown, "")) {
		found := heading.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			out[len(out)-1].text += line
			continue
		}
		title := linkText.ReplaceAllString(found[2], "$1")
		s := section{level: len(found[1]), title: title, anchor: strings.ReplaceAll(notInURL.ReplaceAllString(strings.ToLower(title), ""), " ", "-")}
		for base, n := s.anchor, '1'; seen[s.anchor]; n++ {
			s.anchor = base + "-" + string(n)
		}
		seen[s.anchor] = true
		out = append(out, s)
	}
	return out
}

// anchors are the headings of a page as links name them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var out []string
	for _, s := range sections(read(t, page)) {
		out = append(out, s.anchor)
	}
	return out
}

func TestLinksLeadToFilesAndHeadings(t *testing.T) {
	inline := regexp.MustCompile(`\]\(<?([^)\s>]+)>?[^)]*\)|(?:src|srcset|href)="([^"]+)"`)
	links := 0
	for _, page := range pages(t) {
		for _, m := range inline.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, page), ""), -1) {
			target := m[1] + m[2]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			path, anchor, _ := strings.Cut(target, "#")
			leads(t, page, filepath.Join(filepath.Dir(page), path), path == "", anchor)
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found", links)
	}
}

func TestEveryPageIsFoundFromTheFront(t *testing.T) {
	front := read(t, filepath.Join(root, "README.md")) + read(t, filepath.Join(root, "CONTRIBUTING.md"))
	own, err := filepath.Glob("*.md")
	if err != nil || len(own) < 10 {
		t.Fatalf("%d pages: %v", len(own), err)
	}
	for _, page := range own {
		if !strings.Contains(front, "](docs/"+page) {
			t.Errorf("neither README.md nor CONTRIBUTING.md leads to %s", page)
		}
	}
}

// leads checks one link from a page to a file, or to the page itself, and to a heading there.
func leads(t *testing.T, page, file string, same bool, anchor string) {
	t.Helper()
	if same {
		file = page
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("%s: %v", page, err)
		return
	}
	if anchor != "" && !slices.Contains(anchors(t, file), anchor) {
		t.Errorf("%s: %s has no heading #%s", page, file, anchor)
	}
}

// TestAddressesOfTheDocumentationLeadToHeadings covers what is shown in clusters: alerts, CRDs, notes.
func TestAddressesOfTheDocumentationLeadToHeadings(t *testing.T) {
	address := regexp.MustCompile(`https://github\.com/mta-sts-operator/mta-sts-operator/(?:blob|tree)/main/([\w./-]*\w)(?:#([\w-]+))?`)
	found := 0
	for _, dir := range []string{"api", "charts", "config", "docs", "hack"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(path, "testdata") {
				return err
			}
			for _, m := range address.FindAllStringSubmatch(read(t, path), -1) {
				found++
				leads(t, path, filepath.Join(root, m[1]), false, m[2])
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("none was found")
	}
}

// TestPicturesAreWellFormed parses them as a browser does, which shows nothing of one that is not.
func TestPicturesAreWellFormed(t *testing.T) {
	pictures, err := filepath.Glob("*.svg")
	if err != nil || len(pictures) == 0 {
		t.Fatalf("%d pictures: %v", len(pictures), err)
	}
	for _, picture := range pictures {
		decoder := xml.NewDecoder(strings.NewReader(read(t, picture)))
		for err == nil {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", picture, err)
		}
	}
}

func TestHeadingsAreToldApartAsGitHubDoes(t *testing.T) {
	got := ""
	for _, s := range sections("intro\n# I8: enforce `never` loses\n```sh\n# no heading\n```\n## A\n## A\n## Who's [there](x.md), _now_?\n") {
		got += s.anchor + " "
	}
	if want := " i8-enforce-never-loses a a-1 whos-there-_now_ "; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}
