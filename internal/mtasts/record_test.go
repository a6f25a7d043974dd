package mtasts_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestParseRecordAccepts(t *testing.T) {
	longest := strings.Repeat("a", 32)
	tests := []struct{ name, txt, id string }{
		{"the canonical form", "v=STSv1; id=20260101T000000Z;", "20260101T000000Z"},
		{"no semicolon at the end", "v=STSv1; id=20260101T000000Z", "20260101T000000Z"},
		{"no blanks", "v=STSv1;id=a1;", "a1"},
		{"a blank before the semicolon", "v=STSv1 ; id=a1;", "a1"},
		{"tabs round semicolons", "v=STSv1\t;\tid=a1\t;", "a1"},
		{"a blank after the last semicolon", "v=STSv1; id=a1; ", "a1"},
		{"an id of 32 characters", "v=STSv1; id=" + longest + ";", longest},
		{"an extension after the id", "v=STSv1; id=a1; x=y;", "a1"},
		{"an extension before the id", "v=STSv1; x=y; id=a1", "a1"},
		{"an extension value with signs", "v=STSv1; id=a1; x=!:<>~", "a1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := mtasts.ParseRecord(test.txt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(mtasts.Record{ID: test.id}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseRecordRefuses(t *testing.T) {
	for name, txt := range map[string]string{
		"nothing":                          "",
		"a blank in front":                 " v=STSv1; id=a1;",
		"a blank at the end, no semicolon": "v=STSv1; id=a1 ",
		"the id first":                     "id=a1; v=STSv1;",
		"an id with a hyphen":              "v=STSv1; id=2026-01-01;",
		"an id beyond ASCII":               "v=STSv1; id=ä;",
		"an id of 33 characters":           "v=STSv1; id=" + strings.Repeat("a", 33) + ";",
		"an empty id":                      "v=STSv1; id=;",
		"a blank in the id":                "v=STSv1; id= a1;",
		"a blank after the name":           "v=STSv1; id =a1;",
		"no id":                            "v=STSv1;",
		"no fields":                        "v=STSv1",
		"no id but an extension":           "v=STSv1; x=y;",
		"two ids":                          "v=STSv1; id=a1; id=b2;",
		"the same id twice":                "v=STSv1; id=a1;id=a1;",
		"two semicolons at the end":        "v=STSv1; id=a1;;",
		"two semicolons in the middle":     "v=STSv1;; id=a1;",
		"quotes inside":                    `"v=STSv1; id=a1;"`,
		"a quoted id":                      `v=STSv1; id="a1";`,
		"a small version name":             "v=stsv1; id=a1;",
		"a capital V":                      "V=STSv1; id=a1;",
		"a capital ID":                     "v=STSv1; ID=a1;",
		"a later version":                  "v=STSv10; id=a1;",
		"an escaped semicolon":             `v=STSv1\; id=a1\;`,
		"a comma instead of a semicolon":   "v=STSv1, id=a1",
		"a newline":                        "v=STSv1; id=a1;\n",
		"an extension with =":              "v=STSv1; id=a1; x=y=z;",
		"an extension with a blank":        "v=STSv1; id=a1; x=y z;",
		"an extension without value":       "v=STSv1; id=a1; x=;",
		"an extension without name":        "v=STSv1; id=a1; =y;",
		"an extension beyond ASCII":        "v=STSv1; id=a1; x=ü;",
		"a bare word":                      "v=STSv1; id=a1; x",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := mtasts.ParseRecord(txt); err == nil {
				t.Errorf("%q was read as %+v", txt, got)
			}
		})
	}
}

func TestIsRecord(t *testing.T) {
	for txt, want := range map[string]bool{
		"v=STSv1; id=a1;": true, "v=STSv1;": true, "v=STSv1 ; id=a1;": false, "v=STSv10; id=a1;": false, " v=STSv1; id=a1": false,
		"v=stsv1; id=a1": false, "v=spf1 -all": false, "": false,
	} {
		if got := mtasts.IsRecord(txt); got != want {
			t.Errorf("%q: got %v", txt, got)
		}
	}
}

func TestFindRecord(t *testing.T) {
	tests := []struct {
		name string
		txts []string
		want mtasts.Record
		err  error
	}{
		{"one record", []string{"v=STSv1; id=a1;"}, mtasts.Record{ID: "a1"}, nil},
		{"others are discarded", []string{"heritage=external-dns", "v=STSv1; id=a1;", "v=STSv1 ; id=b2;", ""}, mtasts.Record{ID: "a1"}, nil},
		{"none at all", nil, mtasts.Record{}, mtasts.ErrNoRecord},
		{"only others", []string{"v=spf1 -all", "v=STSv1 ; id=a1;"}, mtasts.Record{}, mtasts.ErrNoRecord},
		{"two records", []string{"v=STSv1; id=a1;", "v=STSv1; id=b2;"}, mtasts.Record{}, mtasts.ErrManyRecords},
		{"the same record twice", []string{"v=STSv1; id=a1;", "v=STSv1; id=a1;"}, mtasts.Record{}, mtasts.ErrManyRecords},
		{"a good and a malformed one", []string{"v=STSv1; id=a1;", "v=STSv1;"}, mtasts.Record{}, mtasts.ErrManyRecords},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := mtasts.FindRecord(test.txts)
			if !errors.Is(err, test.err) {
				t.Errorf("got error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	_, err := mtasts.FindRecord([]string{"v=STSv1; id=a-b;"})
	if err == nil || errors.Is(err, mtasts.ErrNoRecord) || errors.Is(err, mtasts.ErrManyRecords) {
		t.Errorf("one malformed record: got %v, want what is wrong with it", err)
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{
		"v=STSv1; id=a1;", "v=STSv1;id=a1", "v=STSv1 ; id=a1; x=y", "v=STSv1;; id=a1", "v=STSv1; id=a1 ", "v=STSv1; id=a1; id=b2", "v=STSv1; ; ",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		record, err := mtasts.ParseRecord(txt)
		if err != nil {
			return
		}
		if strings.Count(txt, "id="+record.ID) == 0 {
			t.Errorf("read %+v from %q", record, txt)
		}
		if got, err := mtasts.FindRecord([]string{record.String()}); err != nil || got != record {
			t.Errorf("%q reads back as %+v, %v", record, got, err)
		}
	})
}
