-- Each event leads to the trace of its request, across every process that worked on it.
-- +goose Up

ALTER TABLE audit_events ADD COLUMN trace_id text NOT NULL DEFAULT '';
