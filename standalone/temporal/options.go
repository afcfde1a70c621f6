package temporal

import (
	"maps"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	// shards is fixed for the life of a file: the server keeps to the number that the file was made with.
	shards = 4

	// clusterName is written into every file, and must not change.
	clusterName = "active"

	// store names the one store for everything.
	store = "sqlite"

	// unlimited stands for "as much as the machine can do": the limits protect tenants of a cluster from each other, and
	// here there is one.
	unlimited = 1_000_000
)

// options wires the server for one machine: one store, four services at fixed addresses on the loopback interface, no
// metrics, archival, profiling or authorisation.
func options(cfg Config, db *config.SQL, at ports, log *logger) []temporal.ServerOption {
	hosts := map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(hostPort(at.frontend)),
		primitives.HistoryService:  static.SingleLocalHost(hostPort(at.history)),
		primitives.MatchingService: static.SingleLocalHost(hostPort(at.matching)),
		primitives.WorkerService:   static.SingleLocalHost(hostPort(at.worker)),
	}
	return []temporal.ServerOption{
		temporal.WithConfig(serverConfig(db, at)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log),
		temporal.WithDynamicConfigClient(dynamicConfig(cfg.DynamicConfig)),
	}
}

func serverConfig(db *config.SQL, at ports) *config.Config {
	frontend := hostPort(at.frontend)
	var c config.Config
	c.Global.Membership.MaxJoinDuration = 30 * time.Second
	c.Global.Membership.BroadcastAddress = loopback
	c.Persistence = config.Persistence{
		DefaultStore:     store,
		VisibilityStore:  store,
		NumHistoryShards: shards,
		DataStores:       map[string]config.DataStore{store: {SQL: db}},
	}
	c.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10,
		MasterClusterName:        clusterName,
		CurrentClusterName:       clusterName,
		ClusterInformation: map[string]cluster.ClusterInformation{
			clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
		},
	}
	c.DCRedirectionPolicy.Policy = "noop"
	c.Services = map[string]config.Service{
		string(primitives.FrontendService): service(at.frontend),
		string(primitives.HistoryService):  service(at.history),
		string(primitives.MatchingService): service(at.matching),
		string(primitives.WorkerService):   service(at.worker),
	}
	const disabled = "disabled"
	c.Archival.History.State = disabled
	c.Archival.Visibility.State = disabled
	c.NamespaceDefaults.Archival.History.State = disabled
	c.NamespaceDefaults.Archival.Visibility.State = disabled
	c.PublicClient.HostPort = frontend
	return &c
}

func service(port int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: loopback}}
}

// dynamicConfig suits one machine with one tenant.
func dynamicConfig(extra map[string]any) dynamicconfig.StaticClient {
	values := dynamicconfig.StaticClient{
		// Nothing leaves the machine.
		dynamicconfig.EnableServerVersionCheck.Key(): false,

		// One partition keeps a queue's order of priorities strict, and costs a quarter of the default's polls.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		dynamicconfig.MatchingUseNewMatcher.Key():               true, // priorities
		dynamicconfig.MatchingEnableFairness.Key():              true, // fairness keys

		dynamicconfig.FrontendEnableUpdateWorkflowExecution.Key():              true,
		dynamicconfig.FrontendEnableUpdateWorkflowExecutionAsyncAccepted.Key(): true,
		dynamicconfig.FrontendEnableWorkerVersioningDataAPIs.Key():             true,
		dynamicconfig.FrontendEnableWorkerVersioningWorkflowAPIs.Key():         true,

		// Entries, each of some kilobytes; the default is meant for a server with memory of its own.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8192,

		dynamicconfig.FrontendRPS.Key():                                         unlimited,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                  unlimited,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        unlimited,
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): unlimited,
		dynamicconfig.HistoryRPS.Key():                                          unlimited,
		dynamicconfig.MatchingRPS.Key():                                         unlimited,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                           unlimited,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                            unlimited,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():                           unlimited,
		dynamicconfig.WorkerPersistenceMaxQPS.Key():                             unlimited,
	}
	for name, value := range maps.All(extra) {
		values[dynamicconfig.MakeKey(name)] = value
	}
	return values
}
