package workers

import (
	"context"
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/tracing"
)

// Options say how to reach Temporal.
type Options struct {
	Address   string // host:port of the frontend
	Namespace string
	Keys      string // as NewCodec reads them
	Identity  string // how this process shows up in the Temporal Web UI; empty is pid@host
	Logger    *slog.Logger
	// Metrics receives the client's and workers' own metrics; nil discards them.
	Metrics client.MetricsHandler
}

// Dial returns a client that encrypts every payload and every failure. It connects when it is first used, so that a
// process starts while Temporal is down. Ask CheckHealth whether Temporal is there.
func Dial(ctx context.Context, o Options) (client.Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	codec, err := NewCodec(o.Keys)
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", o.Address, err)
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	data, failures := Converters(codec)
	traces, err := tracing.Temporal()
	if err != nil {
		return nil, err
	}
	c, err := client.NewLazyClient(client.Options{
		HostPort:         o.Address,
		Namespace:        o.Namespace,
		Identity:         o.Identity,
		Logger:           temporallog.NewStructuredLogger(logger),
		MetricsHandler:   o.Metrics,
		DataConverter:    data,
		FailureConverter: failures,
		Interceptors:     []interceptor.ClientInterceptor{traces},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", o.Address, err)
	}
	return c, nil
}

// Converters returns the data and failure converters that put codec around everything that reaches Temporal,
// the messages and stack traces of failures included.
func Converters(codec converter.PayloadCodec) (converter.DataConverter, converter.FailureConverter) {
	data := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)
	return data, temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}
