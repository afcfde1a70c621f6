package csv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors"
)

// Connectors describes the warehouse and the cart on files.
//
// A warehouse is an OrderSink, OrderLookup, Canceller and ShipmentSource, and an
// InventorySource where its profile reads inventory. A cart is an OrderSource,
// CancellationSource and ShipmentSink, and an InventorySink and a CancelSink where
// its profile writes inventory and cancels. All are io.Closers, though one that is
// not closed leaves nothing behind for longer than its timeout.
func Connectors() []connectors.Connector {
	return []connectors.Connector{
		describe("csv", "Warehouse on files", connectors.Warehouse, checkWarehouseProfile, openWarehouse,
			connectors.Setting{Name: "service", Doc: "Ship method for orders whose own names no service."},
			connectors.Setting{Name: "answer_within", Default: "24h", Check: connectors.DurationBetween(time.Minute, 30*24*time.Hour),
				Doc: "Time in which the warehouse acknowledges an order or ships it; after it people are called. The order is never written again for that."},
			connectors.Setting{Name: "quantity_means", Default: string(connectors.NetOfOrders), Check: connectors.OneOf(string(connectors.NetOfOrders), string(connectors.OnHand)),
				Doc: "Whether stock figures already leave out accepted, unshipped orders: available or on_hand."},
		),
		describe("csv-cart", "Cart on files", connectors.Cart, checkCartProfile, openCart),
	}
}

func describe(name, title string, role connectors.Role, checkProfile func(string) error, open func(connectors.Config) (connectors.Connection, error), more ...connectors.Setting) connectors.Connector {
	return connectors.Connector{
		Name: name, Title: title, Role: role, CheckBaseURL: checkAddress,
		Settings: append([]connectors.Setting{
			{Name: "profile", Default: "standard", Check: checkProfile,
				Doc: "What the files look like: " + strings.Join(profileNames(), ", ") + ", or a profile's own text as docs/csv.md describes it."},
			{Name: "in_folder", Default: "in", Check: checkFolder, Parts: true, Finds: true, Doc: "Folder of files towards the warehouse, below the address."},
			{Name: "out_folder", Default: "out", Check: checkFolder, Doc: "Folder of files from the warehouse, below the address."},
			{Name: "sent_folder", Default: "sent", Check: checkFolder, Finds: true,
				Doc: "Folder, below the address, of copies of what we wrote; made when missing. Nobody else may write there."},
			{Name: "keep_files", Default: defaultKept, Check: checkKept,
				Doc: "Days for which files that were read, and copies of what we wrote, are kept, by their own times: 90 or more; 0 keeps them for ever."},
			{Name: "settle", Default: "10s", Check: connectors.DurationBetween(0, time.Hour),
				Doc: "How long the size of a file must stay the same before it is read; 0s where files are renamed into place."},
			{Name: "user", Parts: true, Finds: true, Doc: "Account on the SFTP server."},
			{Name: "host_key", Check: checkPins,
				Doc: "Fingerprint (SHA256:...) or public key of the SFTP server, several separated by commas; needed for sftp addresses."},
			{Name: "timeout", Default: "30s", Check: connectors.DurationBetween(time.Second, 10*time.Minute), Doc: "Longest wait for the SFTP server."},
			{Name: "sessions", Default: "4", Check: connectors.IntBetween(1, 16), Doc: "Most sessions with the SFTP server at once."},
		}, more...),
		Credentials: []connectors.Setting{
			{Name: "password", Doc: "Password on the SFTP server."},
			{Name: "private_key", Doc: "Private key for the SFTP server, in PEM form as ssh-keygen writes it."},
			{Name: "passphrase", Doc: "Passphrase of the private key, where it has one."},
		},
		Open: open,
	}
}

func checkFolder(s string) error {
	if s != path.Clean(s) || s == "." || path.IsAbs(s) || strings.HasPrefix(s, "..") {
		return fmt.Errorf("%q: want a folder below the address, such as in or acme/in", clip(s, 60))
	}
	return nil
}

func checkWarehouseProfile(s string) error {
	p, err := parseProfile(s)
	switch {
	case err != nil:
		return err
	case p.orders == nil || p.orders.write == "":
		return errors.New("a warehouse's profile writes orders: want orders with write")
	case p.shipments == nil || len(p.shipments.read) == 0:
		return errors.New("a warehouse's profile reads shipments: want shipments with read")
	}
	return nil
}

func checkCartProfile(s string) error {
	p, err := parseProfile(s)
	switch {
	case err != nil:
		return err
	case p.orders == nil || len(p.orders.read) == 0:
		return errors.New("a cart's profile reads orders: want orders with read")
	case p.shipments == nil || p.shipments.write == "":
		return errors.New("a cart's profile writes shipments: want shipments with write")
	}
	return nil
}

// base is what carts and warehouses have in common.
type base struct {
	profile *profile
	place   place
	folders []string
	inboxes []*inbox
}

func newBase(connector string, cfg connectors.Config) (*base, error) {
	p, err := parseProfile(cfg.Settings["profile"])
	if err != nil {
		return nil, fmt.Errorf("open csv: settings.profile: %w", err)
	}
	for _, folder := range []string{"in_folder", "out_folder"} {
		// The copies are the proof of what was handed over: the partner must not write among them.
		if sent, theirs := cfg.Settings["sent_folder"]+"/", cfg.Settings[folder]+"/"; strings.HasPrefix(sent, theirs) || strings.HasPrefix(theirs, sent) {
			return nil, fmt.Errorf("open csv: settings.sent_folder: want a folder beside %s, not in it or around it", folder)
		}
	}
	at, err := newPlace(cfg)
	if err != nil {
		return nil, fmt.Errorf("open csv: %w", err)
	}
	return &base{profile: p, place: watch(at, cfg, connector), folders: []string{cfg.Settings["in_folder"], cfg.Settings["out_folder"]}}, nil
}

func newPlace(cfg connectors.Config) (place, error) {
	u, err := parseAddress(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	if u.Scheme == "file" {
		return &local{dir: u.Path}, nil
	}
	if cfg.Vault == nil {
		return nil, errors.New("no vault to read the credentials from")
	}
	v := cfg.Settings
	pins, err := parsePins(v["host_key"])
	if err != nil {
		return nil, fmt.Errorf("settings.host_key: %w", err)
	}
	timeout, err := time.ParseDuration(v["timeout"])
	if err != nil {
		return nil, fmt.Errorf("settings.timeout: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	dir := u.Path
	if rest, home := strings.CutPrefix(dir, "/~"); home && (rest == "" || rest[0] == '/') {
		dir = strings.TrimPrefix(rest, "/") // relative paths are below the account's home
	}
	return &remote{
		address: net.JoinHostPort(u.Hostname(), port), dir: dir, user: v["user"], pins: pins, vault: cfg.Vault, timeout: timeout,
		slots: make(chan struct{}, max(v.Int("sessions"), 1)),
	}, nil
}

// inbox makes an inbox of those layouts that files are read by.
func (b *base) inbox(cfg connectors.Config, folder string, layouts ...*layout) (*inbox, error) {
	settle, err := time.ParseDuration(cfg.Settings["settle"])
	if err != nil {
		return nil, fmt.Errorf("open csv: settings.settle: %w", err)
	}
	layouts = slices.DeleteFunc(layouts, func(l *layout) bool { return l == nil || len(l.read) == 0 })
	days, err := strconv.Atoi(cmp.Or(cfg.Settings["keep_files"], defaultKept)) // connections of before the setting have none
	if err != nil {
		return nil, fmt.Errorf("open csv: settings.keep_files: %w", err)
	}
	in := &inbox{place: b.place, folder: folder, layouts: layouts, settle: settle, now: time.Now}
	in.janitor.keep = time.Duration(days) * 24 * time.Hour
	in.janitor.attics = []attic{{dir: path.Join(folder, archiveFolder), mine: func(name string) bool { return in.layoutOf(named(name)) != nil }}}
	b.inboxes = append(b.inboxes, in)
	return in, nil
}

// Close ends what is open to the place.
func (b *base) Close() error { return b.place.Close() }

// Check visits the folders. It changes nothing.
func (b *base) Check(ctx context.Context) (connectors.Report, error) {
	report := connectors.Report{Account: b.place.String()}
	err := b.place.use(ctx, func(f files) error {
		for _, dir := range b.folders {
			all, err := f.list(dir)
			if errors.Is(err, fs.ErrNotExist) {
				report.Missing = append(report.Missing, fmt.Sprintf("there is no folder %s: make it, or name another in the settings", dir))
				continue
			}
			if err != nil {
				return err
			}
			waiting, strangers := 0, 0
			for _, file := range all {
				switch {
				case !slices.ContainsFunc(b.inboxes, func(in *inbox) bool { return in.folder == dir }):
				case slices.ContainsFunc(b.inboxes, func(in *inbox) bool { return in.folder == dir && in.layoutOf(file.name) != nil }):
					waiting++
				default:
					strangers++
				}
			}
			report.Details = append(report.Details, fmt.Sprintf("folder %s: %d files, of which %d are to be read and %d have names that no pattern of the profile has", dir, len(all), waiting, strangers))
		}
		return nil
	})
	return report, failure("check connection", b.place, err)
}

func openWarehouse(cfg connectors.Config) (connectors.Connection, error) {
	b, err := newBase("csv", cfg)
	if err != nil {
		return nil, err
	}
	answer, err := time.ParseDuration(cfg.Settings["answer_within"])
	if err != nil {
		return nil, fmt.Errorf("open csv: settings.answer_within: %w", err)
	}
	in, out := cfg.Settings["in_folder"], cfg.Settings["out_folder"]
	w := &warehouse{base: b, service: cfg.Settings["service"], answer: answer, outbox: &outbox{b.place, in, cfg.Settings["sent_folder"]}}
	if w.inbox, err = b.inbox(cfg, out, b.profile.acknowledgements, b.profile.shipments); err != nil {
		return nil, err
	}
	w.inbox.janitor.attics = append(w.inbox.janitor.attics, attic{dir: path.Join(w.outbox.copies, cancelsGroup)})
	if b.profile.inventory == nil || len(b.profile.inventory.read) == 0 {
		return w, nil
	}
	s := &stock{meaning: connectors.StockMeaning(cfg.Settings["quantity_means"])}
	if s.inbox, err = b.inbox(cfg, out, b.profile.inventory); err != nil {
		return nil, err
	}
	return &stockedWarehouse{w, s}, nil
}

func openCart(cfg connectors.Config) (connectors.Connection, error) {
	b, err := newBase("csv-cart", cfg)
	if err != nil {
		return nil, err
	}
	in, out := cfg.Settings["in_folder"], cfg.Settings["out_folder"]
	c := &cart{base: b, outbox: &outbox{b.place, out, cfg.Settings["sent_folder"]}}
	if c.orders, err = b.inbox(cfg, in, b.profile.orders); err != nil {
		return nil, err
	}
	if c.cancels, err = b.inbox(cfg, in, b.profile.cancels); err != nil {
		return nil, err
	}
	c.orders.janitor.attics = append(c.orders.janitor.attics, attic{dir: c.outbox.copies})
	c.orders.also = c.cancels.layouts
	c.cancels.behind = c.orders.layouts
	takesStock := b.profile.inventory != nil && b.profile.inventory.write != ""
	takesCancels := b.profile.cancels != nil && b.profile.cancels.write != ""
	switch {
	case takesStock && takesCancels:
		return &struct {
			*cart
			connectors.InventorySink
			connectors.CancelSink
		}{c, stockSink{c}, cancels{c}}, nil
	case takesStock:
		return &struct {
			*cart
			connectors.InventorySink
		}{c, stockSink{c}}, nil
	case takesCancels:
		return &struct {
			*cart
			connectors.CancelSink
		}{c, cancels{c}}, nil
	}
	return c, nil
}
