package simulator

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Namespaces of the service (wire/bergen-rex11.md section 3).
const (
	soapSpace     = "http://schemas.xmlsoap.org/soap/envelope/"
	methods       = "http://rex11.com/webmethods/"
	publicAPI     = "http://rex11.com/swpublicapi/"
	ticketSpace   = publicAPI + "PickTicket.xsd"
	detailSpace   = publicAPI + "PickTicketDetails.xsd"
	addressSpace  = publicAPI + "CustomerOrder.xsd"
	boxesSpace    = publicAPI + "PickTicketDetailsItemsInBoxes.xsd"
	boxesV2Space  = publicAPI + "OutBoundPickTicketItemsInBoxesV2.xsd"
	packageSpace  = publicAPI + "OutBoundPackage.xsd"
	productSpace  = publicAPI + "StyleMasterProduct.xsd"
	envelopeStart = `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="` + soapSpace +
		`" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Body>`
	envelopeEnd = `</soap:Body></soap:Envelope>`
)

// fault is a SOAP fault (section 2.4).
type fault struct {
	client bool // the request is to blame: soap:Client, not soap:Server
	reason string
}

// unreadable blames a request that can't be read at all, or a value in it.
func unreadable(format string, args ...any) *fault {
	return &fault{client: true, reason: "Server was unable to read request. ---> " + fmt.Sprintf(format, args...)}
}

// thrown is an exception inside the method.
func thrown(reason string) *fault {
	return &fault{reason: "Server was unable to process request. ---> " + reason}
}

func (f *fault) body() []byte {
	w := newWriter(envelopeStart)
	code := "soap:Server"
	if f.client {
		code = "soap:Client"
	}
	w.raw("<soap:Fault>")
	w.space = "" // a fault's children are in no namespace
	w.leaf("", "faultcode", code)
	w.leaf("", "faultstring", f.reason)
	w.raw("<detail /></soap:Fault>" + envelopeEnd)
	return w.buf
}

// element is a piece of a request. The service looks for exact names in exact
// namespaces, in any order, and passes over all else (section 2.5).
type element struct {
	name xml.Name
	text []byte
	kids []element
}

func (e *element) kid(space, name string) *element {
	for i := range e.kids {
		if e.kids[i].name == (xml.Name{Space: space, Local: name}) {
			return &e.kids[i]
		}
	}
	return nil
}

func (e *element) value(space, name string) string {
	if k := e.kid(space, name); k != nil {
		return string(k.text)
	}
	return ""
}

const maxDepth = 32 // the deepest element of the WSDL is the eighth

// parse reads a message into elements.
func parse(message []byte) (*element, *fault) {
	d := xml.NewDecoder(bytes.NewReader(message))
	root := element{}
	open := []*element{&root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, column := d.InputPos()
			return nil, unreadable("There is an error in XML document (%d, %d). ---> %s", line, column, strings.TrimPrefix(err.Error(), "XML "))
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			if len(open) > maxDepth {
				return nil, unreadable("There is an error in XML document (1, 1). ---> too deep")
			}
			top.kids = append(top.kids, element{name: t.Name})
			open = append(open, &top.kids[len(top.kids)-1])
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			top.text = append(top.text, t...)
		}
	}
	if len(root.kids) != 1 {
		return nil, unreadable("There is an error in XML document (0, 0). ---> Root element is missing.")
	}
	return &root.kids[0], nil
}

// writer writes answers byte for byte as the service does (section 2.2): no white
// space between elements, <Name /> for empty ones, and an xmlns attribute on every
// element whose namespace is not its parent's.
type writer struct {
	buf   []byte
	space string // the default namespace where we are
	open  []tag
	fresh bool // the last start tag still lacks its end
}

type tag struct{ space, name string } // space is the parent's

func newWriter(start string) *writer { return &writer{buf: []byte(start), space: soapSpace} }

func (w *writer) raw(s string) { w.buf = append(w.buf, s...) }

// begin writes a start tag without its end.
func (w *writer) begin(space, name string) {
	w.flush()
	w.buf = append(append(w.buf, '<'), name...)
	if space != w.space {
		w.buf = append(append(append(w.buf, ` xmlns="`...), space...), '"')
	}
}

func (w *writer) flush() {
	if w.fresh {
		w.buf = append(w.buf, '>')
		w.fresh = false
	}
}

func (w *writer) start(space, name string) {
	w.begin(space, name)
	w.open = append(w.open, tag{w.space, name})
	w.space, w.fresh = space, true
}

func (w *writer) end() {
	last := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	if w.fresh {
		w.buf = append(w.buf, " />"...)
		w.fresh = false
	} else {
		w.buf = append(append(append(w.buf, "</"...), last.name...), '>')
	}
	w.space = last.space
}

// leaf writes an element with text.
func (w *writer) leaf(space, name, text string) {
	w.begin(space, name)
	if text == "" {
		w.buf = append(w.buf, " />"...)
		return
	}
	w.buf = append(w.buf, '>')
	w.text(text)
	w.buf = append(append(append(w.buf, "</"...), name...), '>')
}

// some writes an element whose XSD default is the empty text, which .NET leaves
// out when it is empty (section 11).
func (w *writer) some(space, name, text string) {
	if text != "" {
		w.leaf(space, name, text)
	}
}

func (w *writer) text(s string) {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			w.buf = append(w.buf, "&amp;"...)
		case '<':
			w.buf = append(w.buf, "&lt;"...)
		case '>':
			w.buf = append(w.buf, "&gt;"...)
		case '\r':
			w.buf = append(w.buf, "&#xD;"...)
		default:
			if c < ' ' && c != '\t' && c != '\n' {
				c = '?' // no XML can hold it
			}
			w.buf = append(w.buf, c)
		}
	}
}
