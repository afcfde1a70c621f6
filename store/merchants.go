package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// ConnectionID is the ledger's number of a connection.
type ConnectionID int64

// Connection is a stored connection.
type Connection struct {
	ID       ConnectionID
	Merchant relay.MerchantID
	Role     string // "cart" or "warehouse"
	relay.Connection
	StoppedAt     time.Time // zero while it works
	StoppedReason string
}

// Merchant is a stored merchant.
type Merchant struct {
	relay.Merchant
	SettingsVersion int64
	MappingsVersion int64
	PausedAt        time.Time    // zero while it runs
	PauseAskedAt    time.Time    // of the last pause or resume that its workflow was asked for; zero: none was
	LookedAt        time.Time    // when its alerts were last looked after: of one that is new, when it came
	Connections     []Connection // carts by name, then the warehouse; removed ones are left out
}

// StoredWarehouse returns the stored warehouse connection.
func (m Merchant) StoredWarehouse() Connection {
	for _, c := range m.Connections {
		if c.Role == "warehouse" {
			return c
		}
	}
	return Connection{} // SaveMerchant always writes one
}

// SaveMerchant writes a merchant and its connections, new or changed, seals the
// credentials, and lifts the stop of connections that are given other credentials,
// or another way to be asked. A connection that is no longer named is marked removed;
// its orders stay.
func (s *Store) SaveMerchant(ctx context.Context, m relay.Merchant, credentials map[relay.ConnectionName]map[string]string) (created bool, err error) {
	err = s.begin(ctx, func(tx pgx.Tx) error {
		created, err = s.saveMerchant(ctx, tx, m, credentials)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("save merchant %s: %w", m.ID, err)
	}
	return created, nil
}

func (s *Store) saveMerchant(ctx context.Context, tx pgx.Tx, m relay.Merchant, credentials map[relay.ConnectionName]map[string]string) (created bool, err error) {
	err = tx.QueryRow(ctx, `
		insert into merchants (id, name, resend_hour, resend_zone, unaliased) values ($1, $2, $3, $4, $5)
		on conflict (id) do update set name = excluded.name, resend_hour = excluded.resend_hour, resend_zone = excluded.resend_zone,
			unaliased = excluded.unaliased, settings_version = merchants.settings_version + 1, updated_at = now()
		returning settings_version = 1`,
		m.ID, m.Name, m.Resend.Hour, m.Resend.Zone, m.Unaliased).Scan(&created)
	if err != nil {
		return false, err
	}
	names := []string{string(m.Warehouse.Name)}
	for _, c := range m.Carts {
		names = append(names, string(c.Name))
	}
	if err := refuseStranding(ctx, tx, m, names); err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, `
		update connections set removed_at = now() where merchant_id = $1 and name <> all($2) and removed_at is null`, m.ID, names); err != nil {
		return false, err
	}
	if err := s.saveAlerts(ctx, tx, m, credentials[AlertsSecret]); err != nil {
		return false, err
	}
	for _, c := range m.Carts {
		if err := s.saveConnection(ctx, tx, m.ID, "cart", c, credentials[c.Name]); err != nil {
			return false, err
		}
	}
	return created, s.saveConnection(ctx, tx, m.ID, "warehouse", m.Warehouse, credentials[m.Warehouse.Name])
}

// refuseStranding refuses to take a connection away, or to change its mode,
// while orders are under way on it: nobody would follow them any more. Nor may
// the warehouse's address change, or a setting by which orders are found, while an
// order may or may not be there: it would be looked for in the wrong place, and sent
// twice (promise 1). A cart whose orders go into a test, and still do, may become a
// test itself: its mode only says what its account is for.
func refuseStranding(ctx context.Context, tx pgx.Tx, m relay.Merchant, names []string) error {
	next := map[relay.ConnectionName]relay.Connection{m.Warehouse.Name: m.Warehouse}
	for _, c := range m.Carts {
		next[c.Name] = c
	}
	rows, err := tx.Query(ctx, `
		select c.name, c.mode, c.base_url, c.settings,
			c.role = 'cart' and exists (select from connections w where w.merchant_id = c.merchant_id and w.role = 'warehouse' and w.removed_at is null and w.mode = 'test'),
			count(*),
			count(*) filter (where exists (select from submissions s where s.order_id = o.id and s.warehouse_id = c.id and s.state in ('open', 'in_doubt')))
		from connections c join orders o on o.cart_id = c.id or o.warehouse_id = c.id
		where c.merchant_id = $1 and c.removed_at is null
			and (o.state in ('submitting', 'in_doubt', 'at_warehouse', 'cancel_requested', 'shipped') or (o.state = 'held' and o.warehouse_order_id is not null)
				or (o.state in ('new', 'held') and (o.cart_id = c.id
					or exists (select from submissions s where s.order_id = o.id and s.warehouse_id = c.id and s.state in ('open', 'in_doubt')))))
		group by c.id`, m.ID)
	if err != nil {
		return err
	}
	var name relay.ConnectionName
	var mode relay.Mode
	var address string
	var settings map[string]string
	var besideTest bool // a cart beside a warehouse that is a test
	var n, doubtful int
	var refused error
	_, err = pgx.ForEachRow(rows, []any{&name, &mode, &address, &settings, &besideTest, &n, &doubtful}, func() error {
		was := settings
		settings = nil // else the next row is read into the same map
		switch now, kept := next[name]; {
		case !slices.Contains(names, string(name)):
			refused = errors.Join(refused, fmt.Errorf("connection %s can't be taken away: %s", name, underWay(m.ID, n)))
		case kept && now.Mode != mode && !(besideTest && now.Mode == relay.ModeTest && m.Warehouse.Mode == relay.ModeTest):
			refused = errors.Join(refused, fmt.Errorf("connection %s can't change from mode %s to %s: %s", name, mode, now.Mode, underWay(m.ID, n)))
		case kept && now.BaseURL != address && doubtful > 0:
			refused = errors.Join(refused, fmt.Errorf("connection %s can't change its base_url: %s being sent or looked for there; wait until each is settled, ferry order list --merchant %s --state submitting,in_doubt,held tells how they stand", name, manyAre(doubtful), m.ID))
		case kept && doubtful > 0:
			for _, f := range now.Finders {
				if now.Settings[f] != was[f] {
					refused = errors.Join(refused, fmt.Errorf("connection %s can't change its settings.%s: %s being sent or looked for by it; wait until each is settled, ferry order list --merchant %s --state submitting,in_doubt,held tells how they stand", name, f, manyAre(doubtful), m.ID))
				}
			}
		}
		return nil
	})
	return errors.Join(err, refused)
}

// underWay says what keeps a connection as it is, and what to do.
func underWay(m relay.MerchantID, n int) string {
	return fmt.Sprintf("%s under way on it; ferry order list --merchant %s shows what is: wait for their end, or cancel them", manyAre(n), m)
}

func manyAre(n int) string {
	if n == 1 {
		return "1 order is"
	}
	return fmt.Sprintf("%d orders are", n)
}

func (s *Store) saveConnection(ctx context.Context, tx pgx.Tx, merchant relay.MerchantID, role string, c relay.Connection, credentials map[string]string) error {
	// An OAuth connection rotates its tokens: values that the merchant's file does
	// not name, or names unchanged since they were last read from it, must not undo that.
	merged, same, err := s.mergeCredentials(ctx, tx, merchant, c.Name, credentials)
	if err != nil {
		return err
	}
	sealed, err := s.keyring.seal(string(merchant), string(c.Name), merged)
	if err != nil {
		return err
	}
	// A stop outlasts what changes nothing for the vendor: a file that is applied every
	// half an hour would have it refuse the same credentials until it locks us out.
	tag, err := tx.Exec(ctx, `
		insert into connections as c (merchant_id, name, role, connector, base_url, mode, settings, schedule, credentials, rules)
		values ($1, $2, $3, $4, $5, $6, $7, coalesce($8::jsonb, '{}'), $9, $10)
		on conflict (merchant_id, name) do update set base_url = excluded.base_url, mode = excluded.mode, settings = excluded.settings,
			schedule = excluded.schedule, credentials = excluded.credentials, rules = excluded.rules, removed_at = null,
			(stopped_at, stopped_reason) = (
				select c.stopped_at, c.stopped_reason where $11 and (c.base_url, c.mode, c.settings) = (excluded.base_url, excluded.mode, excluded.settings))
		where c.role = excluded.role and c.connector = excluded.connector`,
		merchant, c.Name, role, c.Connector, c.BaseURL, c.Mode, c.Settings, c.Schedule, sealed, c.Rules, same)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("connection %s was another kind of system before, and its orders still refer to it: give the new one another name", c.Name)
	}
	return nil
}

// onboarded keeps, beside the credentials in use, a copy of what the merchant's
// file last said, so that onboarding the same file again keeps rotated tokens.
const onboarded = "onboarded:"

// mergeCredentials returns what a connection is to have, and whether that is what
// its file said last.
func (s *Store) mergeCredentials(ctx context.Context, tx pgx.Tx, merchant relay.MerchantID, name relay.ConnectionName, given map[string]string) (merged map[string]string, same bool, err error) {
	// In turn with Rotate: a token that is being refreshed just now would undo what is saved here.
	_, err = tx.Exec(ctx, `select pg_advisory_xact_lock($1, id::int) from connections where merchant_id = $2 and name = $3`, vaultLocks, merchant, name)
	if err != nil {
		return nil, false, err
	}
	var sealed []byte
	err = tx.QueryRow(ctx, `select credentials from connections where merchant_id = $1 and name = $2 for update`, merchant, name).Scan(&sealed)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, false, err
	}
	var old map[string]string
	if err == nil {
		// A key file that no longer fits is no reason to refuse new credentials.
		old, _ = s.keyring.open(string(merchant), string(name), sealed)
	}
	merged, same = make(map[string]string, 2*len(given)), len(old) > 0
	for k, v := range given {
		merged[k], merged[onboarded+k] = v, v
		same = same && old[onboarded+k] == v
	}
	if same {
		maps.Copy(merged, old)
	}
	return merged, same, nil
}

// Merchant reads a merchant. ErrNotFound when there is none.
func (s *Store) Merchant(ctx context.Context, id relay.MerchantID) (Merchant, error) {
	list, err := s.merchants(ctx, &id)
	if err != nil {
		return Merchant{}, err
	}
	if len(list) == 0 {
		return Merchant{}, fmt.Errorf("merchant %s: %w", id, ErrNotFound)
	}
	return list[0], nil
}

// Merchants reads all merchants, by id.
func (s *Store) Merchants(ctx context.Context) ([]Merchant, error) { return s.merchants(ctx, nil) }

func (s *Store) merchants(ctx context.Context, id *relay.MerchantID) ([]Merchant, error) {
	rows, err := s.pool.Query(ctx, `
		select m.id, m.name, m.resend_hour, m.resend_zone, m.unaliased, m.alerts, m.settings_version, m.aliases_version, m.paused_at, m.pause_asked_at, m.alerts_read_at,
			c.id, c.name, c.role, c.connector, c.base_url, c.mode, c.settings, c.schedule, c.rules, c.stopped_at, coalesce(c.stopped_reason, '')
		from merchants m join connections c on c.merchant_id = m.id and c.removed_at is null
		where $1::text is null or m.id = $1
		order by m.id, c.role, c.name`, id)
	if err != nil {
		return nil, fmt.Errorf("read merchants: %w", err)
	}
	defer rows.Close()
	var list []Merchant
	for rows.Next() {
		var m Merchant
		var c Connection
		var schedule []byte
		var stopped, paused, asked *time.Time
		if err := rows.Scan(&m.ID, &m.Name, &m.Resend.Hour, &m.Resend.Zone, &m.Unaliased, &m.Alerts, &m.SettingsVersion, &m.MappingsVersion, &paused, &asked, &m.LookedAt,
			&c.ID, &c.Name, &c.Role, &c.Connector, &c.BaseURL, &c.Mode, &c.Settings, &schedule, &c.Rules, &stopped, &c.StoppedReason); err != nil {
			return nil, fmt.Errorf("read merchants: %w", err)
		}
		if err := json.Unmarshal(schedule, &c.Schedule); err != nil {
			return nil, fmt.Errorf("read merchant %s: schedule of %s: %w", m.ID, c.Name, err)
		}
		m.PausedAt, m.PauseAskedAt, c.Merchant, c.StoppedAt = fromNull(paused), fromNull(asked), m.ID, fromNull(stopped)
		if n := len(list); n == 0 || list[n-1].ID != m.ID {
			list = append(list, m)
		}
		last := &list[len(list)-1]
		last.Connections = append(last.Connections, c)
		if c.Role == "warehouse" {
			last.Merchant.Warehouse = c.Connection
		} else {
			last.Carts = append(last.Carts, c.Connection)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read merchants: %w", err)
	}
	return list, nil
}

// Connection returns the named connection of m.
func (m Merchant) Connection(name relay.ConnectionName) (Connection, bool) {
	i := slices.IndexFunc(m.Connections, func(c Connection) bool { return c.Name == name })
	if i < 0 {
		return Connection{}, false
	}
	return m.Connections[i], true
}

// StopConnection marks a connection whose credentials the vendor refuses: no
// job uses it until it is onboarded with others or resumed. The first reason is kept.
// settings is the version of the merchant's settings with which the vendor was asked:
// when others stand now, the refusal says nothing of their credentials.
func (s *Store) StopConnection(ctx context.Context, id ConnectionID, settings int64, reason string) error {
	_, err := s.pool.Exec(ctx, `
		with m as (
			select from merchants where id = (select merchant_id from connections where id = $1) and settings_version = $2 for share)
		update connections set stopped_at = now(), stopped_reason = $3 where id = $1 and stopped_at is null and exists (select from m)`, id, settings, reason)
	if err != nil {
		return fmt.Errorf("stop connection: %w", err)
	}
	return nil
}

// ResumeConnections lifts the stop of a merchant's connection, or of all when none is named.
func (s *Store) ResumeConnections(ctx context.Context, merchant relay.MerchantID, name relay.ConnectionName) error {
	_, err := s.pool.Exec(ctx, `
		update connections set stopped_at = null, stopped_reason = null where merchant_id = $1 and $2 in ('', name) and stopped_at is not null`, merchant, string(name))
	if err != nil {
		return fmt.Errorf("resume connections: %w", err)
	}
	return nil
}

// SetPaused pauses a merchant or lets it run again.
func (s *Store) SetPaused(ctx context.Context, merchant relay.MerchantID, paused bool) error {
	_, err := s.setPaused(ctx, merchant, paused, nil)
	return err
}

// SetPausedAsked does as SetPaused what was asked for at that time. stands is
// false, and nothing changed, when one that was asked for later is written already.
func (s *Store) SetPausedAsked(ctx context.Context, merchant relay.MerchantID, paused bool, asked time.Time) (stands bool, err error) {
	return s.setPaused(ctx, merchant, paused, nullTime(asked))
}

func (s *Store) setPaused(ctx context.Context, merchant relay.MerchantID, paused bool, asked *time.Time) (bool, error) {
	tag, err := s.pool.Exec(ctx, `
		update merchants set paused_at = case when $2 then coalesce(paused_at, now()) end, pause_asked_at = coalesce($3, pause_asked_at), updated_at = now(),
			resumed_at = case when not $2 and paused_at is not null then now() else resumed_at end
		where id = $1 and ($3::timestamptz is null or pause_asked_at is null or pause_asked_at <= $3)`, merchant, paused, asked)
	if err != nil {
		return false, fmt.Errorf("pause %s: %w", merchant, err)
	}
	return tag.RowsAffected() > 0, nil
}

// Vault opens and rotates one connection's credentials.
type Vault struct {
	s        *Store
	id       ConnectionID
	merchant relay.MerchantID
	name     relay.ConnectionName
}

// Vault returns the vault of a connection.
func (s *Store) Vault(c Connection) *Vault {
	return &Vault{s: s, id: c.ID, merchant: c.Merchant, name: c.Name}
}

// Read returns the credentials in use.
func (v *Vault) Read(ctx context.Context) (map[string]string, error) {
	all, err := v.read(ctx, v.s.pool)
	if err != nil {
		return nil, err
	}
	return inUse(all), nil
}

func (v *Vault) read(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (map[string]string, error) {
	var sealed []byte
	if err := q.QueryRow(ctx, `select credentials from connections where id = $1`, v.id).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("read the credentials of %s/%s: %w", v.merchant, v.name, err)
	}
	return v.s.keyring.open(string(v.merchant), string(v.name), sealed)
}

func inUse(all map[string]string) map[string]string {
	out := make(map[string]string, len(all))
	for k, val := range all {
		if !strings.HasPrefix(k, onboarded) {
			out[k] = val
		}
	}
	return out
}

// vaultLocks is the advisory lock space of Rotate: "vlt" in ASCII.
const vaultLocks = 0x766c74

// Rotate replaces the credentials. A session-level advisory lock serialises
// rotations over all workers; no transaction is open while next talks to the
// vendor. What next returned is stored even when ctx ends meanwhile: the vendor
// has already spent the old token.
func (v *Vault) Rotate(ctx context.Context, next func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error) {
	conn, err := v.s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("rotate the credentials of %s/%s: %w", v.merchant, v.name, err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `select pg_advisory_lock($1, $2)`, vaultLocks, int32(v.id)); err != nil {
		return nil, fmt.Errorf("rotate the credentials of %s/%s: %w", v.merchant, v.name, err)
	}
	after := context.WithoutCancel(ctx)
	defer func() {
		if _, err := conn.Exec(after, `select pg_advisory_unlock($1, $2)`, vaultLocks, int32(v.id)); err != nil {
			conn.Conn().Close(after) // the lock goes with its session
		}
	}()
	// By the same connection: with every other one taken by those who wait for
	// this lock, the pool would never give us a second.
	old, err := v.read(ctx, conn)
	if err != nil {
		return nil, err
	}
	fresh, err := next(ctx, inUse(old))
	if err != nil {
		return nil, err
	}
	if maps.Equal(fresh, inUse(old)) {
		return fresh, nil
	}
	all := maps.Clone(old)
	maps.DeleteFunc(all, func(k, _ string) bool { return !strings.HasPrefix(k, onboarded) })
	maps.Copy(all, fresh)
	sealed, err := v.s.keyring.seal(string(v.merchant), string(v.name), all)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(after, `update connections set credentials = $2 where id = $1`, v.id, sealed); err != nil {
		return nil, fmt.Errorf("store the rotated credentials of %s/%s: %w", v.merchant, v.name, err)
	}
	return inUse(all), nil
}
