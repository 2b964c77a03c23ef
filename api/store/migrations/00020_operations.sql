-- Ways out of a blocked operation, and which run of its workflow is heard.
-- +goose Up

-- The run of the workflow whose reports count. A reset makes another run, and the reports of the one before are stale.
ALTER TABLE operations
    ADD COLUMN run_id      text NOT NULL DEFAULT '',  -- empty: none has reported yet
    ADD COLUMN generation  bigint NOT NULL DEFAULT 1; -- counts the runs that were heard

-- A person may skip a step, with a reason.
ALTER TABLE operation_steps
    DROP CONSTRAINT operation_steps_state_check,
    ADD CONSTRAINT operation_steps_state CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'skipped', 'undoing', 'undone')) NOT VALID;

-- What a resume changes: the way, the reason, and the machine as it shall be made now. A block is decided once: seq is
-- that of the report which the decision answers.
ALTER TABLE operation_intents
    ADD COLUMN detail jsonb,
    ADD COLUMN seq    bigint NOT NULL DEFAULT 0;

-- Decisions about many look for what is blocked.
CREATE INDEX operations_blocked ON operations (id) WHERE state = 'blocked';
