package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// CartOrderStates returns the states of those of a cart's orders that the ledger holds.
func (s *Store) CartOrderStates(ctx context.Context, cart ConnectionID, ids []relay.ExternalID) (map[relay.ExternalID]relay.OrderState, error) {
	rows, err := s.pool.Query(ctx, `select external_id, state from orders where cart_id = $1 and external_id = any($2)`, cart, ids)
	if err != nil {
		return nil, fmt.Errorf("look up cart orders: %w", err)
	}
	out := make(map[relay.ExternalID]relay.OrderState)
	var id relay.ExternalID
	var state relay.OrderState
	if _, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error { out[id] = state; return nil }); err != nil {
		return nil, fmt.Errorf("look up cart orders: %w", err)
	}
	return out, nil
}

// RehearseMerchant returns what SaveMerchant would fail with: it does what that does,
// and takes it back.
func (s *Store) RehearseMerchant(ctx context.Context, m relay.Merchant, credentials map[relay.ConnectionName]map[string]string) error {
	takeBack := errors.New("only rehearsed")
	err := s.begin(ctx, func(tx pgx.Tx) error {
		if _, err := s.saveMerchant(ctx, tx, m, credentials); err != nil {
			return err
		}
		return takeBack
	})
	if errors.Is(err, takeBack) {
		return nil
	}
	return err
}

// Onboarded reports whether the vault's credentials come from a file that said
// just what is given: then those in use, rotated since, are the ones to use.
func (v *Vault) Onboarded(ctx context.Context, given map[string]string) (bool, error) {
	all, err := v.read(ctx, v.s.pool)
	if err != nil {
		return false, err
	}
	names := make([]string, 0, len(given))
	for k := range given {
		names = append(names, k)
	}
	return len(names) > 0 && !slices.ContainsFunc(names, func(k string) bool { return all[onboarded+k] != given[k] }), nil
}
