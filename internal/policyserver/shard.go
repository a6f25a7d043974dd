package policyserver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// HeaderID is the response header that names the served instance by its id.
// The operator compares it with the id it wants to announce; senders ignore it.
const HeaderID = "X-MTA-STS-ID"

const (
	// MarkerPrefix starts the key of the marker that every shard holds. Host
	// names cannot contain an underscore, so markers never collide with hosts.
	MarkerPrefix = "_shard-"

	// MarkerValue is the content of a marker: the version of the shard format.
	MarkerValue = "mta-sts shard v1\n"

	// MaxBodyBytes is the greatest body that a shard entry may carry. Senders
	// are told to expect no more (RFC 8461 §3.3).
	MaxBodyBytes = 64 << 10
)

// Instances is the JSON document of GET /instances on the admin listener.
type Instances struct {
	// Hosts maps each served policy host, in lower case, to the id of the
	// instance that is served for it.
	Hosts map[string]mtasts.ID `json:"hosts"`
}

// MarkerKey returns the marker key of shard n. Keys of different shards differ,
// because all shards are projected into one flat directory.
func MarkerKey(n int) string {
	return MarkerPrefix + strconv.Itoa(n)
}

// EncodeEntry returns the shard value of one host: "<id>\n<body>". The body is
// kept byte for byte. It is the inverse of DecodeEntry for valid arguments.
func EncodeEntry(id mtasts.ID, body string) string {
	return string(id) + "\n" + body
}

// DecodeEntry splits a shard value into id and body. The error says what is
// wrong: no line with an id, an id that is not well-formed (RFC 8461 §3.1), no
// body, a body of more than MaxBodyBytes bytes, or one that the id was not minted
// for. The last keeps a value that was edited by hand from being served: senders
// would cache the wrong body under an id that is right.
func DecodeEntry(value string) (mtasts.ID, string, error) {
	line, body, found := strings.Cut(value, "\n")
	if !found {
		return "", "", errors.New("the first line is not terminated, so there is no id")
	}
	id, ok := mtasts.ParseID(line)
	switch {
	case !ok:
		return "", "", fmt.Errorf("id %.40q is not well-formed", line)
	case body == "":
		return "", "", errors.New("the body is empty")
	case len(body) > MaxBodyBytes:
		return "", "", fmt.Errorf("the body has %d bytes, more than %d", len(body), MaxBodyBytes)
	case !id.Names(body):
		return "", "", fmt.Errorf("id %s was minted for another body", id)
	}
	return id, body, nil
}

// isMarker tells whether a key names a marker rather than a host.
func isMarker(key string) bool {
	return strings.HasPrefix(key, MarkerPrefix)
}

// isKnownFormat tells whether a marker announces a format this server reads.
// The final newline is optional: it gets lost in hand-written YAML.
func isKnownFormat(marker string) bool {
	return strings.TrimSuffix(marker, "\n") == strings.TrimSuffix(MarkerValue, "\n")
}
