package connectortest

import (
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

const webhookSecret = "zyxcanary-webhook-secret"

func webhookChecks() []check {
	return []check{
		{name: "a signed delivery is read", run: signedDelivery},
		{name: "an unsigned or wrongly signed one is refused", run: badlySigned},
		{name: "a repeat has the id of the first", run: replayed},
	}
}

func (t *trial) deliver(secret string, header http.Header, body string) (string, error) {
	w := &world{t: t, log: &journal{x: t.x, check: t.name}}
	id, err := t.x.subject.Webhooks.Verify(secret, header, []byte(body))
	w.saw(err)
	return id, err
}

func signedDelivery(t *trial) {
	h := t.x.subject.Webhooks
	id, err := t.deliver(webhookSecret, h.Sign(webhookSecret, []byte(h.Body)), h.Body)
	require.NoError(t, err)
	require.NotEmpty(t, id, "the event's id")
}

// badlySigned: whoever knows the address can post to it. A signature that is
// right in all but one character is as wrong as none.
func badlySigned(t *trial) {
	h := t.x.subject.Webhooks
	good := h.Sign(webhookSecret, []byte(h.Body))
	with := func(change func(string) string) http.Header {
		out := http.Header{}
		for name, values := range good {
			out[name] = []string{change(values[0])}
		}
		return out
	}
	otherDigit := func(s string, i int) string {
		b := []byte(s)
		if b[i] == '0' {
			b[i] = '1'
		} else {
			b[i] = '0'
		}
		return string(b)
	}
	for name, d := range map[string]struct {
		secret string
		header http.Header
		body   string
	}{
		"an unsigned ping":          {webhookSecret, http.Header{}, `{"ping":true}`},
		"unsigned":                  {webhookSecret, http.Header{}, h.Body},
		"an empty signature":        {webhookSecret, with(func(string) string { return "" }), h.Body},
		"another secret":            {webhookSecret, h.Sign("another", []byte(h.Body)), h.Body},
		"no secret, signed with it": {"", h.Sign("", []byte(h.Body)), h.Body},
		"another body":              {webhookSecret, good, strings.Replace(h.Body, "{", "{ ", 1)},
		"nothing signed":            {webhookSecret, good, ""},
		"the last character":        {webhookSecret, with(func(s string) string { return otherDigit(s, len(s)-1) }), h.Body},
		"the first of the digest":   {webhookSecret, with(func(s string) string { return otherDigit(s, strings.LastIndex(s, "=")+1) }), h.Body},
		"cut short":                 {webhookSecret, with(func(s string) string { return s[:len(s)-2] }), h.Body},
		"longer":                    {webhookSecret, with(func(s string) string { return s + "00" }), h.Body},
	} {
		_, err := t.deliver(d.secret, d.header, d.body)
		require.Error(t, err, name)
		require.ErrorIs(t, err, relay.Unauthorised, name)
	}
}

func replayed(t *trial) {
	h := t.x.subject.Webhooks
	header := h.Sign(webhookSecret, []byte(h.Body))
	first, err := t.deliver(webhookSecret, header, h.Body)
	require.NoError(t, err)
	second, err := t.deliver(webhookSecret, header, h.Body)
	require.NoError(t, err)
	require.Equal(t, first, second, "so that the caller can tell that it had it")
}
