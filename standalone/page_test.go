package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"orderferry/starter/cli"
)

// section is a part of docs/operations.md, with the commands that it tells people to type.
type section struct {
	title    string
	commands []command
}

// command is a line of a block of shell, or a whole block that is a script.
type command struct {
	text   string
	exit   int // as its comment says: "# exit 1: why"
	script bool
}

func (c command) String() string { return c.text }

var exitSaid = regexp.MustCompile(`# exit (\d)`)

func newCommand(text string, script bool) command {
	c := command{text: strings.TrimSpace(text), script: script}
	if m := exitSaid.FindStringSubmatch(text); m != nil {
		c.exit, _ = strconv.Atoi(m[1])
	}
	return c
}

const operationsPage = "../docs/operations.md"

// readPage returns the sections of a page that have commands, and its first
// block of each other language in them, by title and language.
func readPage(t *testing.T, path string) (sections []section, others map[string]string) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	others = make(map[string]string)
	for _, part := range strings.Split("\n"+string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		s := section{title: title}
		for i, block := range strings.Split(body, "```") {
			if i%2 == 0 {
				continue
			}
			language, code, _ := strings.Cut(block, "\n")
			switch {
			case language != "sh":
				others[title+" "+language] = code
			case strings.Contains(code, "$("):
				s.commands = append(s.commands, newCommand(code, true))
			default:
				for line := range strings.Lines(code) {
					s.commands = append(s.commands, newCommand(line, false))
				}
			}
		}
		if len(s.commands) > 0 {
			sections = append(sections, s)
		}
	}
	return sections, others
}

// untried are the commands that need what is not here, and why.
var untried = map[string]string{
	"docker-compose up --detach --no-deps --scale worker=2 worker":                                                          "needs Docker; TestRollingDeploy starts workers as processes",
	"docker-compose up --detach --no-deps worker":                                                                           "likewise",
	"docker-compose stop worker":                                                                                            "likewise; TestRollingDeploy stops workers",
	"ORDERFERRY_HOLD_BACK=true docker-compose up --detach --no-deps --scale worker=2 worker":                                "likewise; TestRollingDeploy holds back",
	"docker-compose run --detach --no-deps -e TEMPORAL_DEPLOYMENT_NAME=ferry -e TEMPORAL_WORKER_BUILD_ID=2026-11-22 worker": "likewise; TestVersionedDeploy starts such workers",
	"temporal worker deployment describe --name ferry":                                                                      "the worker here has no version; TestVersionedDeploy reads the same by the SDK",
	"temporal worker deployment set-current-version --deployment-name ferry --build-id 2026-11-22":                          "likewise; TestVersionedDeploy does the same by the SDK",
	`pg_restore --clean --if-exists --dbname "$DATABASE_URL" ledger.dump`:                                                   "the ledger is made to forget with SQL instead: everything else here lives in it",
}

// types types a command of the page and holds what it ends with against what
// the page says. It returns what was printed.
func (o *operator) types(c command) string {
	o.t.Helper()
	o.t.Logf("$ %s", c)
	if why, ok := untried[c.text]; ok {
		o.skipped[c.text] = true
		o.t.Logf("not tried: %s", why)
		return ""
	}
	if c.script {
		return o.shell(c.text)
	}
	words := o.split(c.text)
	switch words[0] {
	case "ferry":
		code, said := o.cli(words[1:]...)
		require.Equal(o.t, c.exit, code, "%s\n%s", c, said)
		return said
	case "temporal":
		require.Zero(o.t, c.exit)
		o.temporalCLI(words[1:])
	case "curl":
		return o.curl(words[1:])
	case "psql":
		require.Equal(o.t, []string{o.at.DatabaseURL, "--command"}, words[1:3])
		o.exec(words[3])
	case "sha256sum":
		return o.shell(c.text)
	default:
		o.t.Fatalf("%q is neither tried nor listed with a reason", c)
	}
	return ""
}

// shell runs a script where the operator's files are.
func (o *operator) shell(script string) string {
	o.t.Helper()
	cmd := exec.Command("sh", "-eu", "-c", script)
	cmd.Dir, cmd.Env = o.dir, os.Environ()
	for k, v := range o.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(o.t, err, "%s\n%s", script, stderr.String())
	return string(out)
}

// split has the shell split a line, with its quotes, variables and comment.
func (o *operator) split(line string) []string {
	o.t.Helper()
	out := o.shell("set -- " + line + "\nprintf '%s\\0' \"$@\"")
	words := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	// The numbers of alerts differ from run to run.
	for i := range words[:len(words)-1] {
		if words[i] == "--id" {
			words[i+1] = strconv.FormatInt(o.alertID(), 10)
		}
	}
	return words
}

func (o *operator) cli(args ...string) (int, string) {
	o.t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Run(o.t.Context(), args, func(k string) string { return o.env[k] }, strings.NewReader(""), &stdout, &stderr)
	o.t.Logf("ferry %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
	return code, stdout.String() + stderr.String()
}

// temporalCLI does what the temporal command would do.
func (o *operator) temporalCLI(args []string) {
	o.t.Helper()
	require.GreaterOrEqual(o.t, len(args), 2)
	f := pflag.NewFlagSet(strings.Join(args[:2], " "), pflag.ContinueOnError)
	id, name, input, query := f.String("workflow-id", "", ""), f.String("name", "", ""), f.String("input", "", ""), f.String("query", "", "")
	require.NoError(o.t, f.Parse(args[2:]))
	switch f.Name() {
	case "workflow signal":
		require.True(o.t, json.Valid([]byte(*input)), *input)
		require.NoError(o.t, o.temporal.SignalWorkflow(o.t.Context(), *id, "", *name, json.RawMessage(*input)))
	case "workflow list":
		require.Eventually(o.t, func() bool {
			r, err := o.temporal.ListWorkflow(o.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: *query})
			require.NoError(o.t, err, *query)
			return len(r.Executions) > 0
		}, time.Minute, 100*time.Millisecond, "%s finds something", *query)
	default:
		o.t.Fatalf("temporal %s is neither tried nor listed with a reason", f.Name())
	}
}

// curl asks the worker that runs here, whatever its port.
func (o *operator) curl(args []string) string {
	o.t.Helper()
	url := args[len(args)-1]
	path, ok := strings.CutPrefix(url, "http://127.0.0.1:9090")
	require.True(o.t, ok, url)
	r, err := http.Get("http://" + o.at.Health + path)
	require.NoError(o.t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(o.t, err)
	require.Equal(o.t, http.StatusOK, r.StatusCode, string(body))
	return string(body)
}

// step makes a section's trouble happen and sees that it is ended.
type step struct {
	prepare func()
	before  map[string]func()       // what happens in the world before a command is typed
	after   map[string]func(string) // what must have come of it
	done    func()
}

// follow types every command of the page, in its order.
func (o *operator) follow(sections []section, steps map[string]step) {
	for _, s := range sections {
		st, ok := steps[s.title]
		require.True(o.t, ok, "section %q has commands, and no trouble is made for it", s.title)
		delete(steps, s.title)
		began := time.Now()
		if st.prepare != nil {
			st.prepare()
		}
		for _, c := range s.commands {
			if f := take(st.before, c.text); f != nil {
				f()
			}
			said := o.types(c)
			if f := take(st.after, c.text); f != nil {
				f(said)
			}
		}
		require.Empty(o.t, st.before, "of section %q", s.title)
		require.Empty(o.t, st.after, "of section %q", s.title)
		if st.done != nil {
			st.done()
		}
		o.t.Logf("%s: %s", s.title, time.Since(began).Round(time.Millisecond))
	}
	require.Empty(o.t, steps, "troubles of which the page has no section")
	for text := range untried {
		require.True(o.t, o.skipped[text], "%q is not on the page", text)
	}
}

// take finds what belongs to a command by how its line begins.
func take[F any](by map[string]F, text string) (f F) {
	for key, f := range by {
		if text == key || strings.HasPrefix(text, key) {
			delete(by, key)
			return f
		}
	}
	return f
}

// The table of troubles leads to sections that are there.
func TestOperationsLinks(t *testing.T) {
	text, err := os.ReadFile(operationsPage)
	require.NoError(t, err)
	var anchors []string
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			anchors = append(anchors, regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""))
			anchors[len(anchors)-1] = strings.ReplaceAll(anchors[len(anchors)-1], " ", "-")
		}
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, links)
	for _, l := range links {
		require.True(t, slices.Contains(anchors, l[1]), "#%s", l[1])
	}
}

// write puts a file where the operator works.
func (o *operator) write(name, text string) {
	require.NoError(o.t, os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600))
}
