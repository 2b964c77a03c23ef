// Package temporal runs a real Temporal server with its Web UI inside this process, for the development stack and for
// tests. Production runs its own.
package temporal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uiopts "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	tlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
)

// Options say where and how the server runs.
type Options struct {
	Port   int    // of the frontend on loopback
	UIPort int    // of the Web UI; 0: none
	File   string // of the SQLite database; empty: in memory
	Keys   string // payload keys, so that the Web UI can show what the payloads say; empty: it cannot
}

// Server is a running Temporal.
type Server struct {
	Address string // of the frontend
	UI      string // URL of the Web UI
	server  temporal.Server
	ui      *uiserver.Server
	codec   *http.Server
}

const loopback = "127.0.0.1"

func at(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// Start returns when the server answers.
func Start(ctx context.Context, o Options) (*Server, error) {
	db, err := database(o.File)
	if err != nil {
		return nil, fmt.Errorf("prepare Temporal's database: %w", err)
	}
	c, err := configuration(o.Port, db)
	if err != nil {
		return nil, err
	}
	s := &Server{Address: at(o.Port)}
	if s.server, err = build(c); err != nil {
		return nil, fmt.Errorf("build the Temporal server: %w", err)
	}
	if err := s.server.Start(); err != nil {
		return nil, fmt.Errorf("start the Temporal server: %w", err)
	}
	if err := s.await(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	if o.UIPort != 0 {
		if err := s.startUI(o); err != nil {
			s.Stop()
			return nil, err
		}
	}
	return s, nil
}

// Stop ends the server.
func (s *Server) Stop() {
	if s.ui != nil {
		s.ui.Stop()
	}
	if s.codec != nil {
		_ = s.codec.Close() // nothing is under way that matters
	}
	_ = s.server.Stop() // the process ends next
}

// await polls until the frontend is healthy and its default namespace usable; there is no better signal.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := s.healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("Temporal did not become healthy within 30 s: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Server) healthy(ctx context.Context) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: s.Address, Logger: silent{}})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}

// database is SQLite, in a file or in memory, with Temporal's schema and a default namespace.
func database(file string) (*config.SQL, error) {
	sql := &config.SQL{PluginName: sqlite.PluginName}
	if file == "" {
		sql.ConnectAttributes = map[string]string{"mode": "memory", "cache": "shared"}
		sql.DatabaseName = strconv.Itoa(rand.IntN(1 << 30))
	} else {
		sql.ConnectAttributes = map[string]string{"mode": "rwc", "journal_mode": "wal", "synchronous": "2"}
		sql.DatabaseName = file
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			if err := sqliteschema.SetupSchema(sql); err != nil {
				return nil, err
			}
		}
	}
	namespace, err := sqliteschema.NewNamespaceConfig("active", "default", false, nil)
	if err != nil {
		return nil, err
	}
	return sql, sqliteschema.CreateNamespaces(sql, namespace)
}

// configuration is a cluster of one process.
func configuration(port int, sql *config.SQL) (*config.Config, error) {
	ports, err := FreePorts(4)
	if err != nil {
		return nil, err
	}
	service := func(grpc, http int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: grpc, BindOnIP: loopback, HTTPPort: http}}
	}
	c := &config.Config{}
	c.Global.Membership.MaxJoinDuration = 30 * time.Second
	c.Global.Membership.BroadcastAddress = loopback
	c.Persistence.DefaultStore, c.Persistence.VisibilityStore = "sqlite", "sqlite"
	c.Persistence.NumHistoryShards = 1
	c.Persistence.DataStores = map[string]config.DataStore{"sqlite": {SQL: sql}}
	c.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10, MasterClusterName: "active", CurrentClusterName: "active",
		ClusterInformation: map[string]cluster.ClusterInformation{"active": {
			Enabled: true, InitialFailoverVersion: 1, RPCAddress: at(port), HTTPAddress: at(ports[0]), ClusterID: "7975736e-6875-4000-8000-000000000001",
		}},
	}
	c.DCRedirectionPolicy.Policy = "noop"
	c.Services = map[string]config.Service{
		"frontend": service(port, ports[0]), "history": service(ports[1], 0), "matching": service(ports[2], 0), "worker": service(ports[3], 0),
	}
	c.Archival.History.State, c.Archival.Visibility.State = "disabled", "disabled"
	c.NamespaceDefaults.Archival.History.State, c.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"
	c.PublicClient.HostPort = at(port)
	return c, nil
}

func build(c *config.Config) (temporal.Server, error) {
	host := func(name string) static.Hosts { return static.SingleLocalHost(at(c.Services[name].RPC.GRPCPort)) }
	logger := tlog.NewZapLogger(tlog.BuildZapLogger(tlog.Config{Level: "fatal", Stdout: false}))
	authorizer, err := authorization.GetAuthorizerFromConfig(&c.Global.Authorization)
	if err != nil {
		return nil, err
	}
	claims, err := authorization.GetClaimMapperFromConfig(&c.Global.Authorization, logger)
	if err != nil {
		return nil, err
	}
	return temporal.NewServer(
		temporal.WithConfig(c),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(map[primitives.ServiceName]static.Hosts{
			primitives.FrontendService: host("frontend"), primitives.HistoryService: host("history"),
			primitives.MatchingService: host("matching"), primitives.WorkerService: host("worker"),
		}),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(dynamicconfig.StaticClient{
			dynamicconfig.HistoryCacheHostLevelMaxSize.Key():                        8096,
			dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        100,
			dynamicconfig.MakeKey("system.forceSearchAttributesCacheRefreshOnRead"): true,
			dynamicconfig.MakeKey("frontend.persistenceMaxQPS"):                     10000,
			dynamicconfig.MakeKey("history.persistenceMaxQPS"):                      45000,
			// The default makes a server of one shard pay about 50 ms for each dispatch.
			dynamicconfig.MakeKey("history.transferProcessorMaxPollRPS"): 2000,
		}),
	)
}

// startUI serves the Web UI, and a codec for it to read payloads with.
func (s *Server) startUI(o Options) error {
	s.UI = "http://" + at(o.UIPort)
	c := &uiconfig.Config{
		Host: loopback, Port: o.UIPort, TemporalGRPCAddress: s.Address, EnableUI: true, HideLogs: true,
		CORS: uiconfig.CORS{CookieInsecure: true},
	}
	if o.Keys != "" {
		endpoint, err := s.startCodec(o.Keys)
		if err != nil {
			return err
		}
		c.Codec = uiconfig.Codec{Endpoint: endpoint, DefaultErrorMessage: "The payload cannot be decoded."}
	}
	s.ui = uiserver.NewServer(uiopts.WithConfigProvider(c))
	go func() { _ = s.ui.Start() }() // it returns when it is stopped
	return nil
}

// FreePorts returns ports on loopback that nobody listens on.
func FreePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := net.Listen("tcp", at(0))
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

// silent is a logger that says nothing.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
