package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// AliasEdit is an edit of a merchant's aliases.
type AliasEdit = MappingEdit[relay.Alias]

// aliasArgs are the edited aliases; one that is removed has no code.
func aliasArgs(merchant relay.MerchantID, e AliasEdit) []any {
	n := len(e.Set) + len(e.Remove)
	carts, skus, codes := make([]string, 0, n), make([]string, 0, n), make([]string, 0, n)
	for _, a := range e.Set {
		carts, skus, codes = append(carts, string(a.Cart)), append(skus, string(a.SKU)), append(codes, string(a.Code))
	}
	for _, a := range e.Remove {
		carts, skus, codes = append(carts, string(a.Cart)), append(skus, string(a.SKU)), append(codes, "")
	}
	return []any{merchant, carts, skus, codes, e.Replace}
}

// aliasDiffSQL compares an edit with the ledger; counted counts the differences.
const (
	aliasDiffSQL = `
	with edit as (select cart, sku, nullif(code, '') as code from unnest($2::text[], $3::text[], $4::text[]) as q(cart, sku, code)),
	diff as (
		select true as named, edit.cart, edit.sku, a.code as before, edit.code as after
		from edit left join aliases a on a.merchant_id = $1 and a.cart = edit.cart and a.sku = edit.sku where a.code is distinct from edit.code
		union all
		select false, a.cart, a.sku, a.code, null from aliases a
		where $5 and a.merchant_id = $1 and not exists (select from edit where edit.cart = a.cart and edit.sku = a.sku))`

	countedSQL = ` select count(*) filter (where before is null), count(*) filter (where before is not null and after is not null),
		count(*) filter (where after is null), count(*) filter (where named) from diff`
)

func aliasCounts(e AliasEdit, row pgx.Row) (c MappingCounts, err error) {
	var named int
	err = row.Scan(&c.Added, &c.Changed, &c.Removed, &named)
	c.Unchanged = len(e.Set) + len(e.Remove) - named
	return c, err
}

// EditAliases changes aliases in one transaction, with what was before in the
// history of mappings. The version rises when anything changed. ErrNotFound when
// there is no such merchant.
func (s *Store) EditAliases(ctx context.Context, merchant relay.MerchantID, e AliasEdit) (MappingCounts, error) {
	out, err := s.editMappings(ctx, merchant, func(tx pgx.Tx, version int64) (MappingCounts, error) {
		return aliasCounts(e, tx.QueryRow(ctx, aliasDiffSQL+`,
			removed as (
				delete from aliases a using diff where after is null and a.merchant_id = $1 and a.cart = diff.cart and a.sku = diff.sku),
			written as (
				insert into aliases (merchant_id, cart, sku, code, version, changed_by) select $1, cart, sku, after, $6, $7 from diff where after is not null
				on conflict (merchant_id, cart, sku) do update set code = excluded.code, version = excluded.version, changed_at = now(), changed_by = excluded.changed_by),
			noted as (
				insert into mapping_changes (merchant_id, version, actor, kind, cart, sku, before, after)
				select $1, $6, $7, 'alias', cart, sku, before, after from diff)`+countedSQL, append(aliasArgs(merchant, e), version, e.Actor)...))
	})
	if err != nil {
		return MappingCounts{}, fmt.Errorf("edit aliases of %s: %w", merchant, err)
	}
	return out, nil
}

// PreviewAliases tells what EditAliases would change, with the first of the
// changes, and writes nothing.
func (s *Store) PreviewAliases(ctx context.Context, merchant relay.MerchantID, e AliasEdit, first int) (MappingPreview, error) {
	out, err := s.previewMappings(ctx, merchant, func(tx pgx.Tx) (p MappingPreview, err error) {
		if p.MappingCounts, err = aliasCounts(e, tx.QueryRow(ctx, aliasDiffSQL+countedSQL, aliasArgs(merchant, e)...)); err != nil {
			return p, err
		}
		rows, err := tx.Query(ctx, aliasDiffSQL+`
			select cart, sku, coalesce(before, ''), coalesce(after, '') from diff order by sku, cart limit $6`, append(aliasArgs(merchant, e), first)...)
		if err != nil {
			return p, err
		}
		p.Changes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (MappingChange, error) {
			c := MappingChange{Kind: AliasMapping}
			return c, row.Scan(&c.Cart, &c.SKU, &c.Before, &c.After)
		})
		return p, err
	})
	if err != nil {
		return MappingPreview{}, fmt.Errorf("preview aliases of %s: %w", merchant, err)
	}
	return out, nil
}

// ImportAliases adds and changes aliases; with replace, those not in the list
// are removed. See EditAliases.
func (s *Store) ImportAliases(ctx context.Context, merchant relay.MerchantID, list []relay.Alias, replace bool, actor string) (MappingCounts, error) {
	return s.EditAliases(ctx, merchant, AliasEdit{Set: list, Replace: replace, Actor: actor})
}

// Aliases returns a merchant's aliases, by SKU and cart.
func (s *Store) Aliases(ctx context.Context, merchant relay.MerchantID) ([]relay.Alias, error) {
	var list []relay.Alias
	err := s.EachAlias(ctx, merchant, func(a relay.Alias) error { list = append(list, a); return nil })
	return list, err
}

// EachAlias calls f for each of a merchant's aliases, by SKU and cart, as they
// are at one moment, and holds none of them in memory. It ends with f's first error.
func (s *Store) EachAlias(ctx context.Context, merchant relay.MerchantID, f func(relay.Alias) error) error {
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		// A slow reader at the other end is no runaway statement.
		if _, err := tx.Exec(ctx, `set local statement_timeout = 0`); err != nil {
			return err
		}
		return eachAlias(ctx, tx, merchant, f)
	})
	if err != nil {
		return fmt.Errorf("read aliases of %s: %w", merchant, err)
	}
	return nil
}

func eachAlias(ctx context.Context, q querier, merchant relay.MerchantID, f func(relay.Alias) error) error {
	rows, err := q.Query(ctx, `select sku, code, cart from aliases where merchant_id = $1 order by sku, cart`, merchant)
	if err != nil {
		return err
	}
	var a relay.Alias
	_, err = pgx.ForEachRow(rows, []any{&a.SKU, &a.Code, &a.Cart}, func() error { return f(a) })
	return err
}
