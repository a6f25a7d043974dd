package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what the tests look at in a workflow.
type workflow struct {
	file, text string

	Permissions *map[string]string
	Env         map[string]string
	Jobs        map[string]struct {
		Env   map[string]string
		Steps []struct{ Uses string }
	}
}

func workflows(t *testing.T) []workflow {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	var all []workflow
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w := workflow{file: filepath.Base(file), text: string(data)}
		if err := yaml.Unmarshal(data, &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, w)
	}
	return all
}

// TestWorkflowsRunOnlyWhatIsPinned: a tag of an action can be moved to other code, a commit cannot.
func TestWorkflowsRunOnlyWhatIsPinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	commits := map[string]string{}
	for _, w := range workflows(t) {
		for job, steps := range w.Jobs {
			for _, step := range steps.Steps {
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: job %s runs %s, which may change", w.file, job, step.Uses)
				}
			}
		}
		for _, use := range regexp.MustCompile(`uses: (\S+)@(\S+)(.*)`).FindAllStringSubmatch(w.text, -1) {
			if !regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`).MatchString(use[3]) {
				t.Errorf("%s: no version stands beside the commit", use[0])
			}
			if other := commits[use[1]]; other != "" && other != use[2]+use[3] {
				t.Errorf("%s is pinned twice: %s and %s", use[1], other, use[2]+use[3])
			}
			commits[use[1]] = use[2] + use[3]
		}
	}
}

// TestTokensAreSeenOnlyByTheStepsThatNeedThem: whatever a job's environment holds, every action in it can read.
func TestTokensAreSeenOnlyByTheStepsThatNeedThem(t *testing.T) {
	for _, w := range workflows(t) {
		if w.Permissions == nil {
			t.Errorf("%s: says nothing of permissions, and gets more than it needs", w.file)
		}
		environments := []map[string]string{w.Env}
		for _, job := range w.Jobs {
			environments = append(environments, job.Env)
		}
		for _, env := range environments {
			for key, value := range env {
				if strings.Contains(value, "token") || strings.Contains(value, "secrets.") {
					t.Errorf("%s: %s is in the environment of every step", w.file, key)
				}
			}
		}
	}
}

// TestEveryModuleIsKeptUpToDate looks for go.mod files that Dependabot would never see.
func TestEveryModuleIsKeptUpToDate(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, ".github", "dependabot.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Updates []struct {
			Ecosystem   string `json:"package-ecosystem"`
			Directory   string
			Directories []string
		}
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	var watched []string
	for _, u := range config.Updates {
		if u.Ecosystem == "gomod" {
			watched = append(watched, append(u.Directories, u.Directory)...)
		}
	}
	tree := os.DirFS(root)
	err = fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "dist") {
			return fs.SkipDir
		}
		folder := path.Join("/", path.Dir(file))
		seen := slices.ContainsFunc(watched, func(pattern string) bool {
			matches, err := path.Match(pattern, folder)
			return matches && err == nil
		})
		if d.Name() == "go.mod" && !seen {
			t.Errorf("%s is watched by nobody", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSamplesFollowARelease: what follows a branch runs tomorrow what nobody has looked at today.
func TestSamplesFollowARelease(t *testing.T) {
	var chart struct{ AppVersion string }
	data, err := os.ReadFile(filepath.Join(root, "charts", "mta-sts-operator", "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &chart); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join("config", "argocd", "operator.yaml"): "\n    targetRevision: " + chart.AppVersion + " ",
		filepath.Join("config", "flux", "source.yaml"):     "\n    tag: " + chart.AppVersion + " ",
		filepath.Join("docs", "gitops.md"):                 "config/argocd/health?ref=" + chart.AppVersion + "]",
	} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), want) {
			t.Errorf("%s has no %q", file, want)
		}
	}
}
