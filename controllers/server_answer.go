package controllers

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Bounds of the answer of /instances (I11).
const (
	// slackAnswerBytes is what it may take beside the hosts that are published: ten thousand that were retired a
	// moment ago take less than one MiB. Nothing of it is kept, and little of it is in memory at one time.
	slackAnswerBytes = 4 << 20
	// hostAnswerBytes is what a host takes in it at most.
	hostAnswerBytes = 320
	// tokenBytes is the longest word in it that is read, and mostDepth how deep it may be nested.
	tokenBytes = 512
	mostDepth  = 8
)

var errOddAnswer = errors.New("it is not what a policy server answers")

// readInstances reads the answer of /instances word by word, see [policyserver.Instances], and keeps the hosts that
// are published here. Whatever a pod answers, no more than that is held.
func readInstances(body io.Reader, published map[string]bool) (map[string]mtasts.ID, error) {
	limit := int64(slackAnswerBytes + len(published)*hostAnswerBytes)
	words := json.NewDecoder(&shortWords{from: io.LimitReader(body, limit)})
	hosts := map[string]mtasts.ID{}
	if err := object(words, func(key string) error {
		if key != "hosts" {
			return skip(words)
		}
		return object(words, func(host string) error {
			value, err := words.Token()
			if err != nil {
				return err
			}
			text, ok := value.(string)
			if !ok {
				return errOddAnswer
			}
			if id, valid := mtasts.ParseID(text); valid && published[host] {
				hosts[strings.Clone(host)] = id
			}
			return nil
		})
	}); err != nil {
		return nil, err
	}
	return hosts, nil
}

// object reads an object; each has to read the value of a key.
func object(words *json.Decoder, each func(key string) error) error {
	if word, err := words.Token(); err != nil || word != json.Delim('{') {
		return errors.Join(errOddAnswer, err)
	}
	for words.More() {
		word, err := words.Token()
		if err != nil {
			return err
		}
		key, ok := word.(string)
		if !ok {
			return errOddAnswer
		}
		if err := each(key); err != nil {
			return err
		}
	}
	_, err := words.Token()
	return err
}

// skip reads a value of which nothing is known: a later server's.
func skip(words *json.Decoder) error {
	for depth := 0; ; {
		word, err := words.Token()
		if err != nil {
			return err
		}
		switch word {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		if depth > mostDepth {
			return errOddAnswer
		}
	}
}

// shortWords refuses JSON with long strings, or with long pieces between them: a decoder holds each in memory.
type shortWords struct {
	from            io.Reader
	inside, escaped bool
	length          int
}

// Read implements io.Reader.
func (s *shortWords) Read(into []byte) (int, error) {
	n, err := s.from.Read(into)
	for _, c := range into[:n] {
		s.length++
		switch {
		case s.escaped:
			s.escaped = false
		case s.inside && c == '\\':
			s.escaped = true
		case c == '"':
			s.inside, s.length = !s.inside, 0
		}
		if s.length > tokenBytes {
			return 0, errOddAnswer
		}
	}
	return n, err //nolint:wrapcheck // io.EOF, as it is
}
