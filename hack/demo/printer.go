package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// textWidth is where text is wrapped, subjectWidth the column before it: lines of 100 at most.
	textWidth    = 72
	subjectWidth = 18
)

type colour string

// The colours of a terminal.
const (
	plain  colour = ""
	bold   colour = "\x1b[1m"
	dim    colour = "\x1b[2m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
	cyan   colour = "\x1b[36m"
	reset         = "\x1b[0m"
)

// printer writes lines with the time since the act began. It is safe for concurrent use.
type printer struct {
	w        io.Writer
	coloured bool
	broken   func(error) // told when nobody reads any more

	mu    sync.Mutex
	start time.Time
}

func newPrinter(f *os.File, broken func(error)) *printer {
	return &printer{w: f, coloured: isTerminal(f), broken: broken, start: time.Now()}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 &&
		os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (p *printer) paint(c colour, text string) string {
	if !p.coloured || c == plain {
		return text
	}
	return string(c) + text + reset
}

func (p *printer) write(text string) {
	if _, err := io.WriteString(p.w, text+"\n"); err != nil {
		p.broken(err)
	}
}

// begin prints a heading and sets the clock to zero.
func (p *printer) begin(title string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write("\n" + p.paint(bold, title) + "\n")
	p.start = time.Now()
}

// restart sets the clock to zero.
func (p *printer) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = time.Now()
}

// say prints text as it is.
func (p *printer) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(text)
}

// block prints text indented.
func (p *printer) block(c colour, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			line = "    " + p.paint(c, line)
		}
		p.write(line)
	}
}

// tell prints what happened just now, and when that was.
func (p *printer) tell(c colour, subject, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Since(p.start).Seconds()
	lines := wrap(text)
	p.write(fmt.Sprintf("%6.2fs  %s %s", at, p.paint(c, fmt.Sprintf("%-*s", subjectWidth, subject)), lines[0]))
	for _, line := range lines[1:] {
		p.write(strings.Repeat(" ", 9+subjectWidth+1) + line)
	}
}

// at is the time of t on the clock that tell shows.
func (p *printer) at(t time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%.2fs", t.Sub(p.start).Seconds())
}

// wrap breaks text between words, so that lines stay below textWidth where words do.
func wrap(text string) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > textWidth:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
