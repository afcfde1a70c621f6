// Package wsdl holds the WSDL of the Rex11 public API (SOURCE.txt) and checks
// messages against the schemas in it. The simulator checks with it what it is
// sent and what it answers; a client's tests can check the client's requests.
package wsdl

import (
	"bytes"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/jacoelho/xsd"
)

//go:embed v3-production.wsdl
var document string

//go:embed envelope.xsd
var envelope string

const (
	schemaSpace = "http://www.w3.org/2001/XMLSchema"
	// abstractTypes declares an array that no message has, on a base (SOAP
	// encoding) that the WSDL does not bring along.
	abstractTypes = "http://rex11.com/webmethods/AbstractTypes"
)

// spelling puts back the two enumeration values that the published copy lost
// (wire/bergen-rex11.md section 7.3).
var spelling = strings.NewReplacer(
	`value="Picked - Pending QA Check"`, `value="Picked  - Pending QA Check"`,
	`value="CSR - Pending CSR Check"`, `value="CSR&#9;- Pending CSR Check"`,
)

// tab is the one in a PickTicketStatus value.
const tab = "&#9;"

// patterns turns the enumeration with the tab into patterns, which mean the same
// and can escape it: the compiler makes a space of a tab in an attribute, also of
// one that is written as a character reference. The values hold nothing else that
// a pattern would read otherwise.
var patterns = strings.NewReplacer("s:enumeration", "s:pattern", tab, `\t`)

const maxErrors = 20 // of one message

// Validate says what is wrong with a message by the WSDL: a SOAP 1.1 envelope, or
// the bare body that the HTTP GET binding answers with. It is nil for a message
// whose every name, namespace, order, count, type and enumeration value is right.
// The first twenty things that are wrong are in the error, one line each.
func Validate(message []byte) error {
	engine, err := compiled()
	if err != nil {
		return err
	}
	err = engine.ValidateWithOptions(bytes.NewReader(message), xsd.ValidateOptions{MaxErrors: maxErrors})
	if all := xsd.Errors(nil); errors.As(err, &all) {
		return errors.Join(all...) // its own text has only the first
	}
	return err
}

// Document returns the WSDL as the service shows it, its addresses replaced by one.
func Document(address string) string {
	const published = "https://sync.rex11.com/ws/v3prod/publicapiws.asmx"
	return strings.ReplaceAll(spelling.Replace(document), published, address)
}

var compiled = sync.OnceValues(func() (*xsd.Engine, error) {
	schemas, err := schemas(spelling.Replace(document))
	if err != nil {
		return nil, fmt.Errorf("read the WSDL: %w", err)
	}
	sources := []xsd.SchemaSource{xsd.Reader("envelope.xsd", strings.NewReader(envelope))}
	for i, s := range schemas {
		if strings.Contains(s, tab) {
			s = patterns.Replace(s)
		}
		sources = append(sources, xsd.Reader(fmt.Sprintf("wsdl-%d.xsd", i), strings.NewReader(s)))
	}
	engine, err := xsd.Compile(sources...)
	if err != nil {
		return nil, fmt.Errorf("compile the WSDL's schemas: %w", err)
	}
	return engine, nil
})

// schemas cuts the schemas out of a WSDL. Each gets the prefixes that the root
// element declares, which its type names use.
func schemas(wsdl string) ([]string, error) {
	var prefixes strings.Builder
	var out []string
	d := xml.NewDecoder(strings.NewReader(wsdl))
	for {
		from := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if prefixes.Len() == 0 {
			for _, a := range start.Attr {
				if a.Name.Space == "xmlns" {
					fmt.Fprintf(&prefixes, " xmlns:%s=%q", a.Name.Local, a.Value)
				}
			}
		}
		if start.Name.Space != schemaSpace || start.Name.Local != "schema" {
			continue
		}
		if err := d.Skip(); err != nil {
			return nil, err
		}
		if target(start) != abstractTypes {
			name, rest, _ := strings.Cut(wsdl[from:d.InputOffset()], " ")
			out = append(out, name+prefixes.String()+" "+rest)
		}
	}
}

func target(schema xml.StartElement) string {
	for _, a := range schema.Attr {
		if a.Name.Local == "targetNamespace" {
			return a.Value
		}
	}
	return ""
}
