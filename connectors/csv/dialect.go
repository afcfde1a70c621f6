package csv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// dialect is how rows of cells are written as text.
type dialect struct {
	separator byte
	quotes    quoting
	encoding  encoding
	crlf      bool
	comment   string // lines that begin with it are skipped; "" for none
}

type quoting string

const (
	quoteNeeded quoting = "needed" // cells that hold a separator, a quote or a line's end
	quoteAll    quoting = "all"
	quoteNone   quoting = "none" // a quote is a character like any other
)

type encoding string

const (
	utf8Plain   encoding = "utf-8"
	utf8BOM     encoding = "utf-8-bom" // as utf-8; written with a byte-order mark
	windows1252 encoding = "windows-1252"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

const (
	maxLine     = 1 << 20 // bytes of a line
	maxRowLines = 50      // lines that one row may span, in quotes
)

// row is one row of a file.
type row struct {
	cells []string
	line  int   // its first line, from 1
	at    int64 // offset of its first byte
	err   error // it can't be split into cells or decoded
}

// scanner reads the rows of a file from an offset on. Memory is bounded by the
// lines of one row.
type scanner struct {
	r     *bufio.Reader
	d     dialect
	line  int   // number of the first line ahead
	at    int64 // its offset
	ahead [][]byte
	end   error
}

// newScanner reads what r holds from offset at on, where line number line begins.
func newScanner(r io.Reader, d dialect, at int64, line int) *scanner {
	s := &scanner{r: bufio.NewReaderSize(r, 256<<10), d: d, line: line, at: at}
	if at == 0 {
		if mark, err := s.r.Peek(len(byteOrderMark)); err == nil && bytes.Equal(mark, byteOrderMark) {
			_, _ = s.r.Discard(len(mark)) // it was peeked
			s.at = int64(len(mark))
		}
	}
	return s
}

var errLongLine = fmt.Errorf("the line is longer than %d bytes", maxLine)

// peek returns the nth line ahead with its end, or the error that ends the file.
func (s *scanner) peek(n int) ([]byte, error) {
	for len(s.ahead) <= n {
		if s.end != nil {
			return nil, s.end
		}
		line, err := s.readLine()
		s.end = err
		if len(line) > 0 {
			s.ahead = append(s.ahead, line)
		}
	}
	return s.ahead[n], nil
}

// readLine reads a line with its end: LF, CRLF, or CR alone, as spreadsheets on a
// Macintosh write it.
func (s *scanner) readLine() ([]byte, error) {
	var line []byte
	for {
		if _, err := s.r.Peek(1); err != nil {
			return line, err
		}
		part, _ := s.r.Peek(s.r.Buffered()) // it is there
		end := bytes.IndexAny(part, "\r\n")
		if end >= 0 {
			part = part[:end+1]
		}
		line = append(line, part...)
		_, _ = s.r.Discard(len(part)) // it was peeked
		if end >= 0 {
			break
		}
		if len(line) > 64*maxLine {
			return nil, fmt.Errorf("line %d does not end within %d bytes: this is no text file", s.line+len(s.ahead), 64*maxLine)
		}
	}
	if line[len(line)-1] == '\r' {
		if next, err := s.r.Peek(1); err == nil && next[0] == '\n' {
			_, _ = s.r.Discard(1)
			line = append(line, '\n')
		}
	}
	return line, nil
}

// drop takes n lines off.
func (s *scanner) drop(n int) {
	for _, l := range s.ahead[:n] {
		s.at += int64(len(l))
	}
	s.line += n
	s.ahead = s.ahead[n:]
}

// next returns the next row, without empty and comment lines. The error is io.EOF
// behind the last one; what is wrong with a row alone is in the row.
func (s *scanner) next() (row, error) {
	for {
		line, err := s.peek(0)
		if err != nil {
			return row{}, err
		}
		text := trimEnd(line)
		if len(bytes.TrimSpace(text)) > 0 && (s.d.comment == "" || !bytes.HasPrefix(text, []byte(s.d.comment))) {
			break
		}
		s.drop(1)
	}
	out := row{line: s.line, at: s.at}
	cells, lines, err := s.split()
	s.drop(lines)
	if err == nil {
		out.cells, err = s.decode(cells)
	}
	out.err = err
	return out, nil
}

// split cuts the row ahead into cells and says over how many lines it goes. A
// quote that is not closed spoils its own line only: the good rows behind it are
// not swallowed.
func (s *scanner) split() (cells [][]byte, lines int, err error) {
	first := s.ahead[0]
	if len(first) > maxLine {
		return nil, 1, errLongLine
	}
	text := first
	for lines = 1; ; lines++ {
		cells, open, err := s.d.split(trimEnd(text))
		if err != nil {
			return nil, 1, err
		}
		if !open {
			return cells, lines, nil
		}
		if lines == maxRowLines {
			break
		}
		more, perr := s.peek(lines)
		if perr != nil || len(text)+len(more) > maxLine {
			break
		}
		if lines == 1 {
			text = bytes.Clone(text)
		}
		text = append(text, more...)
	}
	return nil, 1, errors.New("a quote is not closed")
}

func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// split cuts a row's text into cells. open says that it ends within quotes. A
// quote counts only where a cell begins with it, so that 5" is a cell.
func (d dialect) split(text []byte) (cells [][]byte, open bool, err error) {
	if d.quotes == quoteNone || bytes.IndexByte(text, '"') < 0 {
		return bytes.Split(text, []byte{d.separator}), false, nil
	}
	for {
		body := bytes.TrimLeft(text, " ")
		if len(body) == 0 || body[0] != '"' {
			i := bytes.IndexByte(text, d.separator)
			if i < 0 {
				return append(cells, text), false, nil
			}
			cells, text = append(cells, text[:i]), text[i+1:]
			continue
		}
		cell, rest, closed := unquote(body[1:])
		if !closed {
			return nil, true, nil
		}
		cells = append(cells, cell)
		rest = bytes.TrimLeft(rest, " ")
		switch {
		case len(rest) == 0:
			return cells, false, nil
		case rest[0] != d.separator:
			return nil, false, fmt.Errorf("cell %d goes on behind its closing quote", len(cells))
		}
		text = rest[1:]
	}
}

// doubt asks about the separator, where a row that was cut into too few cells has
// enough of them for another one; "" where it has not.
func (d dialect) doubt(cells []string, want int) string {
	if want < 2 || len(cells) >= want {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(separators)) {
		others := strings.Count(strings.Join(cells, ""), string(rune(separators[name])))
		if separators[name] != d.separator && others >= want-1 {
			return fmt.Sprintf("; is it separator: %s?", name)
		}
	}
	return ""
}

// unquote reads a quoted cell from behind its first quote.
func unquote(text []byte) (cell, rest []byte, closed bool) {
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			return nil, nil, false
		}
		cell = append(cell, text[:i]...)
		if i+1 == len(text) || text[i+1] != '"' {
			return cell, text[i+1:], true
		}
		cell, text = append(cell, '"'), text[i+2:]
	}
}

// decode turns cells into text without outer blanks.
func (s *scanner) decode(cells [][]byte) ([]string, error) {
	out := make([]string, len(cells))
	for i, c := range cells {
		if s.d.encoding == windows1252 {
			t, err := charmap.Windows1252.NewDecoder().Bytes(c)
			if err != nil {
				return nil, fmt.Errorf("cell %d is not in windows-1252", i+1)
			}
			c = t
		}
		if !utf8.Valid(c) || bytes.IndexByte(c, 0) >= 0 {
			return nil, fmt.Errorf("cell %d is not in UTF-8; where files are in Windows-1252, the profile says encoding: windows-1252", i+1)
		}
		out[i] = strings.TrimSpace(string(c))
	}
	return out, nil
}

// cellError is a cell that can't be written.
type cellError struct {
	cell    int // from 0
	message string
}

func (e *cellError) Error() string { return e.message }

// append writes a row.
func (d dialect) append(to []byte, cells []string) ([]byte, error) {
	for i, c := range cells {
		if i > 0 {
			to = append(to, d.separator)
		}
		special := strings.ContainsAny(c, "\r\n"+string(rune(d.separator))) || i == 0 && d.comment != "" && strings.HasPrefix(c, d.comment)
		if special && d.quotes == quoteNone {
			return nil, &cellError{i, fmt.Sprintf("holds a line's end, the separator %q or a comment mark, which this layout can't write", d.separator)}
		}
		if strings.ContainsFunc(c, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }) || !utf8.ValidString(c) {
			return nil, &cellError{i, "holds characters that are no text"}
		}
		text := []byte(c)
		if d.encoding == windows1252 {
			t, err := charmap.Windows1252.NewEncoder().Bytes(text)
			if err != nil {
				return nil, &cellError{i, "holds a character that Windows-1252 does not have"}
			}
			text = t
		}
		if d.quotes == quoteAll || d.quotes == quoteNeeded && (special || strings.Contains(c, `"`) || c != strings.TrimSpace(c)) {
			to = append(to, '"')
			to = append(to, bytes.ReplaceAll(text, []byte(`"`), []byte(`""`))...)
			to = append(to, '"')
		} else {
			to = append(to, text...)
		}
	}
	if d.crlf {
		to = append(to, '\r')
	}
	return append(to, '\n'), nil
}
