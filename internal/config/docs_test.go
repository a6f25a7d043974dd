package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var documentation = filepath.Join("..", "..", "docs", "configuration.md")

// TestTheDocumentationNamesEveryField compares the first column of the documentation's tables with
// the fields that the file may have.
func TestTheDocumentationNamesEveryField(t *testing.T) {
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1)
	documented := make([]string, 0, len(rows))
	for _, row := range rows {
		documented = append(documented, row[1])
	}
	fields := fieldsOf(reflect.TypeFor[Operator](), "")
	for _, field := range fields {
		if !slices.Contains(documented, field) {
			t.Errorf("%s has no row for %s", documentation, field)
		}
	}
	for _, field := range documented {
		if !slices.Contains(fields, field) {
			t.Errorf("%s has a row for %s, which is no field", documentation, field)
		}
	}
}

// TestTheDocumentationsExamplesAreRead reads every example; those that are a part of a file are
// completed.
func TestTheDocumentationsExamplesAreRead(t *testing.T) {
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) == 0 {
		t.Fatalf("%s has no example", documentation)
	}
	for _, example := range examples {
		file := example[1]
		if !strings.Contains(file, "apiVersion:") {
			file = "apiVersion: " + APIVersion + "\nkind: " + Kind + "\nserver: {image: x}\n" + file
		}
		if _, err := Parse([]byte(file)); err != nil {
			t.Errorf("%v\n%s", err, example[1])
		}
	}
}

// fieldsOf lists the paths of a struct's fields as they are written in the file. Structs of other
// packages are documented elsewhere, and count as one field.
func fieldsOf(s reflect.Type, prefix string) []string {
	var fields []string
	for field := range s.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		path, kind := prefix+name, field.Type
		isOurs := func(k reflect.Type) bool {
			return k.Kind() == reflect.Struct && k.PkgPath() == reflect.TypeFor[Operator]().PkgPath()
		}
		switch {
		case isOurs(kind):
			fields = append(fields, fieldsOf(kind, path+".")...)
		case kind.Kind() == reflect.Slice && isOurs(kind.Elem()):
			fields = append(fields, path)
			fields = append(fields, fieldsOf(kind.Elem(), path+"[].")...)
		default:
			fields = append(fields, path)
		}
	}
	return fields
}
