package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/yunshu/yunshu/models"
)

func TestATraceCrossesAsText(t *testing.T) {
	t.Parallel()
	ctx, span := Silent().Tracer(scope).Start(t.Context(), "here")
	defer span.End()
	require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`, Parent(ctx))
	there := Continue(context.Background(), Parent(ctx))
	require.Equal(t, ID(ctx), ID(there))
	require.Len(t, ID(there), 32)
	require.Empty(t, ID(t.Context()))
	require.Empty(t, Parent(t.Context()))
	for _, none := range []string{"", "no trace", "00-" + ID(ctx), "00-00000000000000000000000000000000-0000000000000000-00"} {
		require.Empty(t, ID(Continue(context.Background(), none)), none)
	}
}

func TestEveryLineNamesItsTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(Logs(slog.NewJSONHandler(&out, nil))).With("region", "tw")
	ctx, span := Silent().Tracer(scope).Start(t.Context(), "here")
	defer span.End()
	log.InfoContext(ctx, "within")
	log.WithGroup("more").InfoContext(t.Context(), "outside")
	var lines []map[string]any
	for d := json.NewDecoder(&out); d.More(); {
		var line map[string]any
		require.NoError(t, d.Decode(&line))
		delete(line, "time")
		lines = append(lines, line)
	}
	require.Equal(t, []map[string]any{
		{"level": "INFO", "msg": "within", "region": "tw", "trace_id": ID(ctx)},
		{"level": "INFO", "msg": "outside", "region": "tw"},
	}, lines)
}

// TestASpanKeepsNoSentence: what a fault says names resources of tenants, and a collector is somebody else's.
func TestASpanKeepsNoSentence(t *testing.T) {
	t.Parallel()
	kept := tracetest.NewSpanRecorder()
	tracer := Exporting("test", kept).Tracer(scope)
	for _, err := range []error{nil, models.Faultf(models.CodeUnreachable, "The vCenter of acme's region does not answer."), errors.New("password hunter2")} {
		_, span := tracer.Start(t.Context(), "call")
		End(span, err)
	}
	var got []sdk.Status
	for _, s := range kept.Ended() {
		got = append(got, s.Status())
		require.Empty(t, s.Events())
	}
	require.Equal(t, []sdk.Status{{}, {Code: codes.Error, Description: "unreachable"}, {Code: codes.Error, Description: "error"}}, got)
}
