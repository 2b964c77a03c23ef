package bmclib

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/tracing"
)

// span begins the part of a trace that is a call to a BMC. End ends it.
func span(ctx context.Context, t baremetal.Target, call, path string) (_ context.Context, end func(error)) {
	ctx, s := tracing.Start(ctx, "bmc "+call, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("server.address", t.Address), attribute.String("url.path", path), attribute.String("yunshu.baremetal", t.ID.String())))
	return ctx, func(err error) { tracing.End(s, err) }
}
