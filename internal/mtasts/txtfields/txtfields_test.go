package txtfields_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts/txtfields"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		name, txt string
		want      []txtfields.Field // nil: refused
	}{
		{"one field", "v=X1;a=b", []txtfields.Field{{"a", "b"}}},
		{"blanks round the semicolons", "v=X1 ;\ta=b\t; c=d ; ", []txtfields.Field{{"a", "b"}, {"c", "d"}}},
		{"the first = ends the name", "v=X1; a=b=c;", []txtfields.Field{{"a", "b=c"}}},
		{"blanks inside a value are the caller's business", "v=X1; a=b , c", []txtfields.Field{{"a", "b , c"}}},
		{"repeated names stay", "v=X1; a=b; a=c", []txtfields.Field{{"a", "b"}, {"a", "c"}}},
		{"another version", "v=X2; a=b", nil},
		{"a longer version", "v=X11; a=b", nil},
		{"no semicolon", "v=X1", nil},
		{"no fields", "v=X1;", nil},
		{"blank fields only", "v=X1; ; ", nil},
		{"an empty field", "v=X1;; a=b", nil},
		{"two semicolons at the end", "v=X1; a=b;;", nil},
		{"a blank at the end without semicolon", "v=X1; a=b ", nil},
		{"a value without name", "v=X1; =b", nil},
		{"a name without value", "v=X1; a=", nil},
		{"a name with a blank", "v=X1; a =b", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := txtfields.Split(test.txt, "v=X1")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (err == nil) != (test.want != nil) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "A-b_c.9": true, "9": true, strings.Repeat("n", 32): true,
		"": false, "-a": false, "_a": false, ".a": false, "a b": false, "ä": false, "a\n": false, strings.Repeat("n", 33): false,
	} {
		if got := txtfields.ValidName(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

func TestCheckExtension(t *testing.T) {
	for value, want := range map[string]bool{
		"!:<>~": true, "a=b": false, "a b": false, "a\tb": false, "é": false, "a\n": false,
	} {
		if err := (txtfields.Field{Name: "x", Value: value}).CheckExtension(); (err == nil) != want {
			t.Errorf("%q: got %v", value, err)
		}
	}
}
