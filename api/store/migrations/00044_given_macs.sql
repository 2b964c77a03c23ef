-- The interface that a server boots from, as people know it: one that speaks IPMI alone names none of its own.
-- +goose Up
ALTER TABLE baremetal_macs ADD COLUMN given boolean NOT NULL DEFAULT false; -- a person said so; it stays, whatever the BMC lists
