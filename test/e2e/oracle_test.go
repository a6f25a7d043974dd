package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// reading is what a parser makes of something published.
type reading struct {
	ID     string      `json:"id,omitempty"`
	Policy *readPolicy `json:"policy,omitempty"`
	Error  string      `json:"error,omitempty"`
}

type readPolicy struct {
	Mode   string   `json:"mode"`
	MaxAge int64    `json:"maxAge"`
	MX     []string `json:"mx"`
}

func (r reading) String() string {
	if r.Policy != nil {
		return fmt.Sprintf("mode %s, max_age %d, mx %v, error %q", r.Policy.Mode, r.Policy.MaxAge, r.Policy.MX, r.Error)
	}
	return fmt.Sprintf("id %q, error %q", r.ID, r.Error)
}

// ours is what our own parser makes of it.
func ours(p published) reading {
	if p.TXT != nil {
		record, err := mtasts.ParseRecord(*p.TXT)
		if err != nil {
			return reading{Error: err.Error()}
		}
		return reading{ID: record.ID}
	}
	policy, err := mtasts.ParsePolicy([]byte(*p.Body))
	if err != nil {
		return reading{Error: err.Error()}
	}
	return reading{Policy: &readPolicy{Mode: string(policy.Mode), MaxAge: policy.MaxAgeSeconds, MX: policy.MX}}
}

// parsed lets the parsers of others read all that the story published.
func (s *story) parsed(ctx context.Context) error {
	all := s.of(s.domain)
	if len(all) == 0 {
		return nil
	}
	if err := s.agree(ctx, all); err != nil {
		return err
	}
	bodies, records := count(all)
	s.say("%d records and %d policies: mailauth (strict, lax), postfix-mta-sts-resolver and our parser agree", records, bodies)
	return nil
}

// agree expects each parser to accept all of these, and to understand what ours does.
func (w *world) agree(ctx context.Context, all []published) error {
	readings, err := w.oracles(ctx, all)
	if err != nil {
		return err
	}
	var errs []error
	for i, p := range all {
		want := ours(p)
		for oracle, got := range readings {
			if got[i].String() != want.String() || got[i].Error != "" {
				text, _ := json.Marshal(p)
				errs = append(errs, fmt.Errorf("%s reads %s\n  as %s\n  and we as %s", oracle, text, got[i], want))
			}
		}
	}
	return errors.Join(errs...)
}

// oracles asks everybody else, by name.
func (w *world) oracles(ctx context.Context, all []published) (map[string][]reading, error) {
	input, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile("oracles/resolver.py")
	if err != nil {
		return nil, err
	}
	answer, err := w.kubectl(ctx, string(input), "-n", home, "exec", "-i", "deployment/sender", "-c", "resolver", "--", "python3", "-c", string(program))
	if err != nil {
		return nil, err
	}
	var resolver []reading
	if err := json.Unmarshal([]byte(answer), &resolver); err != nil {
		return nil, fmt.Errorf("reading what postfix-mta-sts-resolver says: %w", err)
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(os.Getenv("E2E_ORACLES"), "mailauth.js"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("asking mailauth: %w", err)
	}
	var mailauth []struct{ Strict, Lax reading }
	if err := json.Unmarshal(out, &mailauth); err != nil {
		return nil, fmt.Errorf("reading what mailauth says: %w", err)
	}
	readings := map[string][]reading{"postfix-mta-sts-resolver": resolver}
	for _, m := range mailauth {
		readings["mailauth, strict,"] = append(readings["mailauth, strict,"], m.Strict)
		readings["mailauth, lax,"] = append(readings["mailauth, lax,"], m.Lax)
	}
	for oracle, got := range readings {
		if len(got) != len(all) {
			return nil, fmt.Errorf("%s answered %d times to %d texts", oracle, len(got), len(all))
		}
	}
	return readings, nil
}

// checked compares what mta-sts-query and our own check say of the domain as it is out there. Between two
// ids resolvers may answer one to the one and the other to the other.
func (s *story) checked(ctx context.Context) error {
	var said string
	err := until(ctx, 2*time.Minute, func(ctx context.Context) error {
		theirs, err := s.query(ctx)
		if err != nil {
			return err
		}
		out, err := s.kubectl(ctx, "", "-n", operatorNamespace, "exec", "deployment/mta-sts-operator", "--",
			"/mta-sts-operator", "check", s.domain, "-o", "json", "--no-smtp", "--resolver", s.Resolver, "--ca", "/roots/roots.pem", "--allow-private")
		var report struct {
			ID, Verdict string
			Policy      *struct {
				Mode          string
				MX            []string
				MaxAgeSeconds int64
			}
		}
		if jsonErr := json.Unmarshal([]byte(out), &report); jsonErr != nil {
			return errors.Join(fmt.Errorf("reading what our check says: %w", jsonErr), err)
		}
		ours := "nothing" // a policy without a record is none
		if report.ID != "" && report.Policy != nil {
			ours = fmt.Sprintf("id %s, mode %s, max_age %d, mx %v", report.ID, report.Policy.Mode, report.Policy.MaxAgeSeconds, report.Policy.MX)
		}
		if ours != theirs {
			return fmt.Errorf("mta-sts-query says: %s; our check: %s", theirs, ours)
		}
		said = ours + ", verdict " + report.Verdict
		return nil
	})
	if err != nil {
		return err
	}
	s.say("mta-sts-query and check agree: %s", said)
	return nil
}

// query asks mta-sts-query, in the words of checked.
func (s *story) query(ctx context.Context) (string, error) {
	out, err := s.kubectl(ctx, "", "-n", home, "exec", "deployment/sender", "-c", "resolver", "--", "mta-sts-query", s.domain)
	if err != nil {
		return "", err
	}
	if !strings.Contains(out, "STSFetchResult.VALID") {
		return "nothing", nil
	}
	// As Python prints it: ('ID', {'mx': ['…'], 'version': 'STSv1', 'mode': 'enforce', 'max_age': 86400})
	text := regexp.MustCompile(`'([^']*)', (\{.*\})\)\)`).FindStringSubmatch(out)
	if text == nil {
		return "", fmt.Errorf("mta-sts-query printed %s", out)
	}
	var policy struct {
		Mode   string
		MX     []string
		MaxAge int64 `json:"max_age"`
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text[2], "'", `"`)), &policy); err != nil {
		return "", fmt.Errorf("mta-sts-query printed %s: %w", out, err)
	}
	return fmt.Sprintf("id %s, mode %s, max_age %d, mx %v", text[1], policy.Mode, policy.MaxAge, policy.MX), nil
}

// What no story publishes, but somebody may: the edges of what a policy may say.
func TestOthersReadThePoliciesThatMayBePublished(t *testing.T) {
	t.Parallel()
	if shared == nil {
		t.Skip("make e2e runs this")
	}
	shared.join()
	defer shared.leave()
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("mx%d.example.com", i)
	}
	label := strings.Repeat("a", 63)
	var all []published
	var last mtasts.ID
	for _, mode := range []mtasts.Mode{mtasts.ModeTesting, mtasts.ModeEnforce, mtasts.ModeNone} {
		for _, mx := range [][]string{
			{"mx.example.com"},
			{"*.example.com"},
			{"*.mail.example.net", "mx1.example.com"},
			{"xn--mnchen-3ya.example"},
			{"1.example.com", "a-b.example.com"},
			{label + "." + label + "." + label + ".example.com"},
			many,
		} {
			for _, maxAge := range []int64{86400, 604800, 31557599} {
				policy := mtasts.Policy{Mode: mode, MX: mx, MaxAgeSeconds: maxAge}
				if err := policy.Validate(); err != nil {
					t.Fatal(err)
				}
				body := policy.String()
				last, _ = mtasts.MintID(time.Now(), last, body)
				all = append(all, published{Body: &body}, published{TXT: new(mtasts.Record{ID: string(last)}.String())})
			}
		}
	}
	if err := shared.agree(t.Context(), all); err != nil {
		t.Error(err)
	}
	t.Logf("%d records and policies are read by all alike", len(all))
}
