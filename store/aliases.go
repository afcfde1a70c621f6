package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// AliasChange counts what an import changed.
type AliasChange struct {
	Added, Changed, Unchanged, Removed int
	Version                            int64 // of the merchant's aliases afterwards
}

// ImportAliases adds and changes aliases in one transaction; with replace, those
// not in the list are removed. The version rises when anything changed.
func (s *Store) ImportAliases(ctx context.Context, merchant relay.MerchantID, list []relay.Alias, replace bool, actor string) (AliasChange, error) {
	var out AliasChange
	n := len(list)
	skus, codes, carts := make([]string, n), make([]string, n), make([]string, n)
	for i, a := range list {
		skus[i], codes[i], carts[i] = string(a.SKU), string(a.Code), string(a.Cart)
	}
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = AliasChange{}
		// The row lock lets one import at a time.
		err := tx.QueryRow(ctx, `select aliases_version from merchants where id = $1 for update`, merchant).Scan(&out.Version)
		if err != nil {
			return notFound(err)
		}
		if replace {
			tag, err := tx.Exec(ctx, `
				delete from aliases a where merchant_id = $1
					and not exists (select from unnest($2::text[], $3::text[]) as q(cart, sku) where q.cart = a.cart and q.sku = a.sku)`, merchant, carts, skus)
			if err != nil {
				return err
			}
			out.Removed = int(tag.RowsAffected())
		}
		err = tx.QueryRow(ctx, `
			with u as (
				insert into aliases (merchant_id, cart, sku, code, version, changed_by)
				select $1, c, s, i, $2, $3 from unnest($4::text[], $5::text[], $6::text[]) as q(c, s, i)
				on conflict (merchant_id, cart, sku) do update set code = excluded.code, version = excluded.version, changed_at = now(), changed_by = excluded.changed_by
				where aliases.code <> excluded.code
				returning xmax = 0 as added)
			select count(*) filter (where added), count(*) filter (where not added) from u`,
			merchant, out.Version+1, actor, carts, skus, codes).Scan(&out.Added, &out.Changed)
		if err != nil {
			return err
		}
		out.Unchanged = n - out.Added - out.Changed
		if out.Added+out.Changed+out.Removed == 0 {
			return nil
		}
		out.Version++
		_, err = tx.Exec(ctx, `update merchants set aliases_version = $2 where id = $1`, merchant, out.Version)
		return err
	})
	if err != nil {
		return AliasChange{}, fmt.Errorf("import aliases of %s: %w", merchant, err)
	}
	return out, nil
}

// Aliases returns a merchant's aliases, by SKU and cart.
func (s *Store) Aliases(ctx context.Context, merchant relay.MerchantID) ([]relay.Alias, error) {
	rows, err := s.pool.Query(ctx, `select sku, code, cart from aliases where merchant_id = $1 order by sku, cart`, merchant)
	if err != nil {
		return nil, fmt.Errorf("read aliases of %s: %w", merchant, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[relay.Alias])
}
