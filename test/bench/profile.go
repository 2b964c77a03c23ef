package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/yunshu/yunshu/api/store"
)

// watchStatements begins to count what each statement costs, if a profile is asked for.
func (b *bench) watchStatements(ctx context.Context, s *store.Store) error {
	if !b.profile {
		return nil
	}
	_, err := s.Pool.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()`)
	return err
}

// printStatements prints the statements that took the most time since, per accepted create.
func (b *bench) printStatements(ctx context.Context, s *store.Store, creates int) error {
	if !b.profile {
		return nil
	}
	rows, err := s.Pool.Query(ctx, `
		SELECT query, calls, total_exec_time, rows FROM pg_stat_statements
		WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY total_exec_time DESC LIMIT 20`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var query string
		var calls, n int64
		var total float64
		if err := rows.Scan(&query, &calls, &total, &n); err != nil {
			return err
		}
		query = strings.Join(strings.Fields(query), " ")
		fmt.Printf("    %7.1f µs a create  %7.3f ms a call  %7d calls  %.100s\n", 1000*total/float64(creates), total/float64(calls), calls, query)
	}
	return rows.Err()
}
