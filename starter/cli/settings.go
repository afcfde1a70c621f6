package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"orderferry/starter/localfile"
)

// Environment variables, besides Temporal's other ones (TEMPORAL_API_KEY,
// TEMPORAL_TLS..., TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE).
const (
	envDatabase  = "DATABASE_URL"
	envKeyFile   = "ORDERFERRY_KEY_FILE"
	envAddress   = "TEMPORAL_ADDRESS"
	envNamespace = "TEMPORAL_NAMESPACE"
)

// given holds settings that were given as flags.
type given struct{ database, keyFile, address, namespace string }

// origin is the kind of place a setting came from.
type origin string

const (
	fromFlag        origin = "flag"
	fromEnvironment origin = "environment"
	fromProfile     origin = "profile" // of Temporal's own configuration file
	fromFile        origin = "file"    // written by standalone
	fromDefault     origin = "default"
	unset           origin = "unset"
)

// setting is a value and where it came from.
type setting struct {
	Name   string
	Value  string
	Origin origin
	From   string // the flag, the variable, the profile or the file
	env    string // the variable that would set it
}

// settings is the configuration of one run.
type settings struct {
	Database, KeyFile, Address, Namespace setting
	File                                  fileSettings
	profile                               envconfig.ClientConfigProfile
}

// fileSettings is what a standalone on this machine says, and whether it counts.
type fileSettings struct {
	Path  string
	Used  bool
	Why   string // why not, in words
	found localfile.File
}

// settings finds out what to talk to. For each setting a flag goes before the
// environment, and that before a file.
//
// A standalone's file describes one installation as a whole. Where a flag or the
// environment names another database or another Temporal, the file is left
// aside: a ledger of one installation with the workflows of another would do harm.
func (a *app) settings() (settings, error) {
	var s settings
	var err error
	if s.profile, err = envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{EnvLookup: lookup(a.env)}); err != nil {
		return s, usagef("Temporal's settings: %w", err)
	}
	profile := a.profileName()
	chosen := a.env("TEMPORAL_PROFILE") != "" || a.env("TEMPORAL_CONFIG_FILE") != ""

	s.Database = a.typed("database-url", a.given.database, envDatabase)
	s.KeyFile = a.typed("key-file", a.given.keyFile, envKeyFile)
	s.Address = a.typed("temporal-address", a.given.address, envAddress)
	s.Namespace = a.typed("namespace", a.given.namespace, envNamespace)
	if chosen { // by the environment, so it goes before the file
		s.Address.fill(s.profile.Address, fromProfile, profile)
		s.Namespace.fill(s.profile.Namespace, fromProfile, profile)
	}
	s.File = readFile(localfile.Path(a.env), s.Database, s.Address)
	if f := s.File; f.Used {
		s.Database.fill(f.found.DatabaseURL, fromFile, f.Path)
		s.KeyFile.fill(f.found.KeyFile, fromFile, f.Path)
		s.Address.fill(f.found.TemporalAddress, fromFile, f.Path)
		s.Namespace.fill(f.found.Namespace, fromFile, f.Path)
	}
	s.Address.fill(s.profile.Address, fromProfile, profile)
	s.Namespace.fill(s.profile.Namespace, fromProfile, profile)
	s.Address.fill(client.DefaultHostPort, fromDefault, "")
	s.Namespace.fill(client.DefaultNamespace, fromDefault, "")
	return s, nil
}

// typed is a setting from a flag or else from the environment.
func (a *app) typed(flag, value, env string) setting {
	s := setting{Name: flag, Origin: unset, env: env}
	s.fill(value, fromFlag, "--"+flag)
	s.fill(a.env(env), fromEnvironment, env)
	return s
}

// fill gives the setting a value unless it has one.
func (s *setting) fill(value string, o origin, from string) {
	if s.Value == "" && value != "" {
		s.Value, s.Origin, s.From = value, o, from
	}
}

// profileName tells which of Temporal's profiles counts.
func (a *app) profileName() string {
	name, file := a.env("TEMPORAL_PROFILE"), a.env("TEMPORAL_CONFIG_FILE")
	if name == "" {
		name = envconfig.DefaultConfigFileProfile
	}
	if file == "" {
		file = envconfig.DefaultConfigFilePath()
	}
	return name + " in " + file
}

// readFile reads what a standalone wrote and decides whether it counts.
func readFile(path string, database, address setting) fileSettings {
	f := fileSettings{Path: path}
	var err error
	switch f.found, err = localfile.Read(path); {
	case errors.Is(err, fs.ErrNotExist):
		f.Why = "there is none: no standalone runs here"
	case err != nil:
		f.Why = err.Error()
	case other(database, f.found.DatabaseURL):
		f.Why = database.From + " names another installation"
	case other(address, f.found.TemporalAddress):
		f.Why = address.From + " names another installation"
	default:
		f.Used = true
	}
	return f
}

func other(s setting, file string) bool { return s.Value != "" && s.Value != file }

// need returns a setting's value, or says how to set it.
func (s settings) need(v setting) (string, error) {
	if v.Value != "" {
		return v.Value, nil
	}
	if s.Database.Value == "" && s.KeyFile.Value == "" && s.Address.Origin == fromDefault {
		return "", usagef("nothing says what to talk to: start standalone on this machine, or set %s, %s and %s"+
			" (%s: %s; ferry config show tells what is set)", envDatabase, envKeyFile, envAddress, s.File.Path, s.File.Why)
	}
	return "", usagef("%s is not set: want --%s or %s (%s is not used: %s)", v.Name, v.Name, v.env, s.File.Path, s.File.Why)
}

// temporal returns how to reach Temporal.
func (s settings) temporal() (client.Options, error) {
	if s.Address.Origin == fromDefault && s.Database.Value == "" {
		if _, err := s.need(s.Database); err != nil {
			return client.Options{}, err
		}
	}
	if s.Address.Origin == fromFile { // a standalone wants neither keys nor TLS, and shall not be sent any
		return client.Options{HostPort: s.Address.Value, Namespace: s.Namespace.Value}, nil
	}
	p := s.profile
	p.Address, p.Namespace = s.Address.Value, s.Namespace.Value
	o, err := p.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return o, usagef("Temporal's settings: %w", err)
	}
	return o, nil
}

// unreachable adds to a failure where the address came from, when a standalone
// named it: its file outlives a standalone that was killed.
func (s settings) unreachable(v setting, err error) error {
	if v.Origin != fromFile {
		return err
	}
	return fmt.Errorf("%w (the address is from %s, which a standalone wrote as process %d: does it still run?)", err, s.File.Path, s.File.found.PID)
}

// lookup lets envconfig read the environment.
type lookup func(string) string

func (l lookup) LookupEnv(key string) (string, bool) {
	v := l(key)
	return v, v != ""
}

// Environ is asked only for TEMPORAL_GRPC_META_..., whose names can't be known beforehand.
func (l lookup) Environ() []string { return os.Environ() }

var (
	passwordPair = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)`)
	userInfo     = regexp.MustCompile(`://[^/]*@`)
)

const masked = "xxxxx"

// mask hides passwords in a Postgres address, of either form.
func mask(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		address = u.Redacted()
	} else if strings.Contains(address, "://") {
		address = userInfo.ReplaceAllString(address, "://"+masked+"@")
	}
	return passwordPair.ReplaceAllString(address, "${1}"+masked)
}
