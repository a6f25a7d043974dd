package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTheFilesNameMakesItAPlugin(t *testing.T) {
	for file, want := range map[string]string{
		"kubectl-mta_sts":                  "kubectl mta-sts",
		"/home/me/.krew/bin/" + pluginFile: "kubectl mta-sts",
		"kubectl-mta_sts.exe":              "kubectl mta-sts",
		"/mta-sts-operator":                "mta-sts-operator",
		"kubectl-mta-sts":                  "mta-sts-operator",
		"/tmp/go-build/mta-sts-operator.b": "mta-sts-operator",
	} {
		if got := commandOf(file).CommandPath(); got != want {
			t.Errorf("%s is called %q, want %q", file, got, want)
		}
	}
}

func TestThePluginIsForPeople(t *testing.T) {
	run := func(args ...string) (out, complaint string, code int) {
		var stdout, stderr bytes.Buffer
		cmd := commandOf(pluginFile)
		cmd.SetArgs(args)
		cmd.SetOut(&stdout)
		cmd.SetErr(&stderr)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			code = exit(cmd, err, &stderr)
		}
		return stdout.String(), stderr.String(), code
	}
	var commands []string
	for _, c := range commandOf(pluginFile).Commands() {
		commands = append(commands, c.Name())
	}
	if want := []string{"check", "import", "render"}; !slices.Equal(commands, want) {
		t.Errorf("it has the commands %q, want %q", commands, want)
	}
	for name, test := range map[string]struct {
		args []string
		want string
		code int
	}{
		"without arguments it shows its help": {nil, "Usage:\n  kubectl mta-sts [command]", 0},
		"help names it as it was called":      {[]string{"check", "--help"}, "Usage:\n  kubectl mta-sts check DOMAIN [flags]", 0},
		"so does its version":                 {[]string{"--version"}, "kubectl mta-sts version dev", 0},
		"so does what is not understood":      {[]string{"check"}, "kubectl mta-sts: accepts 1 arg(s), received 0; usage: kubectl mta-sts check DOMAIN", 2},
		"it starts no operator":               {[]string{"manager"}, `unknown command "manager" for "kubectl mta-sts"`, 1},
	} {
		if out, complaint, code := run(test.args...); code != test.code || !strings.Contains(out+complaint, test.want) {
			t.Errorf("%s: code %d, %s%s", name, code, out, complaint)
		}
	}
}
