package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldestMajor is the oldest PostgreSQL that this package starts.
const oldestMajor = 14

// ErrNotInstalled says in one line what to install; Find and Start return it wrapped or as it is.
var ErrNotInstalled = errors.New("PostgreSQL 14 or later is not installed: " +
	"on Debian or Ubuntu `apt-get install postgresql`, with Homebrew `brew install postgresql@17`")

// installation is a folder of server programs that belong together.
type installation struct {
	bin   string
	major int
}

// Find returns the folder that holds postgres, initdb and pg_ctl of the newest usable PostgreSQL on this machine:
// whatever PATH leads to first, then the places where Debian, Red Hat, Homebrew and Postgres.app put it.
// It returns ErrNotInstalled where there is none; it never fetches anything.
func Find() (binDir string, err error) {
	found := installed(context.Background())
	if len(found) == 0 {
		return "", ErrNotInstalled
	}
	return found[0].bin, nil
}

// installed lists the usable installations, the preferred one first.
func installed(ctx context.Context) []installation {
	var found []installation
	for _, bin := range candidates(ctx) {
		inst, err := inspect(ctx, bin)
		if err != nil || slices.ContainsFunc(found, func(f installation) bool { return f.bin == inst.bin }) {
			continue
		}
		found = append(found, inst)
	}
	return found
}

// choose picks the installation that can open data of the given major version, or the preferred one when there is no
// data yet (0). PostgreSQL opens data of its own major version only.
func choose(found []installation, major int) (installation, error) {
	if len(found) == 0 {
		return installation{}, ErrNotInstalled
	}
	if major == 0 {
		return found[0], nil
	}
	for _, inst := range found {
		if inst.major == major {
			return inst, nil
		}
	}
	return installation{}, &VersionError{Data: major, Installed: found[0].major}
}

// A VersionError tells that the data was written by a PostgreSQL that is not installed.
type VersionError struct {
	Data, Installed int // major versions
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the data was written by PostgreSQL %d but PostgreSQL %d is installed: "+
		"install version %d beside it, or move the data over with pg_upgrade", e.Data, e.Installed, e.Data)
}

// candidates lists folders that may hold the programs; many of them don't.
func candidates(ctx context.Context) []string {
	var bins []string
	// PATH often holds links to (or Debian's wrappers around) programs that live elsewhere; only the real folder has
	// all of them, so links are followed to the end.
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
			bins = append(bins, filepath.Dir(real))
		}
	}
	if bin, err := output(ctx, "pg_config", "--bindir"); err == nil {
		bins = append(bins, strings.TrimSpace(bin))
	}
	return append(bins, usualPlaces("/")...)
}

// usualPlaces lists where packagers put the programs, under root, each packager's newest first.
func usualPlaces(root string) []string {
	var bins []string
	for _, pattern := range []string{
		"usr/lib/postgresql/*/bin",                               // Debian, Ubuntu, Alpine
		"usr/pgsql-*/bin",                                        // PostgreSQL's own RPMs
		"opt/homebrew/opt/postgresql*/bin",                       // Homebrew on Apple silicon
		"usr/local/opt/postgresql*/bin",                          // Homebrew on Intel
		"home/linuxbrew/.linuxbrew/opt/postgresql*/bin",          // Homebrew on Linux
		"Applications/Postgres.app/Contents/Versions/[0-9]*/bin", // Postgres.app
		"usr/local/pgsql/bin",                                    // built from source
	} {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			continue // the only possible error is a malformed pattern, and these are constants
		}
		slices.SortStableFunc(matches, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
		bins = append(bins, matches...)
	}
	return bins
}

var digits = regexp.MustCompile(`\d+`)

// numberIn returns the last whole number in a path, which is the major version in every usual place; 0 without one.
func numberIn(path string) int {
	all := digits.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1])
	return n
}

// inspect tells whether bin holds the three programs, and of which major version.
func inspect(ctx context.Context, bin string) (installation, error) {
	bin, err := filepath.EvalSymlinks(bin)
	if err != nil {
		return installation{}, err
	}
	for _, program := range []string{"postgres", "initdb", "pg_ctl"} {
		if _, err := exec.LookPath(filepath.Join(bin, program)); err != nil {
			return installation{}, err
		}
	}
	version, err := output(ctx, filepath.Join(bin, "postgres"), "--version")
	if err != nil {
		return installation{}, err
	}
	major, err := majorOf(version)
	if err != nil {
		return installation{}, err
	}
	if major < oldestMajor {
		return installation{}, fmt.Errorf("PostgreSQL %d in %s is too old", major, bin)
	}
	return installation{bin: bin, major: major}, nil
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// majorOf reads the answer to `postgres --version`, such as "postgres (PostgreSQL) 15.4 (Debian 15.4-1)" or
// "postgres (PostgreSQL) 18beta1".
func majorOf(version string) (int, error) {
	match := versionLine.FindStringSubmatch(version)
	if match == nil {
		return 0, fmt.Errorf("read PostgreSQL's version: %q", version)
	}
	return strconv.Atoi(match[1])
}

// dataMajor returns the major version that wrote data, or 0 if there is no data there.
func dataMajor(data string) (int, error) {
	written, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(written)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", filepath.Join(data, "PG_VERSION"), err)
	}
	return major, nil
}

// output runs a program that only prints something about itself.
func output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output()
	return string(out), err
}
