package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// ErrMappingsChanged tells that aliases or kits were edited since they were read.
var ErrMappingsChanged = errors.New("the merchant's aliases or kits changed meanwhile")

// MappingEdit is an edit of a merchant's aliases or kits.
type MappingEdit[M relay.Alias | relay.Kit] struct {
	Set     []M  // a SKU of a cart at most once
	Remove  []M  // by SKU and cart; what the SKU stands for does not matter
	Replace bool // and remove all that are not set
	Actor   string
}

// MappingCounts counts what an edit of aliases or kits changed, or would change.
type MappingCounts struct {
	Added, Changed, Removed int
	Unchanged               int   // were set as they are, or removed though they are not there
	Version                 int64 // of the merchant's mappings afterwards
}

func (c *MappingCounts) changes() int { return c.Added + c.Changed + c.Removed }

// MappingPreview is what an edit would change.
type MappingPreview struct {
	MappingCounts
	Changes []MappingChange // the first of them, by SKU and cart, without version, time and actor
}

// MappingKind is what is mapped.
type MappingKind string

// The kinds of mappings.
const (
	AliasMapping MappingKind = "alias"
	KitMapping   MappingKind = "kit"
)

// MappingChange is a change of one alias or kit.
type MappingChange struct {
	Kind MappingKind
	Cart relay.ConnectionName // "" for all carts
	SKU  relay.SKU
	// Before and After are an item code, or what a kit holds, as in "2 x CUP, 1 x
	// BOX": "" where there was none, and where it was removed.
	Before, After string
	Version       int64 // that it brought
	At            time.Time
	Actor         string
}

// Change is "added", "changed" or "removed".
func (c MappingChange) Change() string {
	switch {
	case c.Before == "":
		return "added"
	case c.After == "":
		return "removed"
	}
	return "changed"
}

// editMappings runs an edit in one transaction, and raises the version of the
// mappings by one when it changed anything. One edit of a merchant runs at a time,
// and no order is claimed meanwhile (see Claim).
func (s *Store) editMappings(ctx context.Context, merchant relay.MerchantID, edit func(tx pgx.Tx, version int64) (MappingCounts, error)) (MappingCounts, error) {
	var out MappingCounts
	err := s.begin(ctx, func(tx pgx.Tx) error {
		if err := joinWhole(ctx, tx); err != nil {
			return err
		}
		var version int64
		err := tx.QueryRow(ctx, `select aliases_version from merchants where id = $1 for no key update`, merchant).Scan(&version)
		if err != nil {
			return notFound(err)
		}
		if out, err = edit(tx, version+1); err != nil {
			return err
		}
		if out.Version = version; out.changes() == 0 {
			return nil
		}
		out.Version++
		_, err = tx.Exec(ctx, `update merchants set aliases_version = $2 where id = $1`, merchant, out.Version)
		return err
	})
	if err != nil {
		return MappingCounts{}, err
	}
	return out, nil
}

// joinWhole has the transaction's joins read either side once. Statistics that are older
// than the last import tell that a merchant has next to no mappings; by them each row is
// compared with all others, which takes minutes where this takes a second.
func joinWhole(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `set local enable_nestloop = off`)
	return err
}

// previewMappings looks at what an edit would do, at one moment and without a lock.
func (s *Store) previewMappings(ctx context.Context, merchant relay.MerchantID, look func(tx pgx.Tx) (MappingPreview, error)) (MappingPreview, error) {
	var out MappingPreview
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		if err := joinWhole(ctx, tx); err != nil {
			return err
		}
		var version int64
		err := tx.QueryRow(ctx, `select aliases_version from merchants where id = $1`, merchant).Scan(&version)
		if err != nil {
			return notFound(err)
		}
		if out, err = look(tx); err != nil {
			return err
		}
		if out.Version = version; out.changes() > 0 {
			out.Version++
		}
		return nil
	})
	if err != nil {
		return MappingPreview{}, err
	}
	return out, nil
}

// Mappings reads a merchant's aliases and kits, as they are at one moment; the
// merchant's rules are added by relay.Mappings.Under. ErrNotFound when there is
// no such merchant.
func (s *Store) Mappings(ctx context.Context, merchant relay.MerchantID) (relay.Mappings, error) {
	var out relay.Mappings
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		if err := joinWhole(ctx, tx); err != nil {
			return err
		}
		var version int64
		if err := tx.QueryRow(ctx, `select aliases_version from merchants where id = $1`, merchant).Scan(&version); err != nil {
			return notFound(err)
		}
		var aliases []relay.Alias
		if err := eachAlias(ctx, tx, merchant, func(a relay.Alias) error { aliases = append(aliases, a); return nil }); err != nil {
			return err
		}
		kits, err := readKits(ctx, tx, merchant)
		if err != nil {
			return err
		}
		out = relay.NewMappings(aliases, kits)
		out.Version = version
		return nil
	})
	if err != nil {
		return relay.Mappings{}, fmt.Errorf("read mappings of %s: %w", merchant, err)
	}
	return out, nil
}

// MappingQuery says which changes of mappings to list. Zero fields do not filter.
type MappingQuery struct {
	Merchant relay.MerchantID
	Kind     MappingKind
	SKU      relay.SKU
	Version  int64
}

// MappingHistory lists changes of mappings, the latest first and those of one
// version by SKU and cart.
func (s *Store) MappingHistory(ctx context.Context, q MappingQuery, limit int) ([]MappingChange, error) {
	rows, err := s.pool.Query(ctx, `
		select kind, cart, sku, coalesce(before, ''), coalesce(after, ''), version, at, actor from mapping_changes
		where merchant_id = $1 and $2::text in ('', kind) and $3::text in ('', sku) and $4::bigint in (0, version)
		order by version desc, sku, cart, kind limit $5`, q.Merchant, string(q.Kind), strings.TrimSpace(string(q.SKU)), q.Version, limit)
	if err != nil {
		return nil, fmt.Errorf("read changes of mappings of %s: %w", q.Merchant, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[MappingChange])
}

// MappingVersion is what brought about one version of a merchant's mappings.
type MappingVersion struct {
	Version int64       `json:"version"`
	Kind    MappingKind `json:"kind"`    // an edit is of aliases or of kits
	Changes int64       `json:"changes"` // of so many of them
	At      time.Time   `json:"at"`
	Actor   string      `json:"actor"`
}

// MappingVersions tells what brought about versions of a merchant's mappings, the
// earliest first. Of 0, with which a merchant begins, and of versions that are
// older than the history of mappings it tells nothing.
func (s *Store) MappingVersions(ctx context.Context, merchant relay.MerchantID, versions []int64) ([]MappingVersion, error) {
	rows, err := s.pool.Query(ctx, `
		select version, min(kind), count(*), min(at), min(actor) from mapping_changes
		where merchant_id = $1 and version = any($2) group by version order by version`, merchant, versions)
	if err != nil {
		return nil, fmt.Errorf("read versions of mappings of %s: %w", merchant, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[MappingVersion])
}
