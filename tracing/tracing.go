// Package tracing follows a request through every process: one trace, from HTTP over the outbox, the workflow and its
// activities to the calls of a region. Its id is in every log line, problem and audit event, also where nothing collects
// the traces.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"github.com/yunshu/yunshu/models"
)

const serviceName = attribute.Key("service.name")

// scope names what begins our own spans.
const scope = "github.com/yunshu/yunshu"

// format is how a trace crosses from one process to the next: W3C's traceparent.
var format = propagation.TraceContext{}

// Setup makes this process trace. Where OTEL_EXPORTER_OTLP_ENDPOINT (or the one for traces alone) names a collector, spans
// go there over HTTP, sampled as OTEL_TRACES_SAMPLER says; without one there are only the ids. Call stop at the end: it
// sends what is left.
func Setup(ctx context.Context, service string) (stop func(context.Context) error, err error) {
	otel.SetTextMapPropagator(format)
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		otel.SetTracerProvider(Silent())
		return func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("trace to OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	provider := Exporting(service, sdk.NewBatchSpanProcessor(exporter))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

// Exporting is a provider whose spans go to a processor. OTEL_SERVICE_NAME goes before the name given here.
func Exporting(service string, to sdk.SpanProcessor) *sdk.TracerProvider {
	named := resource.NewSchemaless(serviceName.String(service))
	if merged, err := resource.Merge(named, resource.Environment()); err == nil {
		named = merged
	}
	return sdk.NewTracerProvider(sdk.WithResource(named), sdk.WithSpanProcessor(to))
}

// Silent is a provider whose traces have ids, and that keeps nothing.
func Silent() trace.TracerProvider { return sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())) }

// Start begins a span of our own. End it with End.
func Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	return otel.GetTracerProvider().Tracer(scope).Start(ctx, name, o...)
}

// End ends a span, as failed if there is an error. Only the fault's code is kept where there is one, for sentences name
// resources of tenants.
func End(span trace.Span, err error) {
	if err != nil {
		what := "error"
		if f := models.AsFault(err); f != nil {
			what = string(f.Code)
		}
		span.SetStatus(codes.Error, what)
	}
	span.End()
}

// ID is the id of the trace that a context belongs to: 32 hexadecimal digits, or nothing outside of one.
func ID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}

// Parent is the place in its trace from which another process goes on, as W3C's traceparent.
func Parent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	format.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// Continue goes on from a Parent. What is none changes nothing.
func Continue(ctx context.Context, parent string) context.Context {
	return format.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

// Temporal carries traces through workflows and activities.
func Temporal() (interceptor.Interceptor, error) {
	i, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: otel.GetTracerProvider().Tracer(scope), TextMapPropagator: format, DisableBaggage: true, AllowInvalidParentSpans: true,
	})
	if err != nil {
		return nil, fmt.Errorf("trace workflows: %w", err)
	}
	return i, nil
}

// Logs adds the trace's id to every line that is logged within one.
func Logs(to slog.Handler) slog.Handler { return handler{to} }

type handler struct{ slog.Handler }

// Handle writes one line.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if id := ID(ctx); id != "" {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps adding the id.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps adding the id.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
