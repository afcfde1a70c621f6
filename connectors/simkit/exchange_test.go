package simkit_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/simkit"
)

// vendor plays one fault on every request.
type vendor struct {
	kind  simkit.FaultKind
	delay time.Duration
	life  *simkit.Life
	tally *simkit.Tally
	works chan struct{} // one for each time that the work was done
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := simkit.Exchange{
		Writer: w, Request: r, Ended: v.life.Ended(), Cut: func() { v.tally.Answered("call", 0) },
		Work: func() simkit.Answer {
			v.works <- struct{}{}
			return simkit.Answer{Status: http.StatusCreated, ContentType: "text/plain", Body: []byte("made")}
		},
		Refuse: func(k simkit.FaultKind) (simkit.Answer, bool) {
			switch k {
			case simkit.Error500:
				return simkit.Answer{Status: http.StatusInternalServerError}, true
			case simkit.HTML502:
				return simkit.Answer{Status: http.StatusBadGateway}, true
			case simkit.HTML200:
				return simkit.Answer{Status: http.StatusOK}, true
			}
			return simkit.Answer{}, false
		},
	}.Through(v.kind, v.delay)
	v.tally.Answered("call", a.Status)
	a.Send(w)
}

func serve(t *testing.T, kind simkit.FaultKind, delay time.Duration) (*vendor, *httptest.Server) {
	v := &vendor{kind: kind, delay: delay, life: simkit.NewLife(), tally: simkit.NewTally(), works: make(chan struct{}, 1)}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	t.Cleanup(v.life.End)
	server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return v, server
}

func TestThrough(t *testing.T) {
	for kind, c := range map[simkit.FaultKind]struct {
		status int // 0: no answer
		body   string
		works  int
	}{
		"":                       {201, "made", 1},
		simkit.Slow:              {201, "made", 1},
		"of_no_vendor":           {201, "made", 1},
		simkit.BrokenJSON:        {201, "ma", 1},
		simkit.BrokenXML:         {201, "ma", 1},
		simkit.Empty2xx:          {201, "", 1},
		simkit.CommitThen500:     {500, "", 1},
		simkit.CommitThen502:     {502, "", 1},
		simkit.CommitThen200:     {200, "", 1},
		simkit.CommitThenDrop:    {0, "", 1},
		simkit.CommitThenTimeout: {0, "", 1},
		simkit.Error500:          {500, "", 0},
		simkit.HTML502:           {502, "", 0},
		simkit.HTML200:           {200, "", 0},
		simkit.Redirect:          {307, "", 0},
		simkit.TimeoutNoCommit:   {0, "", 0},
		simkit.ResetBefore:       {0, "", 0},
	} {
		t.Run(string(kind), func(t *testing.T) {
			v, server := serve(t, kind, time.Millisecond)
			resp, err := server.Client().Post(server.URL, "text/plain", nil)
			if c.status == 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, c.status, resp.StatusCode)
				require.Equal(t, c.body, string(body))
				require.Equal(t, map[bool]string{true: "/elsewhere"}[kind == simkit.Redirect], resp.Header.Get("Location"))
			}
			require.Len(t, v.works, c.works)
			require.Equal(t, map[int]int64{c.status: 1}, v.tally.Counts().Statuses)
			require.Equal(t, map[string]int64{"call": 1}, v.tally.Counts().Requests)
		})
	}
}

func TestQuote(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/orders?page=2", nil)
	r.Header.Set("Authorization", "Bearer secret")
	words := simkit.Quote(r, []byte(`{"name":"Sample Buyer"}`))
	for _, quoted := range []string{"POST", "/orders?page=2", "Bearer secret", `{"name":"Sample Buyer"}`, "\x00", "\x1b"} {
		require.Contains(t, words, quoted)
	}
	require.Equal(t, words, simkit.Quote(r, []byte(`{"name":"Sample Buyer"}`)))
	require.Greater(t, len(words), 32<<10)
}

func TestEndingCutsOpenAnswers(t *testing.T) {
	v, server := serve(t, simkit.CommitThenTimeout, time.Hour)
	answered := make(chan error)
	go func() {
		_, err := server.Client().Post(server.URL, "text/plain", nil)
		answered <- err
	}()
	<-v.works
	v.life.End()
	require.Error(t, <-answered)
}
