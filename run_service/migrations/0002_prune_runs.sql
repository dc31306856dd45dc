-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Finds the runs that ended longest ago.
-- Not CONCURRENTLY, which a transaction cannot do: rows are small, and a million are indexed in a second.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX runs_ended_idx ON runs (ended_at) WHERE ended_at IS NOT NULL;

-- The serving role removes runs after the time that is set, and none before a day has passed since it ended.
CREATE FUNCTION keep_young_runs() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF old.ended_at IS NULL OR old.ended_at > clock_timestamp() - interval '24 hours' THEN
        RAISE EXCEPTION 'a run is kept until a day after it has ended' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN old;
END
$$;
CREATE TRIGGER runs_keep_young BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION keep_young_runs();
GRANT DELETE ON runs TO flowpin_run;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
