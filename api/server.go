// Package api is the gateway's HTTP edge: what every request passes through, and one file for each resource with its
// wire types, its endpoints and how they map to the database.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/tracing"
)

// Options are what the edge stands on.
type Options struct {
	Store      *store.Store
	Accept     *accept.Accepter
	Authz      *authz.Authorizer
	Temporal   client.Client              // asked for its health alone; may be nil
	TemporalUI string                     // address of the Temporal Web UI, for links; may be empty
	Namespace  string                     // of Temporal, for links; empty: default
	Failures   converter.FailureConverter // reads what Temporal keeps of failed attempts; nil: as they are
	Codec      converter.PayloadCodec     // reads what Temporal keeps encrypted; nil: nothing is
	Logger     *slog.Logger
	Metrics    *prometheus.Registry // nil: one of its own
	Tracer     trace.TracerProvider // nil: traces have ids, and nothing more
	Version    string               // of the program
	Limits     RateLimits           // of each client; zero: none
	SignIn     SignInOptions        // whom to believe; without a provider nobody signs in
	BootURL    string               // of the gateway as physical machines reach it when they boot; empty: as they do

	TrustedProxies []string // networks whose X-Forwarded-For tells who really asks; none: nobody is believed
}

// API answers HTTP.
type API struct {
	store      *store.Store
	accept     *accept.Accepter
	authz      *authz.Authorizer
	temporal   client.Client
	temporalUI string
	namespace  string
	workers    *workerWatch
	progress   *progressWatch
	watcher    *watcher
	streams    *streams
	codec      converter.PayloadCodec
	gauges     *gauges
	version    string
	log        *slog.Logger
	tokens     *tokenCache
	refusals   *store.Refusals
	actions    func() map[string]string // of each route, as the policies call them
	limits     *limiter
	signIn     SignInOptions
	metrics    *metrics
	stopping   context.Context // of the gateway, not of a request: ends when it begins to stop
	stop       context.CancelFunc
	engine     *gin.Engine
	huma       huma.API
}

// New builds the edge.
func New(o Options) *API {
	useProblems()
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	a := &API{
		store: o.Store, accept: o.Accept, authz: o.Authz, temporal: o.Temporal, temporalUI: strings.TrimSuffix(o.TemporalUI, "/"),
		version: o.Version, log: o.Logger, tokens: newTokenCache(o.Store), limits: newLimiter(o.Limits), signIn: o.SignIn, metrics: newMetrics(o.Metrics, o.Store), engine: newEngine(o.TrustedProxies),
	}
	a.refusals, a.actions = store.NewRefusals(o.Store, o.Logger), sync.OnceValue(a.routeActions)
	a.metrics.countDropped(o.Metrics, a.refusals)
	a.stopping, a.stop = context.WithCancel(context.Background())
	a.namespace, a.workers, a.progress, a.watcher = o.Namespace, newWorkerWatch(o.Temporal), newProgressWatch(o.Temporal, o.Failures), newWatcher(o.Store)
	a.streams, a.codec = newStreams(), o.Codec
	a.gauges = &gauges{api: a}
	o.Metrics.MustRegister(a.gauges)
	if o.Tracer == nil {
		o.Tracer = tracing.Silent()
	}
	a.engine.Use(identify, traced(o.Tracer), noteTrace, a.recover, a.logAccess, a.metrics.measure, limitBody)
	a.engine.NoRoute(noRoute)
	a.engine.NoMethod(noMethod)
	a.plainRoutes(o.Metrics)
	a.registerBoot(o.Metrics, o.BootURL)
	a.huma = humagin.NewWithGroup(a.engine, a.engine.Group("/", a.authenticate, a.auditRefusals, a.admit, a.readBody, checkText, conditional), config())
	a.routes(a.huma)
	return a
}

// Handler is the edge as the HTTP server wants it.
func (a *API) Handler() http.Handler { return a.engine }

// OpenAPI is the contract.
func (a *API) OpenAPI() *huma.OpenAPI { return a.huma.OpenAPI() }

// routes lists every resource.
func (a *API) routes(h huma.API) {
	a.registerMe(h)
	a.registerTokens(h)
	a.registerUsers(h)
	a.registerRoleBindings(h)
	a.registerGroupBindings(h)
	a.registerServiceAccounts(h)
	a.registerIdentities(h)
	a.registerSignIn(h)
	a.registerPermissions(h)
	a.registerMaintainers(h)
	a.registerMaintainerGroups(h)
	a.registerAssignments(h)
	a.registerResponsibility(h)
	a.registerTenants(h)
	a.registerTenantTree(h)
	a.registerQuotas(h)
	a.registerUsage(h)
	a.registerAuditEvents(h)
	a.registerHistories(h)
	a.registerRegions(h)
	a.registerRacks(h)
	a.registerRackUnits(h)
	a.registerGroups(h)
	a.registerBaremetals(h)
	a.registerMaintenance(h)
	a.registerEnrolment(h)
	a.registerBaremetalActions(h)
	a.registerMarkFailed(h)
	a.registerInventory(h)
	a.registerLeases(h)
	a.registerDrifts(h)
	a.registerImages(h)
	a.registerFlavors(h)
	a.registerSubnets(h)
	a.registerIPAddresses(h)
	a.registerVMs(h)
	a.registerOperations(h)
	a.registerLeakChecks(h)
	describeAccepted(h)
}

func newEngine(trusted []string) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	_ = e.SetTrustedProxies(trusted) // the configuration has looked at them; of those that cannot be read none is trusted
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.ContextWithFallback = true
	return e
}

// config is huma without its schema links, its documentation and its own routes: those are ours.
func config() huma.Config {
	c := huma.DefaultConfig("Yunshu", contractVersion)
	c.Info.Description = "The API of a private cloud. Every change of the cloud goes through it; nothing has a private endpoint."
	c.CreateHooks, c.OpenAPIPath, c.DocsPath, c.SchemasPath = nil, "", "", ""
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "A token from POST /v1/sign-in or POST /v1/tokens, or from `yunshu-gateway bootstrap`."},
	}
	return c
}

// endpoint describes one operation of the API.
type endpoint struct {
	ID          string // such as create-vm
	Method      string
	Path        string
	Action      string // as the policies call it, such as vm.create
	Status      int    // of success; 0: 200, or 204 without a body
	Summary     string
	Description string
	Open        bool // needs no token
}

// actionKey is where an operation's metadata has the action.
const actionKey = "action"

// register adds an endpoint.
func register[I, O any](h huma.API, e endpoint, handler func(context.Context, *I) (*O, error)) {
	resource := strings.Split(strings.TrimPrefix(e.Path, "/v1/"), "/")[0]
	errs := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable}
	if e.Method != http.MethodGet {
		errs = append(errs, http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	security := []map[string][]string{{"bearer": {}}}
	if e.Open {
		security = []map[string][]string{}
	}
	huma.Register(h, huma.Operation{
		OperationID: e.ID, Method: e.Method, Path: e.Path, DefaultStatus: e.Status, Summary: e.Summary, Description: e.Description,
		Tags: []string{resource}, Errors: errs, Security: security,
		Metadata:     map[string]any{actionKey: e.Action},
		MaxBodyBytes: -1, // limitBody was there first
		// readBody too has read the body by now. A deadline on it would stay on the connection, and end requests that wait.
		BodyReadTimeout: -1,
	}, handler)
}

// path makes the Location of a resource.
func path(format string, args ...any) string { return fmt.Sprintf("/v1/"+format, args...) }
