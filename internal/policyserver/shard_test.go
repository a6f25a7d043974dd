package policyserver

import (
	"strings"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestDecodeEntry(t *testing.T) {
	id := string(testID(1))
	minted := func(body string) string {
		id, _ := mtasts.MintID(time.Time{}, "", body)
		return EncodeEntry(id, body)
	}
	tests := map[string]struct {
		value   string
		wantErr string
	}{
		"a body with LF line ends is accepted":     {minted("version: STSv1\n"), ""},
		"a body with CRLF line ends is accepted":   {minted("version: STSv1\r\n"), ""},
		"a body may begin with an empty line":      {minted("\n"), ""},
		"a body of 64 KiB is accepted":             {minted(strings.Repeat("x", 64<<10)), ""},
		"an id minted for another body is refused": {id + "\n" + testBody(testID(2)), "another body"},
		"one byte more is refused":                 {id + "\n" + strings.Repeat("x", 64<<10+1), "65537 bytes"},
		"an empty value is refused":                {"", "not terminated"},
		"an id alone is refused":                   {id, "not terminated"},
		"an empty body is refused":                 {id + "\n", "body is empty"},
		"an empty id is refused":                   {"\nversion: STSv1\n", "not well-formed"},
		"an id with a carriage return is refused":  {id + "\r\nversion: STSv1\n", "not well-formed"},
		"an id of another form is refused":         {"a-b\nversion: STSv1\n", "not well-formed"},
		"a policy without an id is refused":        {"version: STSv1\nmode: none\n", "not well-formed"},
		"a very long first line is cut in message": {strings.Repeat("y", 9999) + "\nbody", strings.Repeat("y", 40) + `"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			gotID, gotBody, err := DecodeEntry(tt.value)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("got error %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if EncodeEntry(gotID, gotBody) != tt.value {
				t.Errorf("got id %q and %s", gotID, digest(gotBody))
			}
		})
	}
}

func TestShardKeys(t *testing.T) {
	if got := MarkerKey(12); got != "_shard-12" || !isMarker(got) {
		t.Errorf("MarkerKey(12) = %q, a marker: %t", got, isMarker(got))
	}
	for content, want := range map[string]bool{
		MarkerValue: true, "mta-sts shard v1": true,
		"": false, "mta-sts shard v2\n": false, "mta-sts shard v1\n\n": false,
	} {
		if got := isKnownFormat(content); got != want {
			t.Errorf("isKnownFormat(%q) = %t", content, got)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(value(1))
	f.Add("\n")
	f.Add(string(testID(1)) + "\n")
	f.Add(EncodeEntry(testID(1), testBody(testID(2))))
	f.Fuzz(func(t *testing.T, value string) {
		id, body, err := DecodeEntry(value)
		if err == nil && EncodeEntry(id, body) != value {
			t.Errorf("%q decodes to %q and %q, which encode to something else", value, id, body)
		}
		if err == nil && !id.Names(body) {
			t.Errorf("%q is accepted although its id was minted for another body", value)
		}
		if err != nil && (id != "" || body != "") {
			t.Errorf("%q is refused but returns %q and %q", value, id, body)
		}
	})
}
