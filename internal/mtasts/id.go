package mtasts

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

const (
	idTimeLayout  = "20060102150405"
	idDigestBytes = 4
	idLength      = len(idTimeLayout) + 2*idDigestBytes

	// lastYear ends the ids of ours. What somebody plants from beyond it, to leave no
	// greater id for the next change, is a stranger's.
	lastYear = 2999
)

// ID names one instance of a policy. Ours are 22 characters: a UTC time as
// YYYYMMDDhhmmss and the first 8 lower-case hex digits of the body's SHA-256.
// They fit the 32 letters and digits of RFC 8461 §3.1. The time makes them ordered
// and never used twice; the digest tells apart two publishers within one second.
type ID string

// MintID returns the id for a body: its time is now or one second after last,
// whichever is later, so it is greater than last even when the clock was set
// back. A last that is empty or not ours does not count.
//
// No id of ours is from beyond the year 2999: where only such a one would be
// greater, there is none, and ok is false.
func MintID(now time.Time, last ID, body string) (id ID, ok bool) {
	t := now.UTC().Truncate(time.Second)
	if _, ours := ParseID(string(last)); ours {
		t = latest(t, last.Time().Add(time.Second))
	}
	t = latest(t, time.Unix(0, 0).UTC())
	if t.Year() > lastYear {
		return "", false
	}
	return ID(t.Format(idTimeLayout) + digest(body)), true
}

// digest is the part of an id that tells bodies apart.
func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:idDigestBytes])
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ParseID reports whether s has the form of our ids, with a time that exists and
// is not from beyond the year 2999.
func ParseID(s string) (ID, bool) {
	if len(s) != idLength || strings.Trim(s[len(idTimeLayout):], "0123456789abcdef") != "" {
		return "", false
	}
	if t, err := time.Parse(idTimeLayout, s[:len(idTimeLayout)]); err != nil || t.Year() > lastYear {
		return "", false
	}
	return ID(s), true
}

// Names reports whether the id is ours and was minted for this body. Eight digits
// keep mistakes apart, not forgers.
func (id ID) Names(body string) bool {
	_, ours := ParseID(string(id))
	return ours && string(id[len(idTimeLayout):]) == digest(body)
}

// Time returns when the id was minted, or the zero time if it is not ours.
func (id ID) Time() time.Time {
	if _, ok := ParseID(string(id)); !ok {
		return time.Time{}
	}
	t, _ := time.Parse(idTimeLayout, string(id[:len(idTimeLayout)])) // ParseID has read it
	return t
}

// Compare orders ids by time, then by text, and returns -1, 0 or +1. What is not
// ours is smaller than any id of ours, and the empty id is the smallest.
func (id ID) Compare(other ID) int {
	if id == other {
		return 0
	}
	_, ours := ParseID(string(id))
	_, theirs := ParseID(string(other))
	switch {
	case ours && !theirs:
		return 1
	case theirs && !ours:
		return -1
	}
	// Times of fixed width sort as text.
	return strings.Compare(string(id), string(other))
}
