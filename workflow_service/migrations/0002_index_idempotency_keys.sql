-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Finds what has expired, the oldest first.
-- Not CONCURRENTLY, which a transaction cannot do: the table holds small rows, and a million are indexed in a second.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
