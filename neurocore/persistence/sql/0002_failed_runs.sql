-- Version 2. What failed last, by when it ended. Rows enter it by failing, so that the steps of running runs cost no more.
CREATE INDEX runs_failed ON runs (finished_at) WHERE status = 'failed';
