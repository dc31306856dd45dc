-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The trailing metadata of a kept answer, such as its ETag: pairs of a name and a value. Answers that the release before
-- this one keeps have none.
ALTER TABLE idempotency_keys ADD COLUMN trailers text[] NOT NULL DEFAULT '{}';

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
