package manifest

import (
	"regexp"
	"strconv"
	"strings"
)

// commentWidth is where comments are broken, in bytes.
const commentWidth = 100

// plainScalar is text that YAML reads as that text without quotes.
var plainScalar = regexp.MustCompile(`^[a-z][a-z0-9-]*[.-][a-z0-9.-]*$`)

// scalar writes a string of ASCII.
func scalar(text string) string {
	if plainScalar.MatchString(text) {
		return text
	}
	return strconv.QuoteToASCII(text)
}

// comment writes text behind "# ", broken into lines; the first starts with a
// bullet, the others are indented by as much.
func comment(b *strings.Builder, bullet, text string) {
	line := "# " + bullet
	indent := "# " + strings.Repeat(" ", len(bullet))
	words := 0
	for word := range strings.FieldsSeq(text) {
		if words > 0 && len(line)+1+len(word) > commentWidth {
			b.WriteString(line + "\n")
			line, words = indent, 0
		}
		if words > 0 {
			line += " "
		}
		line += word
		words++
	}
	b.WriteString(line + "\n")
}

// ascii makes a stranger's text fit for a comment.
func ascii(text string) string {
	const limit = 200
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	quoted := strconv.QuoteToASCII(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
