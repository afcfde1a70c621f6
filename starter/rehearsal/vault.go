package rehearsal

import (
	"context"
	"errors"
	"maps"

	"orderferry/connectors"
	"orderferry/relay"
)

// vault returns the credentials to rehearse with: those in use where the file
// says what it said when it was last onboarded, else the file's.
func (r *rehearsal) vault(ctx context.Context, c relay.Connection) (connectors.Vault, error) {
	given := r.Credentials[c.Name]
	if stored, ok := r.stored.Connection(c.Name); ok {
		v := r.ledger.StoredVault(stored)
		same, err := v.Onboarded(ctx, given)
		if err != nil {
			return nil, err
		}
		if same {
			return InUse(v), nil
		}
	}
	return fromFile{given}, nil
}

// inUse rotates as a worker does: the ledger keeps what comes of it.
type inUse struct{ v StoredVault }

// InUse is the vault of the credentials in use; what is rotated is kept there.
func InUse(v StoredVault) connectors.Vault { return inUse{v} }

func (u inUse) Read(ctx context.Context) (connectors.Credentials, error) {
	c, err := u.v.Read(ctx)
	return c, err
}

func (u inUse) Rotate(ctx context.Context, next func(context.Context, connectors.Credentials) (connectors.Credentials, error)) (connectors.Credentials, error) {
	c, err := u.v.Rotate(ctx, func(ctx context.Context, old map[string]string) (map[string]string, error) {
		fresh, err := next(ctx, old)
		return fresh, err
	})
	return c, err
}

// fromFile does not rotate: a refresh token that was spent would be lost with
// this process, and the merchant's file left with one that no longer works.
type fromFile struct{ given connectors.Credentials }

func (f fromFile) Read(context.Context) (connectors.Credentials, error) {
	return maps.Clone(f.given), nil
}

var errRotates = errors.New("its token must be renewed, and a dry run of a file that is not onboarded can't keep the new one: " +
	"onboard it with --paused, then repeat the dry run")

func (f fromFile) Rotate(context.Context, func(context.Context, connectors.Credentials) (connectors.Credentials, error)) (connectors.Credentials, error) {
	return nil, &relay.Error{Kind: relay.Unauthorised, Op: "renew the token", Err: errRotates}
}
