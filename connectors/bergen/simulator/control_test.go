package simulator

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readmeCommands are the curl lines of the README's control side.
func readmeCommands(t *testing.T) []string {
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(raw), "C=http://127.0.0.1:8081\n")
	require.True(t, found)
	block, _, _ := strings.Cut(rest, "```")
	return strings.Split(strings.TrimSpace(block), "\n")
}

var curl = regexp.MustCompile(`^curl (?:-X ([A-Z]+) )?"?\$C(/[^ "]+)"?(?: -d '(.*)')?$`)

// TestReadmeCommands runs every command of the README, in its order, and compares
// the calls with those that the handler has.
func TestReadmeCommands(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Behaviour.ManualImports = true }).stocked()
	for _, n := range []string{"SO100245", "SO100246", "SO100247"} {
		w.placed(n)
	}
	require.NoError(t, w.sim.Step("SO100246"))
	require.Equal(t, "WHRTN000001", w.received("PO-7", "5"))
	shapes := map[string]bool{}
	for _, command := range readmeCommands(t) {
		m := curl.FindStringSubmatch(command)
		require.NotNil(t, m, command)
		method := m[1]
		if method == "" {
			method = http.MethodGet
			if m[3] != "" {
				method = http.MethodPost
			}
		}
		status := http.StatusOK
		if m[2] == "/products" || m[2] == "/faults" && method == http.MethodPost {
			status = http.StatusCreated
		}
		raw := w.Control(status, method, m[2], m[3])
		require.True(t, json.Valid(raw), "%s: %s", command, raw)
		path, _, _ := strings.Cut(m[2], "?")
		shapes[method+" "+regexp.MustCompile(`/tickets/[^/]+`).ReplaceAllString(path, "/tickets/{number}")] = true
		shapes[method+" "+regexp.MustCompile(`WHRTN\d+`).ReplaceAllString(path, "{id}")] = true
	}
	source, err := os.ReadFile("control.go")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`c\.(?:Handle|Create)\("([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		require.True(t, shapes[m[1]], "the README has no example of %s", m[1])
	}
	for _, m := range regexp.MustCompile(`simkit\.Setting\(c, "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		require.True(t, shapes["GET "+m[1]] && shapes["PUT "+m[1]], "the README has no example of %s", m[1])
	}
	require.Len(t, w.sim.Orders("ACME1A"), 3)
	shipped, _ := w.sim.Order("SO100245")
	require.Equal(t, StatusShippedComplete, shipped.State)
	require.Equal(t, "1Z999AA10123456793", shipped.Cartons[0].TrackingNumber)
	require.Equal(t, StatusCancelled, w.state("SO100246"))
	require.Equal(t, StateFailed, w.state("SO100247"))
	require.Equal(t, BadTokenFault, w.sim.Behaviour().BadToken)
	require.True(t, w.sim.Behaviour().ManualImports, "switches that are not named stay")
}

// TestReadmeNamesEverySwitchAndFault keeps the lists complete.
func TestReadmeNamesEverySwitchAndFault(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	text := string(raw)
	for _, k := range FaultKinds() {
		require.Contains(t, text, "`"+string(k)+"`")
	}
	switches, err := json.Marshal(Behaviour{})
	require.NoError(t, err)
	var names map[string]any
	require.NoError(t, json.Unmarshal(switches, &names))
	require.NotEmpty(t, names)
	for name := range names {
		require.Contains(t, text, "`"+name+"`")
	}
}

func TestControlComplaints(t *testing.T) {
	w := newWorld(t).stocked()
	for name, c := range map[string]struct {
		status             int
		method, path, body string
		want               string
	}{
		"unknown ticket":       {404, "POST", "/tickets/SO9/step", "", "not found"},
		"unknown ticket shown": {404, "GET", "/tickets/SO9", "", "not found"},
		"unknown product":      {404, "PUT", "/stock", `{"upc":"nope","quantity":1}`, "not found"},
		"unknown warehouse":    {404, "PUT", "/stock", `{"upc":"` + tee + `","warehouse":"HK","quantity":1}`, "not found"},
		"less than nothing":    {400, "PUT", "/stock", `{"upc":"` + tee + `","quantity":-1}`, "not less than nothing"},
		"unknown account":      {404, "POST", "/products", `{"upc":"1","account":"NOBODY"}`, "NOBODY"},
		"no UPC":               {400, "POST", "/products", `{"style":"x"}`, "UPC"},
		"unknown switch":       {400, "PUT", "/behaviour", `{"first_batch_zero":true}`, "first_batch_zero"},
		"bad switch":           {400, "PUT", "/behaviour", `{"bad_token":"shrug"}`, "shrug"},
		"bad duration":         {400, "PUT", "/progress", `{"ship_after":"soon"}`, "soon"},
		"negative":             {400, "PUT", "/progress", `{"ship_after":"-1s"}`, "negative"},
		"unknown fault":        {400, "POST", "/faults", `{"operation":"*","kind":"meteor"}`, "meteor"},
		"no JSON":              {400, "POST", "/faults", `{`, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, string(w.Control(c.status, c.method, c.path, c.body)), c.want)
		})
	}
	w.placed("SO1")
	require.NoError(t, w.sim.Ship("SO1"))
	for _, move := range []string{"step", "cancel", "hold", "release", "ship", "fail"} {
		require.Contains(t, string(w.Control(409, "POST", "/tickets/SO1/"+move, nil)), "not possible in this state")
	}
}
