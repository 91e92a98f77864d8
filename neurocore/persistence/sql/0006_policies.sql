-- Version 6. Gates that need several answers, or have a time by which something happens.

-- When an open occurrence must be looked at next: its deadline, an escalation, or the end of the time to withdraw.
ALTER TABLE gates ADD COLUMN due_at INTEGER;
CREATE INDEX gates_due ON gates (due_at) WHERE status = 'open' AND due_at IS NOT NULL;

-- What an answer says (approve, reject, withdraw, …; older ones: `approved` alone), and what was true of its author.
ALTER TABLE answers ADD COLUMN answer TEXT;
ALTER TABLE answers ADD COLUMN facts TEXT;
