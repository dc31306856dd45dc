-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Orders the events of a subject: each is written under its subject's lock. A clock can be set back, a sequence cannot.
-- The default numbers the events of the release before this one too. Events from before have no number: they are older.
CREATE SEQUENCE audit_events_number_seq;
ALTER TABLE audit_events ADD COLUMN number bigint;
ALTER TABLE audit_events ALTER COLUMN number SET DEFAULT nextval('audit_events_number_seq');
ALTER SEQUENCE audit_events_number_seq OWNED BY audit_events.number;

GRANT USAGE ON SEQUENCE audit_events_number_seq TO flowpin_workflow;

-- migrate:down
-- Forward only: a later migration mends what this one got wrong.
