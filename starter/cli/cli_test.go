package cli

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

const merchantYAML = `id: acme
name: Acme, Inc.
carts:
  - name: main
    connector: shop
    mode: test
    credentials: {token: "${SHOP_TOKEN}"}
    schedule: {pull_orders: 10s}
warehouse:
  name: east
  connector: depot
  mode: test
  credentials: {key: k}
`

var liveYAML = strings.ReplaceAll(merchantYAML, "mode: test", "mode: live")

const (
	aliasesCSV = "item_code,sku\n4006381,MUG\n4006388,CUP\n4006380,CUP2\n"
	kitsCSV    = "sku,component,units\nGIFT,MUG,2\nGIFT,BOX,1\n"
)

// files makes the files that examples name, in a directory of their own.
func files(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("merchant.yaml", []byte(merchantYAML), 0o600))
	require.NoError(t, os.WriteFile("aliases.csv", []byte(aliasesCSV), 0o600))
	require.NoError(t, os.WriteFile("kits.csv", []byte(kitsCSV), 0o600))
}

// answering is a world in which everything goes well.
func answering(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.env["SHOP_TOKEN"] = "tok-1"
	w.stdin = merchantYAML
	jobs := workflows.JobAnswer{Jobs: []string{"main pull_orders", "warehouse submit_orders"}}
	maps.Copy(w.engine.answers, map[string]any{
		workflows.Pause: jobs, workflows.Resume: jobs, workflows.SyncNow: jobs,
		workflows.CancelOrder:   map[string]any{"reference": "SO-1042", "result": "stopped_before_sending", "answer": "stopped before sending: the warehouse never had it", "was_held": true},
		workflows.ReopenOrder:   map[string]any{"answer": "reopened: it is handed over anew, as main tells it now", "reopened": true},
		workflows.Release:       workflows.HoldAnswer{State: relay.OrderAtWarehouse, Answer: "accepted: warehouse order 60001"},
		workflows.ReleaseOrders: workflows.ReleaseAnswer{Released: 1},
		workflows.CancelHeld:    workflows.CancelHeldAnswer{Stopped: 1},
	})
	w.engine.report = connectors.Report{Account: "Acme", Mode: relay.ModeLive, Details: []string{"2 sites: East, West"}}
	w.engine.jobs = workflows.Standing{Jobs: []workflows.JobStanding{
		{Connection: "main", Job: relay.PullOrders, Every: relay.Every(2 * time.Minute), Paused: true, Waits: "connection main is stopped: the shop refuses the credentials (HTTP 401)"},
		{Connection: "main", Job: relay.PushShipments, Every: relay.Auto, State: "1 told, 0 failed, 1 orders confirmed"},
		{Connection: "warehouse", Job: relay.SubmitOrders, Every: relay.Auto},
		{Connection: "warehouse", Job: relay.PullShipments, Every: relay.Every(15 * time.Minute), Next: noon.Add(5 * time.Minute), State: "fails since 2026-11-21T11:00:00Z, 3 times: unavailable, HTTP 503"},
	}}
	began := evening
	w.engine.view = workflowView{ID: "merchant/acme", Status: "running", StartedAt: utc(began), Details: "**SO-1042** is on hold\n\n- `ferry hold show` tells more\n- last: resent at 2026-11-21T10:00:00Z\n"}
	return w
}

// goldens: each command, as a table and as JSON. What the JSON says is a contract with scripts.
var goldens = map[string][]string{
	"migrate":                    {"migrate"},
	"migrate-no-temporal":        {"migrate", "--no-temporal"},
	"merchant-onboard":           {"merchant", "onboard", "--file", "merchant.yaml"},
	"merchant-list":              {"merchant", "list"},
	"merchant-show":              {"merchant", "show", "--merchant", "acme"},
	"merchant-pause":             {"merchant", "pause", "--merchant", "acme"},
	"merchant-resume":            {"merchant", "resume", "--merchant", "acme"},
	"merchant-sync":              {"merchant", "sync", "--merchant", "acme", "--connection", "main", "--job", "pull_orders"},
	"merchant-reconcile":         {"merchant", "reconcile", "--merchant", "acme"},
	"merchant-findings":          {"merchant", "findings", "--merchant", "acme"},
	"merchant-findings-closed":   {"merchant", "findings", "--merchant", "acme", "--closed"},
	"connection-test":            {"connection", "test", "--merchant", "acme", "--connection", "main"},
	"alias-import":               {"alias", "import", "--merchant", "acme", "aliases.csv"},
	"alias-import-dry-run":       {"alias", "import", "--merchant", "acme", "--dry-run", "--replace", "aliases.csv"},
	"alias-export":               {"alias", "export", "--merchant", "acme"},
	"alias-list":                 {"alias", "list", "--merchant", "acme"},
	"alias-set":                  {"alias", "set", "--merchant", "acme", "--sku", "CUP", "--code", "4006380"},
	"alias-remove":               {"alias", "remove", "--merchant", "acme", "--sku", "CUP"},
	"alias-show":                 {"alias", "show", "--merchant", "acme", "CUP"},
	"alias-show-kit":             {"alias", "show", "--merchant", "acme", "GIFT"},
	"alias-show-unknown":         {"alias", "show", "--merchant", "acme", "PEN"},
	"alias-history":              {"alias", "history", "--merchant", "acme"},
	"kit-import":                 {"kit", "import", "--merchant", "acme", "kits.csv"},
	"kit-import-dry-run":         {"kit", "import", "--merchant", "acme", "--dry-run", "kits.csv"},
	"kit-export":                 {"kit", "export", "--merchant", "acme"},
	"kit-list":                   {"kit", "list", "--merchant", "acme"},
	"kit-set":                    {"kit", "set", "--merchant", "acme", "--sku", "GIFT", "--component", "CUP=2", "--component", "BOX"},
	"kit-remove":                 {"kit", "remove", "--merchant", "acme", "--sku", "GIFT"},
	"kit-history":                {"kit", "history", "--merchant", "acme"},
	"order-list":                 {"order", "list", "--merchant", "acme"},
	"order-list-words":           {"order", "list", "--merchant", "acme", "--words"},
	"order-show-held":            {"order", "show", "--merchant", "acme", "--order", "so-1042"},
	"order-show-held-private":    {"order", "show", "--merchant", "acme", "--order", "SO-1042", "--address", "--words"},
	"order-show-shipped":         {"order", "show", "--merchant", "acme", "--order", "60002"},
	"order-show-received":        {"order", "show", "--merchant", "zeta", "--order", "Z3"},
	"order-list-received":        {"order", "list", "--merchant", "zeta"},
	"order-hold":                 {"order", "hold", "--merchant", "acme", "--reference", "1043-7ZK2Q1", "--reason", "ask first"},
	"order-history":              {"order", "history", "--merchant", "acme", "--order", "SO-1042"},
	"order-history-words":        {"order", "history", "--merchant", "acme", "--order", "SO-1042", "--words"},
	"order-history-shipped":      {"order", "history", "--merchant", "acme", "--order", "60002"},
	"export":                     {"export", "--merchant", "acme"},
	"export-file":                {"export", "--merchant", "acme", "--out", "acme.jsonl"},
	"order-cancel":               {"order", "cancel", "--merchant", "acme", "--order", "SO-1042", "--reason", "buyer cancelled"},
	"order-reopen":               {"order", "reopen", "--merchant", "acme", "--order", "SO-1042", "--reason", "the buyer wants it after all"},
	"order-test":                 {"order", "test", "--merchant", "tests", "--sku", "MUG"},
	"merchant-onboard-rehearsed": {"merchant", "onboard", "--file", "merchant.yaml", "--dry-run"},
	"order-release":              {"order", "release", "--merchant", "acme", "--order", "SO-1042"},
	"hold-list":                  {"hold", "list"},
	"hold-list-words":            {"hold", "list", "--merchant", "acme", "--reason", "insufficient_inventory", "--words"},
	"hold-show":                  {"hold", "show", "--merchant", "acme", "--order", "SO-1042"},
	"hold-show-there":            {"hold", "show", "--merchant", "zeta", "--order", "Z2"},
	"hold-release-there":         {"hold", "release", "--merchant", "zeta", "--reason", "insufficient_inventory", "--dry-run"},
	"hold-forecast":              {"hold", "forecast", "--merchant", "acme"},
	"hold-cancel":                {"hold", "cancel", "--merchant", "acme", "--sku", "MUG", "--why", "discontinued"},
	"hold-cancel-dry-run":        {"hold", "cancel", "--merchant", "acme", "--all", "--why", "discontinued", "--dry-run"},
	"hold-release":               {"hold", "release", "--merchant", "acme", "--reason", "insufficient_inventory"},
	"hold-release-dry-run":       {"hold", "release", "--merchant", "acme", "--all", "--dry-run"},
	"alert-list":                 {"alert", "list"},
	"alert-list-closed":          {"alert", "list", "--merchant", "acme", "--closed"},
	"alert-show":                 {"alert", "show", "--id", "12"},
	"alert-show-unread":          {"alert", "show", "--id", "14"},
	"alert-close":                {"alert", "close", "--id", "13"},
	"alert-test":                 {"alert", "test", "--merchant", "acme"},
	"inventory-show":             {"inventory", "show", "--merchant", "acme", "CUP"},
	"inventory-list":             {"inventory", "list", "--merchant", "acme"},
	"inventory-list-errors":      {"inventory", "list", "--merchant", "acme", "--cart", "main", "--errors"},
}

func TestOutput(t *testing.T) {
	folder, err := filepath.Abs("testdata")
	require.NoError(t, err)
	for name, args := range goldens {
		for _, output := range []string{"table", "json"} {
			t.Run(name+"/"+output, func(t *testing.T) {
				files(t)
				w := answering(t)
				code, stdout, stderr := w.ferry(t, append(args, "--output", output)...)
				require.Zero(t, code, stderr)
				matchGolden(t, filepath.Join(folder, name+"."+output), stdout)
			})
		}
	}
}

// matchGolden compares with a file; UPDATE_GOLDEN=1 writes it.
func matchGolden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestEveryCommandHasAGolden(t *testing.T) {
	for _, cmd := range commands() {
		if !cmd.Runnable() || cmd.HasSubCommands() || cmd.Name() == "help" {
			continue
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		has := slices.ContainsFunc(slices.Collect(maps.Values(goldens)), func(args []string) bool {
			return len(args) >= len(path) && slices.Equal(args[:len(path)], path)
		})
		require.True(t, has || cmd.Name() == "show" && path[0] == "config", cmd.CommandPath()) // config show: see settings_test.go
	}
}

func commands() []*cobra.Command {
	root := (&app{stdout: io.Discard, stderr: io.Discard, env: func(string) string { return "" }}).root()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		all = append(all, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return all
}

func TestHelpEndsWithExamplesThatRun(t *testing.T) {
	for _, cmd := range commands() {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			path := strings.Fields(cmd.CommandPath())[1:]
			code, help, stderr := newWorld(t).ferry(t, append(path, "--help")...)
			require.Zero(t, code)
			require.Empty(t, stderr)
			require.True(t, strings.HasSuffix(help, "\nExamples:\n"+cmd.Example+"\n"), help)
			require.Regexp(t, `^[A-Z].*[^.]$`, cmd.Short, "a sentence, without a full stop")
			if cmd.Long != "" {
				require.Regexp(t, `(?s)^[A-Z].*\.$`, cmd.Long)
			}
			for line := range strings.Lines(cmd.Example) {
				words := shellWords(t, line)
				require.Equal(t, "ferry", words[0], line)
				files(t)
				w := answering(t)
				w.ledger.orders[1].WarehouseOrderID = "60001"
				code, stdout, stderr := w.ferry(t, words[1:]...)
				require.Zero(t, code, "%s%s", line, stderr)
				require.NotEmpty(t, stdout)
			}
		})
	}
}

// shellWords splits a line as a shell does, as far as the examples go.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	require.NotRegexp(t, "[$|<>&;*'`\\\\]", line, "examples are plain words and double quotes")
	var words []string
	for i, part := range strings.Split(strings.TrimSpace(line), `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func TestBadUsage(t *testing.T) {
	files(t)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no command":             {[]string{}, "Usage:"},
		"noun only":              {[]string{"order"}, "Usage:"},
		"unknown noun":           {[]string{"ordr"}, `unknown command "ordr" for "ferry": did you mean order?`},
		"unknown verb":           {[]string{"order", "lst"}, `unknown command "lst" for "ferry order": did you mean list or test?`},
		"unknown verb, flags":    {[]string{"order", "lst", "--merchant", "acme", "--state=new"}, `unknown command "lst" for "ferry order": did you mean list or test?`},
		"unknown noun, flags":    {[]string{"mercant", "show", "--merchant", "acme"}, `unknown command "mercant" for "ferry": did you mean merchant?`},
		"unknown flag":           {[]string{"order", "list", "--mercant", "acme"}, "unknown flag: --mercant\nSee ferry order list --help."},
		"missing flag":           {[]string{"order", "list"}, `required flag(s) "merchant" not set`},
		"bad merchant":           {[]string{"order", "list", "--merchant", "ACME!"}, `merchant id "ACME!": want 1 to 40 characters`},
		"bad state":              {[]string{"order", "list", "--merchant", "acme", "--state", "lost"}, `state "lost": want one of new, skipped, held,`},
		"bad reason":             {[]string{"hold", "list", "--reason", "lost"}, `hold reason "lost": want one of insufficient_inventory, unknown_item,`},
		"bad job":                {[]string{"merchant", "sync", "--merchant", "acme", "--job", "x"}, `job "x": want one of pull_orders, submit_orders,`},
		"bad output":             {[]string{"merchant", "list", "--output", "xml"}, "want table or json"},
		"bad timeout":            {[]string{"merchant", "list", "--timeout", "0s"}, "want more than 0"},
		"timeout without unit":   {[]string{"merchant", "list", "--timeout", "5"}, `"5" for "--timeout" flag: want more than 0, with its unit, such as 30s`},
		"bad time":               {[]string{"export", "--merchant", "acme", "--since", "soon"}, `"soon" for "--since" flag: want a time, such as 2026-11-01T08:00:00Z, or`},
		"bad milestone":          {[]string{"order", "test", "--merchant", "tests", "--sku", "MUG", "--until", "lost"}, "want at_warehouse, shipped or confirmed"},
		"order as an argument":   {[]string{"order", "show", "--merchant", "acme", "SO-1042"}, "ferry order show takes no argument: want --order SO-1042\nSee ferry order show --help."},
		"merchant likewise":      {[]string{"merchant", "show", "acme"}, "ferry merchant show takes no argument: want --merchant acme"},
		"bad limit":              {[]string{"hold", "list", "--limit", "0"}, `"0" for "--limit" flag: want 1 to 10000`},
		"limit is no number":     {[]string{"alert", "list", "--limit", "ten"}, "want 1 to 10000"},
		"bad alert":              {[]string{"alert", "show", "--id", "x"}, "want a number, as ferry alert list tells it"},
		"empty reason":           {[]string{"order", "cancel", "--merchant", "acme", "--order", "SO-1042", "--reason", " "}, "want a reason, in words"},
		"empty why":              {[]string{"hold", "cancel", "--merchant", "acme", "--all", "--why", ""}, "want a reason, in words"},
		"extra words":            {[]string{"merchant", "list", "acme"}, `ferry merchant list takes no argument: "acme"`},
		"no file":                {[]string{"alias", "import", "--merchant", "acme"}, "want one FILE"},
		"file is not there":      {[]string{"merchant", "onboard", "--file", "none.yaml"}, "none.yaml: no such file"},
		"neither name":           {[]string{"order", "show", "--merchant", "acme"}, "want one of --order, --reference"},
		"both names":             {[]string{"order", "show", "--merchant", "acme", "--order", "1", "--reference", "1"}, "none of the others can be"},
		"no reason to cancel":    {[]string{"order", "cancel", "--merchant", "acme", "--order", "1"}, `required flag(s) "reason" not set`},
		"too long a reason":      {[]string{"order", "cancel", "--merchant", "acme", "--order", "SO-1042", "--reason", strings.Repeat("x", 201)}, "at most 200 characters"},
		"too long an actor":      {[]string{"order", "release", "--merchant", "acme", "--order", "SO-1042", "--actor", strings.Repeat("x", 61)}, "at most 60 characters"},
		"neither reason nor all": {[]string{"hold", "release", "--merchant", "acme"}, "want one of --order, --reference, --reason, --sku, --all"},
		"several orders":         {[]string{"order", "cancel", "--merchant", "acme", "--order", "1043", "--reason", "x"}, "--reference 1043-7ZK2Q1  number 1043, cart outlet, new"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			code, stdout, stderr := w.ferry(t, c.args...)
			require.Equal(t, exitUsage, code, stderr)
			require.Contains(t, stderr, c.says)
			require.Empty(t, stdout)
			require.Empty(t, w.engine.asked)
		})
	}
}

func TestFailures(t *testing.T) {
	files(t)
	for name, c := range map[string]struct {
		args []string
		that func(*world)
		says string
	}{
		"no such merchant": {[]string{"order", "list", "--merchant", "nobody"}, nil, "merchant nobody: not found; ferry merchant list tells which there are"},
		"no such order":    {[]string{"order", "show", "--merchant", "acme", "--order", "77"}, nil, `order "77" of merchant acme: not found`},
		"no such connection": {[]string{"connection", "test", "--merchant", "acme", "--connection", "west"}, nil,
			"connection west of merchant acme: not found; it has main, warehouse"},
		"no such connection to pause": {[]string{"merchant", "pause", "--merchant", "acme", "--connection", "west"}, nil, "it has main, warehouse"},
		"no ledger":                   {[]string{"merchant", "list"}, func(w *world) { w.openErr = errors.New("connection refused") }, "connection refused"},
		"no Temporal":                 {[]string{"merchant", "sync", "--merchant", "acme"}, func(w *world) { w.dialErr = errors.New("refused") }, "reach Temporal at temporal.example:7233: refused"},
		"no workflow": {[]string{"merchant", "sync", "--merchant", "acme"}, func(w *world) { w.engine.errs[workflows.SyncNow] = errNoWorkflow },
			"no such workflow is running; ferry merchant onboard starts it"},
		"no Temporal to tell": {[]string{"alias", "import", "--merchant", "acme", "aliases.csv"}, func(w *world) { w.dialErr = errors.New("refused") }, "reach Temporal"},
		"workflow not told": {[]string{"alias", "import", "--merchant", "acme", "aliases.csv"}, func(w *world) { w.engine.errs["wake"] = errors.New("refused") },
			"the aliases of acme are in the ledger, but its workflow does not know yet; run this again: refused"},
		"cancel without workflow": {[]string{"order", "cancel", "--merchant", "acme", "--order", "SO-1042", "--reason", "x"}, func(w *world) { w.engine.errs[workflows.CancelOrder] = errNoWorkflow },
			"(ferry order show tells where the order is)"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.that != nil {
				c.that(w)
			}
			code, stdout, stderr := w.ferry(t, c.args...)
			require.Equal(t, exitFailed, code, stderr)
			require.Contains(t, stderr, c.says)
			require.Empty(t, stdout)
		})
	}
}

func TestTimeout(t *testing.T) {
	w := newWorld(t)
	w.engine.wait = true
	began := time.Now()
	code, _, stderr := w.ferry(t, "merchant", "sync", "--merchant", "acme", "--timeout", "50ms")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "gave up after 50ms, --timeout allows more")
	require.Less(t, time.Since(began), 10*time.Second)
}

// What cannot be done as asked is told on stdout, and by exit code 1.
func TestAnswersThatAreNotAsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		that   func(*world)
		says   string
		result string
	}{
		"cancel too late": {[]string{"order", "cancel", "--merchant", "acme", "--order", "60002", "--reason", "x"}, func(w *world) {
			w.engine.answers[workflows.CancelOrder] = cancelAnswer{"too_late", "too late: shipped, USPS 9400"}
		}, "1043: too late: shipped, USPS 9400\n", "too_late"},
		"cancel pending": {[]string{"order", "cancel", "--merchant", "acme", "--reference", "so-1042", "--reason", "x"}, func(w *world) {
			w.engine.answers[workflows.CancelOrder] = cancelAnswer{"pending", "the warehouse has not decided"}
		}, "SO-1042: the warehouse has not decided\n", "pending"},
		"still on hold": {[]string{"order", "release", "--merchant", "acme", "--order", "SO-1042"}, func(w *world) {
			w.engine.answers[workflows.Release] = workflows.HoldAnswer{State: relay.OrderHeld, Answer: "still on hold: insufficient_inventory"}
		}, "SO-1042: still on hold: insufficient_inventory\n", "held"},
		"never on hold": {[]string{"order", "release", "--merchant", "acme", "--reference", "1043-7ZK2Q1"}, func(w *world) {
			w.engine.errs[workflows.Release] = errNoWorkflow
		}, "1043-7ZK2Q1: not on hold: new\n", "new"},
		"hold without workflow": {[]string{"order", "release", "--merchant", "acme", "--order", "SO-1042"}, func(w *world) {
			w.engine.errs[workflows.Release] = errNoWorkflow
			reads := 0
			w.ledger.reread = func(o *store.OrderDetail) {
				if reads++; reads == 2 {
					o.State, o.Hold = relay.OrderNew, nil
				}
			}
		}, "SO-1042: let go; it is handed over with the next batch: new\n", "new"},
		"hold without workflow that stays": {[]string{"order", "release", "--merchant", "acme", "--order", "SO-1042"}, func(w *world) {
			w.engine.errs[workflows.Release] = errNoWorkflow
		}, "SO-1042: on hold: insufficient_inventory (E17): MUG (line 1)\n", "held"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, output := range []string{"table", "json"} {
				w := answering(t)
				c.that(w)
				code, stdout, stderr := w.ferry(t, append(c.args, "--output", output)...)
				require.Equal(t, exitFailed, code)
				require.Empty(t, stderr)
				if output == "table" {
					require.Equal(t, c.says, stdout)
					continue
				}
				require.Contains(t, stdout, `"result": "`+c.result+`"`)
				require.Contains(t, stdout, `"done": false`)
			}
		})
	}
}

func TestReleaseOfAnOrderThatWentOnIsDone(t *testing.T) {
	w := answering(t)
	w.engine.errs[workflows.Release] = errNoWorkflow
	code, stdout, _ := w.ferry(t, "order", "release", "--merchant", "acme", "--order", "60002")
	require.Zero(t, code)
	require.Equal(t, "1043: not on hold: shipped, warehouse order 60002\n", stdout)
	require.Len(t, w.engine.asked, 1, "the merchant's workflow is not bothered")
}

func TestRequests(t *testing.T) {
	files(t)
	for name, c := range map[string]struct {
		args  []string
		asked string
	}{
		"cancel by warehouse order id": {[]string{"order", "cancel", "--merchant", "acme", "--order", "60002", "--reason", "twice"},
			`merchant/acme cancel-order {"reference":"1043","reason":"twice","actor":"clerk"}`},
		"release": {[]string{"order", "release", "--merchant", "acme", "--order", "#SO-1042", "--actor", "ops"},
			`hold/acme/SO-1042 release {"actor":"ops","hold":"insufficient_inventory"}`},
		"release for a reason": {[]string{"hold", "release", "--merchant", "acme", "--reason", "bad_address"},
			`merchant/acme release-orders {"reason":"bad_address","actor":"clerk"}`},
		"release all": {[]string{"hold", "release", "--merchant", "acme", "--all"},
			`merchant/acme release-orders {"all":true,"actor":"clerk"}`},
		"sync one job": {[]string{"merchant", "sync", "--merchant", "acme", "--connection", "main", "--job", "pull_orders"},
			`merchant/acme sync-now {"connection":"main","job":"pull_orders","actor":"clerk"}`},
		"pause":  {[]string{"merchant", "pause", "--merchant", "acme"}, `merchant/acme pause {"actor":"clerk"}`},
		"resume": {[]string{"merchant", "resume", "--merchant", "acme"}, `merchant/acme resume {"actor":"clerk"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			code, _, stderr := w.ferry(t, c.args...)
			require.Zero(t, code, stderr)
			require.Equal(t, []string{c.asked}, w.engine.asked)
		})
	}
}

func TestOnboard(t *testing.T) {
	files(t)
	w := answering(t)
	code, _, stderr := w.ferry(t, "merchant", "onboard", "-f", "-")
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "stdin:8:", "the warning has its place")
	require.Contains(t, stderr, "(warning)")
	require.NotContains(t, stderr, "tok-1")
	require.Equal(t, "/etc/orderferry/key.json", w.keyFile)
	require.Equal(t, relay.MerchantID("acme"), w.ledger.saved.ID)
	require.Equal(t, map[relay.ConnectionName]map[string]string{"main": {"token": "tok-1"}, "east": {"key": "k"}}, w.ledger.credentials)
	require.Equal(t, []string{"acme by clerk"}, w.engine.woken)
}

func TestOnboardRefusesFaultyFiles(t *testing.T) {
	w := answering(t)
	delete(w.env, "SHOP_TOKEN")
	w.stdin = strings.Replace(merchantYAML, "connector: depot", "connector: dept", 1)
	code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-")
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "stdin:7:")
	require.Contains(t, stderr, "stdin:11:")
	require.Contains(t, stderr, "ferry: stdin: 2 faults; nothing was changed\n")
	require.Empty(t, w.ledger.saved.ID)
	require.Empty(t, w.engine.woken)
}

func TestOrdersThatDoNotShip(t *testing.T) {
	w := answering(t)
	w.ledger.merchants[0].Alerts.Unshipped = relay.Age(48 * time.Hour)
	code, _, stderr := w.ferry(t, "order", "list", "--merchant", "acme", "--unshipped")
	require.Zero(t, code, stderr)
	require.Equal(t, noon.Add(-48*time.Hour), w.ledger.query.Unshipped)
}

func TestConnectionTestWithSomethingMissing(t *testing.T) {
	w := answering(t)
	w.engine.report.Missing = []string{"the right to read stock"}
	code, stdout, stderr := w.ferry(t, "connection", "test", "--merchant", "acme", "--connection", "warehouse")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "missing: the right to read stock")
	require.Equal(t, []workflows.CheckInput{{Merchant: "acme", Connection: "warehouse", Connector: "depot"}}, w.engine.tested)

	w.engine.report = connectors.Report{Mode: relay.ModeTest}
	code, stdout, _ = answeringWith(w).ferry(t, "connection", "test", "--merchant", "acme", "--connection", "warehouse")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "missing: credentials of mode live: they answered as test (onboard")

	w.engine.errs["test"] = errors.New("unauthorised, HTTP 401")
	code, stdout, stderr = answeringWith(w).ferry(t, "connection", "test", "--merchant", "acme", "--connection", "warehouse")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "unauthorised, HTTP 401")
}

// answeringWith is w with a ledger that was not opened yet.
func answeringWith(w *world) *world {
	w.ledger = newFakeLedger()
	return w
}

func TestMerchantShowWithoutTemporal(t *testing.T) {
	w := answering(t)
	w.dialErr = errors.New("refused")
	code, stdout, _ := w.ferry(t, "merchant", "show", "--merchant", "acme")
	require.Zero(t, code)
	require.Contains(t, stdout, "problem  reach Temporal at temporal.example:7233: refused")
	require.Contains(t, stdout, "the shop refuses the credentials (HTTP 401)")
}

func TestLists(t *testing.T) {
	w := answering(t)
	code, stdout, stderr := w.ferry(t, "order", "list", "--merchant", "acme", "--limit", "1", "--state", "held,new", "--state", "shipped")
	require.Zero(t, code)
	require.Contains(t, stderr, "the first 1 are listed, and there are more")
	require.Equal(t, 2, strings.Count(stdout, "\n"))
	require.Equal(t, store.OrderQuery{Merchant: "acme", States: []relay.OrderState{relay.OrderHeld, relay.OrderNew, relay.OrderShipped}, Limit: 2}, w.ledger.query)

	w = answering(t)
	w.ledger.orders = nil
	_, stdout, _ = w.ferry(t, "hold", "list", "--output", "json")
	require.JSONEq(t, `{"holds": [], "more": false}`, stdout)
}

// Promise 6 is for Temporal and logs; here nobody reads an address over a shoulder either.
func TestPersonalDataIsShownOnlyWhenAskedFor(t *testing.T) {
	for _, args := range [][]string{
		{"order", "list", "--merchant", "acme"},
		{"order", "show", "--merchant", "acme", "--order", "SO-1042"},
		{"order", "history", "--merchant", "acme", "--order", "SO-1042"},
		{"hold", "list"},
		{"hold", "show", "--merchant", "acme", "--order", "SO-1042"},
		{"hold", "release", "--merchant", "acme", "--all", "--dry-run"},
		{"order", "release", "--merchant", "acme", "--order", "SO-1042"},
	} {
		for _, output := range []string{"table", "json"} {
			_, stdout, stderr := answering(t).ferry(t, append(args, "--output", output)...)
			require.NotContains(t, stdout+stderr, "Main Street")
			require.NotContains(t, stdout+stderr, "Some")
		}
	}
}

func TestTerminalsAreNotControlledByNames(t *testing.T) {
	_, stdout, _ := answering(t).ferry(t, "merchant", "list")
	require.NotContains(t, stdout, "\x1b")
	require.Contains(t, stdout, "Zeta �[31mRed")
	require.Equal(t, "a b c�", clean("a\tb\nc\u202e"))
}

func TestOutputThatCanNotBeWritten(t *testing.T) {
	r, stdout, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	defer stdout.Close()
	w := answering(t)
	var stderr strings.Builder
	code := run(t.Context(), []string{"config", "show"}, func(k string) string { return w.env[k] }, nil, stdout, &stderr, parts{})
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr.String(), "print the result")
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", 3*time.Hour + 5*time.Minute: "3h05m", 49 * time.Hour: "2d01h",
	} {
		require.Equal(t, want, age(d))
	}
}
