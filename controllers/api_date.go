package controllers

import (
	"net/http"
	"sync/atomic"
	"time"
)

// apiDate remembers the Date of the API server's last answer.
type apiDate struct{ last atomic.Pointer[time.Time] }

// Wrap is a transport wrapper for rest.Config.
func (d *apiDate) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			if date, perr := http.ParseTime(resp.Header.Get("Date")); perr == nil {
				d.last.Store(&date)
			}
		}
		return resp, err
	})
}

// bounds are the earlier and the later of the local clock and the last Date: what is over by the one is
// over by both, and what is in the future of the other is so for both.
func (d *apiDate) bounds(now time.Time) (earlier, later time.Time) {
	date := d.last.Load()
	switch {
	case date == nil:
		return now, now
	case date.Before(now):
		return *date, now
	}
	return now, *date
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
