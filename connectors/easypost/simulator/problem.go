package simulator

import (
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
)

// problem is a refusal. Its text never holds what the client sent, except under WordsQuoted.
type problem struct {
	Status  int
	Code    string
	Message string
	Fields  []fieldProblem
}

type fieldProblem struct {
	Code       string  `json:"code,omitempty"`
	Field      string  `json:"field"`
	Message    string  `json:"message"`
	Suggestion *string `json:"suggestion"`
}

func required(field string) *problem {
	return &problem{Status: 422, Code: "PARAMETER.REQUIRED", Message: "Missing required parameter.",
		Fields: []fieldProblem{{Field: field, Message: "is required"}}}
}

func invalid(field, message string) *problem {
	return &problem{Status: 422, Code: "PARAMETER.INVALID", Message: "Wrong parameter value.",
		Fields: []fieldProblem{{Field: field, Message: message}}}
}

func notFound() *problem {
	return &problem{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "The requested resource could not be found."}
}

func tooLate(message string) *problem {
	return &problem{Status: 422, Code: "ORDER.NOT_CANCELLABLE", Message: message}
}

// badBody says why a body could not be read, naming at most a field.
func badBody(err error) *problem {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return invalid(kind.Field, "has the wrong type")
	}
	var syntax *json.SyntaxError
	if err == nil || errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &problem{Status: http.StatusBadRequest, Code: "PARAMETER.INVALID", Message: "The body is not JSON."}
	}
	return invalid("", "has the wrong form")
}

// body renders a refusal in one of the forms of section 11.1.
func (p *problem) body(form ErrorForm) (contentType string, body []byte) {
	line := p.Code + ": " + p.Message
	fields := p.Fields
	if fields == nil {
		fields = []fieldProblem{}
	}
	object := map[string]any{"code": p.Code, "message": p.Message, "errors": fields}
	switch form {
	case ErrorsArray:
		return asJSON(map[string]any{"errors": p.flat()})
	case ErrorsStrings:
		return asJSON(map[string]any{"errors": []string{line}})
	case ErrorObject:
		return asJSON(map[string]any{"error": object})
	case ErrorString:
		return asJSON(map[string]any{"error": line})
	case CodeMessage:
		return asJSON(map[string]any{"code": p.Code, "message": p.Message})
	case MessageOnly:
		return asJSON(map[string]any{"message": line})
	case EmptyBody:
		return "", nil
	case HTMLBody:
		return "text/html", []byte("<html><body><h1>" + html.EscapeString(line) + "</h1></body></html>\n")
	case TextBody:
		return "text/plain", []byte(line + "\n")
	default:
		return asJSON(map[string]any{"errors": object})
	}
}

// bend gives a refusal another code or status.
func (b Behaviour) bend(p *problem) *problem {
	next := *p
	if code, ok := b.Codes[p.Code]; ok {
		next.Code = code
	}
	if p.Status == http.StatusUnprocessableEntity && b.RefusalStatus != 0 {
		next.Status = b.RefusalStatus
	}
	return &next
}

func (p *problem) flat() []map[string]any {
	if len(p.Fields) == 0 {
		return []map[string]any{{"code": p.Code, "message": p.Message}}
	}
	var out []map[string]any
	for _, f := range p.Fields {
		out = append(out, map[string]any{"code": p.Code, "message": f.Message, "field": f.Field})
	}
	return out
}

func asJSON(v any) (string, []byte) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain maps and strings come here
	}
	return "application/json; charset=utf-8", body
}

// maxBody bounds what a client may send.
const maxBody = 4 << 20

func readBody(r *http.Request) ([]byte, *problem) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, badBody(err)
	}
	if len(body) > maxBody {
		return nil, &problem{Status: http.StatusRequestEntityTooLarge, Code: "REQUEST.TOO_LARGE", Message: "The body is too large."}
	}
	return body, nil
}
