package process

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"go.temporal.io/sdk/worker"

	"orderferry/workflows"
)

// Deploy says how a worker takes its place among those of other builds. The zero
// value is for one build at a time.
type Deploy struct {
	// Name and Build turn on Temporal's worker versioning: this worker is build
	// Build of the deployment Name. Each workflow says whether it stays with the
	// build that began it (see workflows.Register).
	Name, Build string
	// HoldBack begins runs in the form of the release before, for as long as
	// workers of that release may have to take them over.
	HoldBack bool
}

// Environment variables of a deployment. Temporal's worker controller sets the first two.
const (
	EnvDeployment = "TEMPORAL_DEPLOYMENT_NAME"
	EnvBuild      = "TEMPORAL_WORKER_BUILD_ID"
	EnvHoldBack   = "ORDERFERRY_HOLD_BACK"
)

// The server builds "name.build" of them and refuses other characters.
var (
	deploymentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_/-]{0,99}$`)
	buildID        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

func deployFromEnv(env func(string) string) (Deploy, error) {
	d := Deploy{Name: env(EnvDeployment), Build: env(EnvBuild)}
	switch {
	case (d.Name == "") != (d.Build == ""):
		return d, errors.New(EnvDeployment + " and " + EnvBuild + " go together: want both, or neither for workers without versions")
	case d.Name != "" && !deploymentName.MatchString(d.Name):
		return d, fmt.Errorf("%s %q: want at most 100 letters, digits, -, _ and /", EnvDeployment, d.Name)
	case d.Build != "" && !buildID.MatchString(d.Build):
		return d, fmt.Errorf("%s %q: want at most 100 letters, digits, ., - and _", EnvBuild, d.Build)
	}
	if s := env(EnvHoldBack); s != "" {
		var err error
		if d.HoldBack, err = strconv.ParseBool(s); err != nil {
			return d, fmt.Errorf("%s %q: want true or false", EnvHoldBack, s)
		}
	}
	return d, nil
}

func (d Deploy) apply(o *worker.Options) {
	if d.Name != "" {
		o.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning: true,
			Version:       worker.WorkerDeploymentVersion{DeploymentName: d.Name, BuildID: d.Build},
		}
	}
	if d.HoldBack {
		o.PreferredVersionProvider = func(in worker.PreferredVersionProviderInput) *worker.VersionPreference {
			if !workflows.Newest(in.ChangeID) {
				return nil
			}
			return &worker.VersionPreference{Version: in.MinSupported}
		}
	}
}
