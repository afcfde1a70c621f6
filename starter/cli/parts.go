package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"time"

	"go.temporal.io/sdk/client"

	"orderferry/connectors"
	"orderferry/connectors/registry"
	"orderferry/relay"
	"orderferry/starter/rehearsal"
	"orderferry/store"
)

// parts are what the commands act on. Tests put others in their place.
type parts struct {
	migrate    func(ctx context.Context, url string) (before, after int32, err error)
	makeKey    func(path string) (made bool, err error)
	openLedger func(ctx context.Context, url, keyFile string) (ledger, error) // keyFile "": credentials stay sealed
	dialEngine func(ctx context.Context, o client.Options) (engine, error)
	connectors []connectors.Connector
	now        func() time.Time
	login      func() string
}

func realParts() parts {
	return parts{
		migrate: store.Migrate, makeKey: makeKey, openLedger: openLedger, dialEngine: dialTemporal,
		connectors: registry.All(), now: time.Now, login: login,
	}
}

func makeKey(path string) (made bool, err error) {
	_, err = os.Stat(path)
	made = os.IsNotExist(err)
	_, err = store.EnsureKeyring(path)
	return made && err == nil, err
}

func openLedger(ctx context.Context, url, keyFile string) (ledger, error) {
	var k *store.Keyring
	if keyFile != "" {
		var err error
		if k, err = store.OpenKeyring(keyFile); err != nil {
			return nil, fmt.Errorf("%w (ferry migrate makes one where there is none)", err)
		}
	}
	s, err := store.Open(ctx, url, k)
	if err != nil {
		return nil, err // not s: an interface that holds a nil *store.Store is not nil
	}
	return storeLedger{s}, nil
}

// storeLedger is the ledger itself.
type storeLedger struct{ *store.Store }

// StoredVault is the vault of a connection.
func (l storeLedger) StoredVault(c store.Connection) rehearsal.StoredVault { return l.Vault(c) }

// login is the operator's name on this machine; "" when the machine does not tell.
func login() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// ledger is the part of the store that ferry uses.
type ledger interface {
	merchantLedger
	mappingLedger
	orderLedger
	reconcileLedger
	holdLedger
	exportLedger
	inventoryLedger
	alertLedger
	rehearsal.Ledger
	SetPaused(ctx context.Context, m relay.MerchantID, paused bool) error
	SaveMerchant(ctx context.Context, m relay.Merchant, credentials map[relay.ConnectionName]map[string]string) (created bool, err error)
	RehearseMerchant(ctx context.Context, m relay.Merchant, credentials map[relay.ConnectionName]map[string]string) error
	Close()
}

// ledger opens the ledger, without the key to credentials.
func (a *app) ledger(ctx context.Context) (ledger, error) { return a.open(ctx, false) }

// vault opens the ledger together with the key to credentials.
func (a *app) vault(ctx context.Context) (ledger, error) { return a.open(ctx, true) }

func (a *app) open(ctx context.Context, withKey bool) (ledger, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	url, err := s.need(s.Database)
	if err != nil {
		return nil, err
	}
	key := ""
	if withKey {
		if key, err = s.need(s.KeyFile); err != nil {
			return nil, err
		}
	}
	l, err := a.parts.openLedger(ctx, url, key)
	if err != nil {
		return nil, s.unreachable(s.Database, err)
	}
	a.closers = append(a.closers, l.Close)
	return l, nil
}

// engine connects to Temporal.
func (a *app) engine(ctx context.Context) (engine, error) {
	if a.dialled != nil {
		return a.dialled, nil
	}
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	o, err := s.temporal()
	if err != nil {
		return nil, err
	}
	e, err := a.parts.dialEngine(ctx, o)
	if err != nil {
		return nil, s.unreachable(s.Address, fmt.Errorf("reach Temporal at %s: %w", o.HostPort, err))
	}
	a.dialled, a.closers = e, append(a.closers, e.Close)
	return e, nil
}

// mostInput bounds the files that ferry reads.
const mostInput = 32 << 20

// read reads a file, or stdin for "-", and says what to call it in messages.
func (a *app) read(path string) (name string, data []byte, err error) {
	in := a.stdin
	if name = path; path == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return "", nil, &usageError{err}
		}
		defer f.Close()
		in = f
	}
	data, err = io.ReadAll(io.LimitReader(in, mostInput+1))
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > mostInput {
		return "", nil, usagef("%s: want at most %d MiB", name, mostInput>>20)
	}
	return name, data, nil
}
