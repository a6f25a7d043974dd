package wire

import "bytes"

// Request is a request that parse knows.
type Request struct {
	// Host is the value of the Host field: letters, digits, dots, hyphens and colons. It is valid until
	// the answer is made.
	Host []byte
	// Date is the value for the Date field of the answer, valid as long as Host.
	Date []byte
	// Head is set for HEAD: the answer has no body.
	Head bool
	// Close is set if the connection ends after the answer, because the client wants it to or the
	// server is shutting down. The answer has to say so.
	Close bool
}

// parse reads the request at the beginning of data. It returns its size, or 0 for everything that it does
// not know: whether that is incomplete, unusual or malformed is for net/http to say. The rules are
// therefore narrower than those of RFC 9112 wherever that makes them simpler.
func parse(data []byte, path string) (r Request, size int) {
	rest, ok := bytes.CutPrefix(data, []byte("GET "))
	if !ok {
		if rest, ok = bytes.CutPrefix(data, []byte("HEAD ")); !ok {
			return Request{}, 0
		}
		r.Head = true
	}
	const version = " HTTP/1.1\r\n"
	if len(rest) < len(path)+len(version) || string(rest[:len(path)]) != path || string(rest[len(path):len(path)+len(version)]) != version {
		return Request{}, 0
	}
	rest = rest[len(path)+len(version):]
	for {
		if len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
			if r.Host == nil {
				return Request{}, 0
			}
			return r, len(data) - len(rest) + 2
		}
		name, value, after := cutField(rest)
		if name == nil || !r.take(name, value) {
			return Request{}, 0
		}
		rest = after
	}
}

// cutField splits off one field line, and returns no name if it is not complete and plain: a name of letters,
// digits, "-" and "_" right before the colon, a value of visible ASCII and spaces, CR LF.
func cutField(data []byte) (name, value, rest []byte) {
	end := bytes.IndexByte(data, '\n')
	if end < 2 || data[end-1] != '\r' {
		return nil, nil, nil
	}
	line := data[:end-1]
	colon := 0
	for colon < len(line) && class[line[colon]]&inName != 0 {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return nil, nil, nil
	}
	value = line[colon+1:]
	for _, c := range value {
		if class[c]&inValue == 0 {
			return nil, nil, nil
		}
	}
	return line[:colon], bytes.Trim(value, " "), data[end+1:]
}

// take notes what a field says about the request, and reports whether parse knows it. Names are
// compared only where the length fits.
func (r *Request) take(name, value []byte) bool {
	switch len(name) {
	case len("Host"):
		if !isName(name, "host") {
			return true
		}
		if r.Host != nil || !isPlainHost(value) {
			return false
		}
		r.Host = value
	case len("Connection"):
		if !isName(name, "connection") {
			return true
		}
		if r.Close || !isName(value, "keep-alive") && !isName(value, "close") {
			return false
		}
		r.Close = len(value) == len("close")
	case len("Expect"):
		return !isName(name, "expect")
	case len("Upgrade"):
		return !isName(name, "upgrade") && !isName(name, "trailer")
	case len("Content-Length"):
		return !isName(name, "content-length")
	case len("Transfer-Encoding"):
		return !isName(name, "transfer-encoding")
	}
	return true
}

// isName compares without regard to case; name is in lower case.
func isName(given []byte, name string) bool {
	return len(given) == len(name) && bytes.EqualFold(given, []byte(name))
}

func isPlainHost(host []byte) bool {
	for _, c := range host {
		if class[c]&inHost == 0 {
			return false
		}
	}
	return len(host) > 0
}

// Where a byte may stand.
const (
	inName = 1 << iota
	inValue
	inHost
)

// class says where each byte may stand.
var class = func() (c [256]byte) {
	for b := ' '; b <= '~'; b++ {
		c[b] |= inValue
	}
	for _, b := range []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") {
		c[b] |= inName | inHost
	}
	c['_'] |= inName
	c['.'] |= inHost
	c[':'] |= inHost
	return c
}()
