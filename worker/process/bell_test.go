package process

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/mocks"

	"orderferry/relay"
	"orderferry/workflows"
)

// What is rung for reaches the right workflow; a hold that has ended is no fault.
func TestBell(t *testing.T) {
	lost := errors.New("no connection")
	for name, c := range map[string]struct{ answer, want error }{
		"there": {nil, nil}, "ended": {serviceerror.NewNotFound("no such workflow"), nil}, "unreachable": {lost, lost},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := &mocks.Client{}
			temporal.On("SignalWorkflow", mock.Anything, "hold/acme/SO-1", "", "look", nil).Return(c.answer).Once()
			require.Equal(t, c.want, bell{temporal}.Hold(t.Context(), "acme", "SO-1"))
			temporal.AssertExpectations(t)
		})
	}
	temporal := &mocks.Client{}
	temporal.On("SignalWorkflow", mock.Anything, "merchant/acme", "", "sync-now", workflows.JobRequest{Connection: "depot", Job: relay.SubmitOrders}).Return(lost).Once()
	require.ErrorIs(t, bell{temporal}.Job(t.Context(), "acme", "depot", relay.SubmitOrders), lost, "the merchant's workflow should be there")
	temporal.AssertExpectations(t)
}
