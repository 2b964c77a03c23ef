package api

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/yunshu/yunshu/api/store"
)

// Contract is the OpenAPI document as YAML. It needs nothing but the code: nothing is connected to.
func Contract() ([]byte, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := store.Open(ctx, "postgres://nowhere.invalid/none")
	if err != nil {
		return nil, fmt.Errorf("prepare the contract: %w", err)
	}
	defer s.Close()
	yaml, err := New(Options{Store: s, Logger: slog.New(slog.DiscardHandler)}).OpenAPI().YAML()
	if err != nil {
		return nil, fmt.Errorf("write the contract: %w", err)
	}
	return yaml, nil
}

// contractVersion is that of the API, not of the program: it changes when the contract does.
const contractVersion = "1.0.0"
