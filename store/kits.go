package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// KitEdit is an edit of a merchant's kits.
type KitEdit = MappingEdit[relay.Kit]

// NestedKitsError refuses an edit after which kits would hold kits.
type NestedKitsError struct{ Nested []relay.NestedKit }

// Error names the kits.
func (e *NestedKitsError) Error() string {
	const most = 5
	words := make([]string, 0, most+1)
	for i, n := range e.Nested {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(e.Nested)-most))
			break
		}
		words = append(words, n.String())
	}
	return strings.Join(words, "; ")
}

type kitKey struct {
	sku  relay.SKU
	cart relay.ConnectionName
}

func keyOf(k relay.Kit) kitKey { return kitKey{k.SKU, k.Cart} }

// kitDiff is what an edit changes: the kits as they will be, and what changes, by SKU and cart.
type kitDiff struct {
	MappingCounts
	changes []MappingChange
	set     []relay.Kit // of the changes, those that stay
}

// diffKits compares an edit with a merchant's kits, and refuses kits of kits.
func diffKits(e KitEdit, old []relay.Kit) (kitDiff, error) {
	was, next := make(map[kitKey]relay.Kit, len(old)), make(map[kitKey]relay.Kit, len(old))
	for _, k := range old {
		was[keyOf(k)] = k
		if !e.Replace {
			next[keyOf(k)] = k
		}
	}
	var d kitDiff
	for _, k := range e.Remove {
		if _, there := was[keyOf(k)]; !there {
			d.Unchanged++
		}
		delete(next, keyOf(k))
	}
	for _, k := range e.Set {
		if err := k.Check(); err != nil {
			return d, err
		}
		next[keyOf(k)] = k
		before, there := was[keyOf(k)]
		if there && sameComponents(before, k) {
			d.Unchanged++
			continue
		}
		c := MappingChange{Kind: KitMapping, Cart: k.Cart, SKU: k.SKU, After: k.Contents()}
		if d.Added++; there {
			d.Added--
			d.Changed++
			c.Before = before.Contents()
		}
		d.changes, d.set = append(d.changes, c), append(d.set, k)
	}
	for _, k := range old {
		if _, stays := next[keyOf(k)]; !stays {
			d.Removed++
			d.changes = append(d.changes, MappingChange{Kind: KitMapping, Cart: k.Cart, SKU: k.SKU, Before: k.Contents()})
		}
	}
	bySKU := func(a, b MappingChange) int { return cmp.Or(cmp.Compare(a.SKU, b.SKU), cmp.Compare(a.Cart, b.Cart)) }
	slices.SortFunc(d.changes, bySKU)
	all := make([]relay.Kit, 0, len(next))
	for _, k := range next {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b relay.Kit) int { return cmp.Or(cmp.Compare(a.SKU, b.SKU), cmp.Compare(a.Cart, b.Cart)) })
	if nested := relay.NestedKits(all); len(nested) > 0 {
		return d, &NestedKitsError{nested}
	}
	return d, nil
}

func sameComponents(a, b relay.Kit) bool {
	if len(a.Components) != len(b.Components) {
		return false
	}
	units := make(map[relay.SKU]int64, len(a.Components))
	for _, c := range a.Components {
		units[c.SKU] = c.Units
	}
	return !slices.ContainsFunc(b.Components, func(c relay.Component) bool { return units[c.SKU] != c.Units })
}

// EditKits changes kits in one transaction, with what was before in the history
// of mappings. The version of the mappings rises when anything changed.
// *NestedKitsError when kits would hold kits, ErrNotFound when there is no such
// merchant; nothing is changed then.
func (s *Store) EditKits(ctx context.Context, merchant relay.MerchantID, e KitEdit) (MappingCounts, error) {
	out, err := s.editMappings(ctx, merchant, func(tx pgx.Tx, version int64) (MappingCounts, error) {
		old, err := readKits(ctx, tx, merchant)
		if err != nil {
			return MappingCounts{}, err
		}
		d, err := diffKits(e, old)
		if err != nil {
			return MappingCounts{}, err
		}
		return d.MappingCounts, d.write(ctx, tx, merchant, version, e.Actor)
	})
	if err != nil {
		return MappingCounts{}, fmt.Errorf("edit kits of %s: %w", merchant, err)
	}
	return out, nil
}

// PreviewKits tells what EditKits would change, with the first of the changes,
// and writes nothing. It refuses what EditKits does.
func (s *Store) PreviewKits(ctx context.Context, merchant relay.MerchantID, e KitEdit, first int) (MappingPreview, error) {
	out, err := s.previewMappings(ctx, merchant, func(tx pgx.Tx) (MappingPreview, error) {
		old, err := readKits(ctx, tx, merchant)
		if err != nil {
			return MappingPreview{}, err
		}
		d, err := diffKits(e, old)
		return MappingPreview{MappingCounts: d.MappingCounts, Changes: d.changes[:min(first, len(d.changes))]}, err
	})
	if err != nil {
		return MappingPreview{}, fmt.Errorf("preview kits of %s: %w", merchant, err)
	}
	return out, nil
}

// write replaces the kits that change.
func (d kitDiff) write(ctx context.Context, tx pgx.Tx, merchant relay.MerchantID, version int64, actor string) error {
	n := len(d.changes)
	carts, skus, before, after := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, c := range d.changes {
		carts[i], skus[i], before[i], after[i] = string(c.Cart), string(c.SKU), c.Before, c.After
	}
	var partCarts, partSKUs, parts []string
	var units []int64
	for _, k := range d.set {
		for _, c := range k.Components {
			partCarts, partSKUs = append(partCarts, string(k.Cart)), append(partSKUs, string(k.SKU))
			parts, units = append(parts, string(c.SKU)), append(units, c.Units)
		}
	}
	b := &pgx.Batch{}
	b.Queue(`delete from kits k using unnest($2::text[], $3::text[]) as q(cart, sku) where k.merchant_id = $1 and k.cart = q.cart and k.sku = q.sku`, merchant, carts, skus)
	b.Queue(`insert into kits (merchant_id, cart, sku, version, changed_by)
		select $1, cart, sku, $2, $3 from unnest($4::text[], $5::text[], $6::text[]) as q(cart, sku, after) where after <> ''`, merchant, version, actor, carts, skus, after)
	b.Queue(`insert into kit_components (merchant_id, cart, sku, component, units)
		select $1, q.* from unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) as q`, merchant, partCarts, partSKUs, parts, units)
	b.Queue(`insert into mapping_changes (merchant_id, version, actor, kind, cart, sku, before, after)
		select $1, $2, $3, 'kit', cart, sku, nullif(before, ''), nullif(after, '')
		from unnest($4::text[], $5::text[], $6::text[], $7::text[]) as q(cart, sku, before, after)`, merchant, version, actor, carts, skus, before, after)
	return tx.SendBatch(ctx, b).Close()
}

// Kits returns a merchant's kits, by SKU and cart, each with its components by SKU.
func (s *Store) Kits(ctx context.Context, merchant relay.MerchantID) ([]relay.Kit, error) {
	var list []relay.Kit
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		if err := joinWhole(ctx, tx); err != nil {
			return err
		}
		list, err = readKits(ctx, tx, merchant)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read kits of %s: %w", merchant, err)
	}
	return list, nil
}

// readKits reads in a transaction that is told to join as joinWhole says.
func readKits(ctx context.Context, q querier, merchant relay.MerchantID) ([]relay.Kit, error) {
	rows, err := q.Query(ctx, `
		select k.sku, k.cart, coalesce(c.component, ''), coalesce(c.units, 0) from kits k left join kit_components c using (merchant_id, cart, sku)
		where k.merchant_id = $1 order by k.sku, k.cart, c.component`, merchant)
	if err != nil {
		return nil, err
	}
	var list []relay.Kit
	var k relay.Kit
	var c relay.Component
	_, err = pgx.ForEachRow(rows, []any{&k.SKU, &k.Cart, &c.SKU, &c.Units}, func() error {
		if n := len(list); n == 0 || keyOf(list[n-1]) != keyOf(k) {
			list = append(list, k)
		}
		if c.SKU != "" {
			last := &list[len(list)-1]
			last.Components = append(last.Components, c)
		}
		return nil
	})
	return list, err
}
