package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"orderferry/relay"
	"orderferry/store"
)

// ErrorInterceptor turns the errors of all activities into Temporal's, in one
// place: a kind becomes the error's type, a vendor's delay becomes the retry's,
// and nothing that could hold personal data passes.
func ErrorInterceptor() interceptor.WorkerInterceptor { return &errorInterceptor{} }

type errorInterceptor struct {
	interceptor.WorkerInterceptorBase
}

func (errorInterceptor) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &errorInbound{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type errorInbound struct {
	interceptor.ActivityInboundInterceptorBase
}

func (i *errorInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := i.Next.ExecuteActivity(ctx, in)
	if err != nil {
		return nil, temporalError(err)
	}
	return out, nil
}

// The types that an activity's error may have besides a relay.ErrorKind.
const (
	ErrorDatabase = "database" // retried: some seconds of database trouble never fail an order
	ErrorMissing  = "missing"  // the merchant, connection or order is not in the ledger
)

func temporalError(err error) error {
	var own *relay.Error
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &own):
		opt := temporal.ApplicationErrorOptions{NextRetryDelay: own.After}
		switch own.Kind {
		case relay.Invalid, relay.NotFound, relay.Rejected, relay.Conflict, relay.Unauthorised:
			opt.NonRetryable = true
		}
		return temporal.NewApplicationErrorWithOptions(own.Error(), string(own.Kind), opt)
	case errors.Is(err, store.ErrNotFound):
		return temporal.NewNonRetryableApplicationError(err.Error(), ErrorMissing, nil)
	case errors.As(err, &pg):
		// Its detail may quote a row.
		return temporal.NewApplicationError(fmt.Sprintf("database: SQLSTATE %s %s", pg.Code, pg.ConstraintName), ErrorDatabase)
	}
	return temporal.NewApplicationError(err.Error(), ErrorDatabase)
}
