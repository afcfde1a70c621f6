package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/starter/localfile"
)

// standalone is a world with a standalone's file and nothing else.
func standalone(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for _, k := range []string{envDatabase, envKeyFile, envAddress} {
		delete(w.env, k)
	}
	require.NoError(t, localfile.Write(w.env[localfile.EnvData], localfile.File{
		DatabaseURL: "postgres://ferry:s3cret@127.0.0.1:5555/orderferry", KeyFile: "/data/key.json",
		TemporalAddress: "127.0.0.1:7233", Namespace: "local", UI: "http://127.0.0.1:8233", PID: os.Getpid(),
	}))
	return w
}

func config(t *testing.T, w *world, args ...string) configView {
	t.Helper()
	code, stdout, stderr := w.ferry(t, append([]string{"config", "show", "--output", "json"}, args...)...)
	require.Zero(t, code, stderr)
	var v configView
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	return v
}

func TestStandaloneIsFound(t *testing.T) {
	w := standalone(t)
	file := localfile.In(w.env[localfile.EnvData])
	require.Equal(t, configView{
		Settings: []settingView{
			{"database-url", "postgres://ferry:xxxxx@127.0.0.1:5555/orderferry", fromFile, file},
			{"key-file", "/data/key.json", fromFile, file},
			{"temporal-address", "127.0.0.1:7233", fromFile, file},
			{"namespace", "local", fromFile, file},
		},
		File: fileView{Path: file, Used: true, UI: "http://127.0.0.1:8233"},
	}, config(t, w))

	code, _, stderr := w.ferry(t, "merchant", "sync", "--merchant", "acme")
	require.Zero(t, code, stderr)
	require.Equal(t, "postgres://ferry:s3cret@127.0.0.1:5555/orderferry", w.url)
	require.Equal(t, "127.0.0.1:7233", w.options.HostPort)
	require.Equal(t, "local", w.options.Namespace)
}

func TestPrecedence(t *testing.T) {
	w := standalone(t)
	w.env[envNamespace] = "by-env"
	w.env[envKeyFile] = "/by/env"
	v := config(t, w, "--key-file", "/by/flag")
	require.Equal(t, settingView{"key-file", "/by/flag", fromFlag, "--key-file"}, v.Settings[1])
	require.Equal(t, settingView{"namespace", "by-env", fromEnvironment, envNamespace}, v.Settings[3])
	require.Equal(t, fromFile, v.Settings[2].Source)
	require.True(t, v.File.Used)
}

// The ledger of one installation with the workflows of another would do harm.
func TestAnotherInstallationLeavesTheFileAside(t *testing.T) {
	w := standalone(t)
	w.env[envDatabase] = "postgres://elsewhere/orderferry"
	v := config(t, w)
	require.Equal(t, settingView{"database-url", "postgres://elsewhere/orderferry", fromEnvironment, envDatabase}, v.Settings[0])
	require.Equal(t, settingView{"key-file", "", unset, ""}, v.Settings[1])
	require.Equal(t, settingView{"temporal-address", "localhost:7233", fromDefault, ""}, v.Settings[2])
	require.Equal(t, settingView{"namespace", "default", fromDefault, ""}, v.Settings[3])
	require.False(t, v.File.Used)
	require.Equal(t, "DATABASE_URL names another installation", v.File.Why)

	w = standalone(t)
	code, _, stderr := w.ferry(t, "merchant", "list", "--temporal-address", "elsewhere:7233")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "database-url is not set: want --database-url or DATABASE_URL")
	require.Contains(t, stderr, "--temporal-address names another installation")
}

func TestTheSameInstallationKeepsTheFile(t *testing.T) {
	w := standalone(t)
	require.True(t, config(t, w, "--temporal-address", "127.0.0.1:7233").File.Used)
}

func TestTemporalProfiles(t *testing.T) {
	toml := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(toml, []byte(`
[profile.default]
address = "default.example:7233"
[profile.prod]
address = "prod.example:7233"
namespace = "orders"
api_key = "a-key"
`), 0o600))
	w := newWorld(t)
	delete(w.env, envAddress)
	w.env["TEMPORAL_CONFIG_FILE"] = toml
	require.Equal(t, settingView{"temporal-address", "default.example:7233", fromProfile, "default in " + toml}, config(t, w).Settings[2])

	w.env["TEMPORAL_PROFILE"] = "prod"
	require.Equal(t, settingView{"namespace", "orders", fromProfile, "prod in " + toml}, config(t, w).Settings[3])
	w.ferry(t, "merchant", "sync", "--merchant", "acme")
	require.Equal(t, "prod.example:7233", w.options.HostPort)
	require.NotNil(t, w.options.Credentials)
	require.NotNil(t, w.options.ConnectionOptions.TLS)

	// A standalone on this machine is not sent the key of another Temporal.
	w = standalone(t)
	w.env["TEMPORAL_API_KEY"] = "a-key"
	w.ferry(t, "merchant", "sync", "--merchant", "acme")
	require.Equal(t, "127.0.0.1:7233", w.options.HostPort)
	require.Nil(t, w.options.Credentials)

	w.env["TEMPORAL_PROFILE"] = "none"
	w.ledger = newFakeLedger()
	code, _, stderr := w.ferry(t, "merchant", "list")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "Temporal's settings")
}

func TestNothingIsConfigured(t *testing.T) {
	w := newWorld(t)
	for _, k := range []string{envDatabase, envKeyFile, envAddress} {
		delete(w.env, k)
	}
	for _, args := range [][]string{{"merchant", "list"}, {"migrate"}, {"hold", "list"}} {
		code, stdout, stderr := w.ferry(t, args...)
		require.Equal(t, exitUsage, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "ferry: nothing says what to talk to: start standalone on this machine, or set DATABASE_URL, ORDERFERRY_KEY_FILE and TEMPORAL_ADDRESS")
		require.Contains(t, stderr, localfile.In(w.env[localfile.EnvData]))
	}
	require.Equal(t, unset, config(t, w).Settings[0].Source)
}

func TestKeyFileIsMissing(t *testing.T) {
	w := answering(t)
	delete(w.env, envKeyFile)
	code, _, stderr := w.ferry(t, "merchant", "onboard", "--file", "-")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "key-file is not set: want --key-file or ORDERFERRY_KEY_FILE")
}

func TestStandaloneThatDoesNotAnswer(t *testing.T) {
	w := standalone(t)
	file := localfile.In(w.env[localfile.EnvData])
	says := fmt.Sprintf("connection refused (the address is from %s, which a standalone wrote as process %d: does it still run?)", file, os.Getpid())
	w.openErr = errors.New("connection refused")
	for _, args := range [][]string{{"merchant", "list"}, {"migrate", "--no-temporal"}} {
		code, _, stderr := w.ferry(t, args...)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, says)
	}
	code, _, stderr := w.ferry(t, "merchant", "list", "--database-url", "postgres://elsewhere/orderferry")
	require.Equal(t, exitFailed, code)
	require.Equal(t, "ferry: connection refused\n", stderr)
}

func TestConfigShowTable(t *testing.T) {
	w := newWorld(t)
	w.env[localfile.EnvData] = "/nowhere"
	code, stdout, _ := w.ferry(t, "config", "show", "--namespace", "orders")
	require.Zero(t, code)
	matchGolden(t, filepath.Join("testdata", "config-show.table"), stdout)
	code, stdout, _ = w.ferry(t, "config", "show", "--namespace", "orders", "--output", "json")
	require.Zero(t, code)
	matchGolden(t, filepath.Join("testdata", "config-show.json"), stdout)
}

func TestMask(t *testing.T) {
	for address, want := range map[string]string{
		"":                                  "",
		"postgres://ferry@db/orderferry":    "postgres://ferry@db/orderferry",
		"postgres://ferry:s3c@db/o":         "postgres://ferry:xxxxx@db/o",
		"postgres://f:s3c@h1:1,h2:2/o":      "postgres://f:xxxxx@h1:1,h2:2/o",
		"postgres://f:s3c%zz@db/o":          "postgres://xxxxx@db/o",
		"postgres://db/o?password=s3c&a=b":  "postgres://db/o?password=xxxxx&a=b",
		"host=db password=s3c user=f":       "host=db password=xxxxx user=f",
		"host=db password = 's3 c\\'x' u=f": "host=db password = xxxxx u=f",
	} {
		require.Equal(t, want, mask(address))
	}
}
