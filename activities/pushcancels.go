package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// cancelLease is when a cancel whose telling was begun and never recorded is told again.
const cancelLease = 5 * time.Minute

// tellCancels tells a cart of orders that a person cancelled.
func (j *job) tellCancels(ctx context.Context, r *PushResult) error {
	sink, ok := j.vendor.(connectors.CancelSink)
	if !ok {
		return nil
	}
	for !j.spent() {
		list, err := j.store.ClaimCancelsToTell(ctx, j.conn.ID, cancelLease, 50)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		if err := j.pushCancels(ctx, sink, list, r); err != nil {
			return err
		}
	}
	more, next, err := j.store.CancelsTelling(ctx, j.conn.ID)
	r.again(more, next)
	return err
}

func (j *job) pushCancels(ctx context.Context, sink connectors.CancelSink, list []store.CancelToTell, r *PushResult) error {
	pushes := make([]connectors.CancelPush, len(list))
	for i, t := range list {
		pushes[i] = connectors.CancelPush{Key: shortHash("cancel", string(t.ExternalID)), Order: t.ExternalID}
	}
	outcomes, pushErr := sink.PushCancels(ctx, pushes)
	if pushErr == nil && len(outcomes) != len(list) {
		pushErr = fmt.Errorf("the connector gave %d outcomes for %d cancels", len(outcomes), len(list))
	}
	var told []store.CancelTold
	for i, o := range outcomes[:min(len(outcomes), len(list))] {
		t := cancelTold(list[i], o)
		switch {
		case t.Error != "":
			j.log.Warn("the cart did not take a cancel; it will be told again", "order", list[i].Reference, "error", o.Err, "again", t.Retry)
			r.Failed++
		case !t.Untried:
			r.Done++
		}
		told = append(told, t)
	}
	return errors.Join(pushErr, j.store.RecordCancelsTold(context.WithoutCancel(ctx), j.actor, told))
}

func cancelTold(c store.CancelToTell, o connectors.CancelPushOutcome) store.CancelTold {
	t := store.CancelTold{Order: c.Order, Status: o.Status, Found: o.Found}
	if o.Err == nil {
		return t
	}
	switch kind := relay.KindOf(o.Err); kind {
	case relay.Unavailable, relay.Throttled, relay.Unauthorised:
		t.Untried, t.Retry, t.Unknown = true, time.Minute, c.Doubt // nothing happened, and it is no fault of this order
		return t
	case relay.Conflict, relay.Invalid:
		t.Retry = 24 * time.Hour // it needs a person at the cart
	default:
		t.Retry = backOff(c.Attempts-1, time.Minute, 6*time.Hour)
		t.Unknown = kind == relay.Unknown
	}
	t.Error = o.Err.Error()
	return t
}
