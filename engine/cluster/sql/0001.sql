-- The first version of the store that cells share, in a schema of its own that is the search path of whoever uses it.
-- Times are ms since 1970 UTC, money is cents. engine/cluster/store.py says what the functions promise.
--
-- Every function begins with own(), which locks the caller's row of `epoch` and compares epoch and era in the locking
-- statement itself. A row lock is written to the log, so that even a call that changes nothing commits, and returns
-- only when all that it has seen is as durable as the server is set to make it. The statements of a function see what
-- was committed before each of them begins (READ COMMITTED): what was waited for is seen.

CREATE TABLE world (one smallint PRIMARY KEY CHECK (one = 1), era bigint NOT NULL);
INSERT INTO world VALUES (1, 1);

CREATE TABLE cell (
    number smallint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    place uuid NOT NULL,
    life uuid NOT NULL,
    epoch bigint NOT NULL, -- its newest
    until_ms bigint NOT NULL, -- of that epoch's lease
    told_ms bigint NOT NULL
) WITH (fillfactor = 50);

-- Who may write. Changed only when an epoch begins or ends, and by a purge.
CREATE TABLE epoch (
    number bigint PRIMARY KEY,
    cell smallint NOT NULL,
    era bigint NOT NULL,
    is_over boolean NOT NULL,
    holder bigint NOT NULL -- the epoch that holds what this one has accepted
);
CREATE INDEX epoch_holder ON epoch (holder);

-- The newest place in each cell's sequence. Its row is locked until the commit, so the places come out in their order.
CREATE TABLE counter (cell smallint PRIMARY KEY, newest bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO counter VALUES (0, 0); -- the discrepancies' numbers
-- Apart, so that forgetting holds up nobody: entries up to this one are gone.
CREATE TABLE trimmed (cell smallint PRIMARY KEY, up_to bigint NOT NULL) WITH (fillfactor = 50);

CREATE TABLE payment (
    id uuid PRIMARY KEY,
    cents bigint NOT NULL CHECK (cents > 0),
    accepted_ms bigint NOT NULL,
    epoch bigint NOT NULL,
    requested_ms bigint, -- of its pin
    pin_epoch bigint,
    ended_sequence bigint, -- of its outcome, in the sequence of `ended_cell`
    pins integer NOT NULL DEFAULT 0,
    processor smallint, -- of its pin
    ended_cell smallint
);
CREATE INDEX payment_open ON payment (epoch, id) WHERE ended_sequence IS NULL;
CREATE INDEX payment_pinned ON payment (requested_ms) WHERE ended_sequence IS NULL AND requested_ms IS NOT NULL;

CREATE TABLE entry (
    cell smallint NOT NULL,
    kind smallint NOT NULL,
    processor smallint NOT NULL,
    reason smallint NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL,
    cents bigint NOT NULL,
    requested_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    came_ms bigint NOT NULL, -- this server's clock
    pins integer NOT NULL,
    PRIMARY KEY (cell, sequence)
);

CREATE TABLE folded (
    cell smallint NOT NULL,
    kind smallint NOT NULL,
    processor smallint NOT NULL,
    minute_ms bigint NOT NULL,
    payments bigint NOT NULL,
    cents numeric NOT NULL,
    PRIMARY KEY (cell, kind, processor, minute_ms)
);

CREATE TABLE reopened (id uuid NOT NULL, act uuid NOT NULL, PRIMARY KEY (id, act));

CREATE TABLE discrepancy (
    number bigint PRIMARY KEY,
    epoch bigint NOT NULL,
    came_ms bigint NOT NULL,
    id uuid NOT NULL,
    kind smallint NOT NULL,
    processor smallint NOT NULL,
    requested_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    reason smallint NOT NULL,
    pins integer NOT NULL,
    first_kind smallint NOT NULL,
    first_processor smallint NOT NULL,
    first_requested_ms bigint NOT NULL,
    first_ended_ms bigint NOT NULL,
    first_reason smallint NOT NULL,
    first_pins integer NOT NULL,
    UNIQUE (id, kind, processor, requested_ms)
);

CREATE TABLE question (
    subject smallint PRIMARY KEY,
    asked_ms bigint NOT NULL DEFAULT 0,
    asker bigint NOT NULL DEFAULT 0,
    answered_ms bigint NOT NULL DEFAULT 0,
    status smallint NOT NULL DEFAULT 0,
    body bytea NOT NULL DEFAULT ''
);

-- A payment as it is told (values.Kept).
CREATE VIEW kept AS
SELECT p.id, p.cents, p.accepted_ms, p.epoch, e.holder, p.pins, p.processor, p.requested_ms, p.pin_epoch,
    n.kind AS ended_kind, n.processor AS ended_processor, n.requested_ms AS ended_requested_ms, n.ended_ms,
    n.reason AS ended_reason, n.pins AS ended_pins
FROM payment p
JOIN epoch e ON e.number = p.epoch
LEFT JOIN entry n ON n.cell = p.ended_cell AND n.sequence = p.ended_sequence;

CREATE VIEW member AS
SELECT c.number, c.name, c.epoch, c.until_ms, e.holder, n.newest, c.told_ms
FROM cell c JOIN epoch e ON e.number = c.epoch JOIN counter n ON n.cell = c.number;

CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

CREATE FUNCTION own(by_cell smallint, by_epoch bigint, by_era bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE found_era bigint;
BEGIN
    SELECT era INTO found_era FROM epoch WHERE number = by_epoch AND cell = by_cell AND NOT is_over FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % of cell % is over', by_epoch, by_cell USING ERRCODE = 'CE001';
    ELSIF found_era <> by_era THEN
        RAISE EXCEPTION '%', found_era USING ERRCODE = 'CE002';
    END IF;
END $$;

-- Ends the sessions of an epoch that is over: one that stands still in the middle of a transaction holds nobody then.
CREATE FUNCTION end_sessions(old bigint) RETURNS void LANGUAGE sql AS $$
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = current_schema() || ' epoch ' || old AND datname = current_database()
        AND pid <> pg_backend_pid()
$$;

-- An epoch is over, and another one holds what it held.
CREATE FUNCTION take_over(old bigint, new bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE epoch SET is_over = is_over OR number = old, holder = CASE WHEN holder = old THEN new ELSE holder END
    WHERE number = old OR holder = old;
    SELECT end_sessions(old);
$$;

CREATE FUNCTION join_cell(
    its_name text, its_place uuid, its_life uuid, replaces bigint, lease_ms bigint, cells_max integer
) RETURNS TABLE (cell smallint, epoch bigint, era bigint) LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
    one cell%ROWTYPE;
    its_era bigint;
    its_epoch bigint;
BEGIN
    SELECT w.era INTO its_era FROM world w FOR UPDATE;
    SELECT * INTO one FROM cell c WHERE c.name = its_name FOR UPDATE;
    IF one.life = its_life THEN
        PERFORM own(one.number, one.epoch, its_era);
        RETURN QUERY SELECT one.number, one.epoch, its_era;
        RETURN;
    END IF;
    IF coalesce(one.epoch, 0) <> replaces THEN
        RAISE EXCEPTION 'the cell % is in epoch %, not %', its_name, coalesce(one.epoch, 0), replaces
            USING ERRCODE = 'CE003';
    ELSIF one.place <> its_place AND one.until_ms > now_ms() THEN
        RAISE EXCEPTION 'the cell % lives in another place', its_name USING ERRCODE = 'CE003';
    END IF;
    SELECT greatest(coalesce(max(e.number), 0) + 1, now_ms()) INTO its_epoch FROM epoch e;
    IF one.number IS NULL THEN
        SELECT count(*) + 1 INTO one.number FROM cell;
        IF one.number > cells_max THEN
            RAISE EXCEPTION '% cells have joined already', cells_max USING ERRCODE = 'CE003';
        END IF;
        INSERT INTO cell VALUES (one.number, its_name, its_place, its_life, its_epoch, now_ms() + lease_ms, 0);
        INSERT INTO counter VALUES (one.number, 0);
        INSERT INTO trimmed VALUES (one.number, 0);
    ELSE
        PERFORM take_over(one.epoch, its_epoch);
        UPDATE cell c SET place = its_place, life = its_life, epoch = its_epoch, until_ms = now_ms() + lease_ms
        WHERE c.number = one.number;
    END IF;
    INSERT INTO epoch VALUES (its_epoch, one.number, its_era, false, its_epoch);
    RETURN QUERY SELECT one.number, its_epoch, its_era;
END $$;

CREATE FUNCTION renew(by_cell smallint, by_epoch bigint, by_era bigint, lease_ms bigint, its_told_ms bigint)
RETURNS TABLE (at_ms bigint, until_ms bigint, identity text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM own(by_cell, by_epoch, by_era);
    RETURN QUERY
    UPDATE cell c SET until_ms = greatest(c.until_ms, now_ms() + lease_ms), told_ms = greatest(c.told_ms, its_told_ms)
    WHERE c.number = by_cell
    RETURNING now_ms(), c.until_ms,
        (SELECT system_identifier FROM pg_control_system()) || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
END $$;

CREATE FUNCTION adopt(by_cell smallint, by_epoch bigint, by_era bigint, old bigint)
RETURNS TABLE (holder bigint, until_ms bigint) LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
    its_holder bigint;
    its_until_ms bigint;
BEGIN
    PERFORM 1 FROM world FOR SHARE; -- who joins and who purges has all of `epoch` for itself
    PERFORM own(by_cell, by_epoch, by_era);
    FOR look IN 1 .. 2 LOOP
        SELECT e.holder, c.until_ms INTO its_holder, its_until_ms
        FROM epoch e JOIN cell c ON c.number = e.cell WHERE e.number = old;
        IF its_holder IS NULL OR its_holder <> old THEN
            RETURN QUERY SELECT coalesce(its_holder, 0), 0::bigint;
            RETURN;
        ELSIF its_until_ms > now_ms() THEN
            RETURN QUERY SELECT old, its_until_ms;
            RETURN;
        END IF;
        -- Waits for whatever its epoch has begun, and for other adopters; then it looks again.
        PERFORM 1 FROM epoch e WHERE e.number = old FOR NO KEY UPDATE;
    END LOOP;
    PERFORM take_over(old, by_epoch);
    RETURN QUERY SELECT by_epoch, 0::bigint;
END $$;

CREATE FUNCTION leave(by_cell smallint, by_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE epoch SET is_over = true WHERE number = by_epoch AND cell = by_cell AND NOT is_over;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % of cell % is over', by_epoch, by_cell USING ERRCODE = 'CE001';
    END IF;
    UPDATE cell SET until_ms = 0 WHERE number = by_cell;
END $$;

-- Payments. Each function returns what is kept for the rows, by their place in the batch, that have changed nothing;
-- the columns are null where the id is not there.

CREATE FUNCTION accept(
    by_cell smallint, by_epoch bigint, by_era bigint, ids uuid[], amounts bigint[], times bigint[]
) RETURNS TABLE (at bigint, one kept) LANGUAGE plpgsql AS $$
DECLARE fresh uuid[];
BEGIN
    PERFORM own(by_cell, by_epoch, by_era);
    -- By id, so that two batches with the same ids wait for each other and never in a circle.
    WITH new AS (
        INSERT INTO payment (id, cents, accepted_ms, epoch)
        SELECT DISTINCT ON (g.id) g.id, g.cents, g.ms, by_epoch
        FROM unnest(ids, amounts, times) WITH ORDINALITY g (id, cents, ms, at) ORDER BY g.id, g.at
        ON CONFLICT DO NOTHING RETURNING id
    )
    SELECT array_agg(n.id) INTO fresh FROM new n;
    IF cardinality(fresh) = cardinality(ids) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT g.at, k FROM unnest(ids) WITH ORDINALITY g (id, at)
    LEFT JOIN (
        SELECT f.id, min(h.at) AS at FROM unnest(fresh) f (id) JOIN unnest(ids) WITH ORDINALITY h (id, at) USING (id)
        GROUP BY f.id
    ) first ON first.id = g.id AND first.at = g.at
    LEFT JOIN kept k ON k.id = g.id
    WHERE first.id IS NULL;
END $$;

CREATE FUNCTION pin(
    by_cell smallint, by_epoch bigint, by_era bigint, ids uuid[], numbers integer[], processors smallint[],
    times bigint[]
) RETURNS TABLE (at bigint, one kept) LANGUAGE plpgsql AS $$
DECLARE fresh uuid[];
BEGIN
    PERFORM own(by_cell, by_epoch, by_era);
    WITH new AS (
        UPDATE payment p SET pins = g.number, processor = g.processor, requested_ms = g.ms, pin_epoch = by_epoch
        FROM unnest(ids, numbers, processors, times) g (id, number, processor, ms), epoch e
        WHERE p.id = g.id AND p.ended_sequence IS NULL AND e.number = p.epoch AND e.holder = by_epoch
            AND (p.pin_epoch IS NULL OR p.pin_epoch = by_epoch) AND p.pins < g.number
        RETURNING p.id
    )
    SELECT array_agg(n.id) INTO fresh FROM new n;
    IF cardinality(fresh) = cardinality(ids) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT g.at, k FROM unnest(ids) WITH ORDINALITY g (id, at)
    LEFT JOIN unnest(fresh) f (id) ON f.id = g.id LEFT JOIN kept k ON k.id = g.id
    WHERE f.id IS NULL;
END $$;

CREATE FUNCTION conclude(
    by_cell smallint, by_epoch bigint, by_era bigint, ids uuid[], kinds smallint[], processors smallint[],
    requested bigint[], ended bigint[], reasons smallint[], numbers integer[]
) RETURNS TABLE (at bigint, one kept) LANGUAGE plpgsql AS $$
DECLARE
    fresh uuid[];
    newest bigint;
BEGIN
    PERFORM own(by_cell, by_epoch, by_era);
    SELECT array_agg(s.id ORDER BY s.at) INTO fresh FROM (
        SELECT p.id, g.at
        FROM unnest(ids, kinds, numbers) WITH ORDINALITY g (id, kind, pins, at)
        JOIN payment p ON p.id = g.id JOIN epoch e ON e.number = p.epoch
        WHERE p.ended_sequence IS NULL AND (g.kind <> 3 OR
            e.holder = by_epoch AND p.pins = g.pins AND (p.pin_epoch IS NULL OR p.pin_epoch = by_epoch))
        ORDER BY p.id FOR NO KEY UPDATE OF p
    ) s;
    IF fresh IS NOT NULL THEN
        UPDATE counter c SET newest = c.newest + cardinality(fresh) WHERE c.cell = by_cell
        RETURNING c.newest - cardinality(fresh) INTO newest;
        INSERT INTO entry
            (cell, sequence, kind, id, cents, processor, requested_ms, ended_ms, reason, pins, came_ms)
        SELECT by_cell, newest + f.n, g.kind, p.id, p.cents, g.processor, g.requested_ms, g.ended_ms, g.reason, g.pins,
            now_ms()
        FROM unnest(fresh) WITH ORDINALITY f (id, n) JOIN payment p USING (id)
        JOIN unnest(ids, kinds, processors, requested, ended, reasons, numbers)
            g (id, kind, processor, requested_ms, ended_ms, reason, pins) USING (id);
        UPDATE payment p SET ended_cell = by_cell, ended_sequence = newest + f.n
        FROM unnest(fresh) WITH ORDINALITY f (id, n) WHERE p.id = f.id;
    END IF;
    IF cardinality(fresh) = cardinality(ids) THEN
        RETURN;
    END IF;
    PERFORM differ(by_epoch, ids, kinds, processors, requested, ended, reasons, numbers, fresh);
    RETURN QUERY
    SELECT g.at, k FROM unnest(ids) WITH ORDINALITY g (id, at)
    LEFT JOIN unnest(fresh) f (id) ON f.id = g.id LEFT JOIN kept k ON k.id = g.id
    WHERE f.id IS NULL;
END $$;

-- Keeps those outcomes that are not the same as the kept one, each once.
CREATE FUNCTION differ(
    by_epoch bigint, ids uuid[], kinds smallint[], processors smallint[], requested bigint[], ended bigint[],
    reasons smallint[], numbers integer[], fresh uuid[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    others uuid[];
    first bigint;
BEGIN
    SELECT array_agg(k.id) INTO others
    FROM unnest(ids, kinds, processors, requested, numbers) g (id, kind, processor, requested_ms, pins)
    JOIN kept k USING (id) LEFT JOIN unnest(fresh) f (id) ON f.id = k.id
    WHERE f.id IS NULL AND k.ended_kind IS NOT NULL
        AND (g.kind, g.processor, g.requested_ms) <> (k.ended_kind, k.ended_processor, k.ended_requested_ms)
        AND NOT (g.kind = 3 AND g.pins < k.pins);
    IF others IS NULL THEN
        RETURN;
    END IF;
    -- One after the other, so that numbers come in their order.
    SELECT c.newest INTO first FROM counter c WHERE c.cell = 0 FOR UPDATE;
    WITH new AS (
        INSERT INTO discrepancy
        SELECT first + row_number() OVER (), by_epoch, now_ms(), g.id, g.kind, g.processor, g.requested_ms, g.ended_ms,
            g.reason, g.pins, k.ended_kind, k.ended_processor, k.ended_requested_ms, k.ended_ms, k.ended_reason,
            k.ended_pins
        FROM unnest(ids, kinds, processors, requested, ended, reasons, numbers)
            g (id, kind, processor, requested_ms, ended_ms, reason, pins)
        JOIN unnest(others) o (id) USING (id) JOIN kept k USING (id)
        WHERE NOT EXISTS (SELECT 1 FROM discrepancy d WHERE (d.id, d.kind, d.processor, d.requested_ms)
            = (g.id, g.kind, g.processor, g.requested_ms))
        RETURNING 1
    )
    UPDATE counter c SET newest = c.newest + (SELECT count(*) FROM new) WHERE c.cell = 0;
END $$;

-- Returns a Verdict and what is kept.
CREATE FUNCTION reopen(by_cell smallint, by_epoch bigint, by_era bigint, its_id uuid, its_act uuid)
RETURNS TABLE (verdict smallint, one kept) LANGUAGE plpgsql AS $$
DECLARE
    found kept%ROWTYPE;
    its_sequence bigint;
BEGIN
    PERFORM own(by_cell, by_epoch, by_era);
    PERFORM 1 FROM payment p WHERE p.id = its_id FOR NO KEY UPDATE;
    SELECT k.* INTO found FROM kept k WHERE k.id = its_id;
    verdict := CASE
        WHEN found.id IS NULL THEN 7
        WHEN EXISTS (SELECT 1 FROM reopened r WHERE r.id = its_id AND r.act = its_act) THEN 1
        WHEN found.holder <> by_epoch THEN 6
        WHEN found.ended_kind IS DISTINCT FROM 3 THEN 9
        ELSE 0
    END;
    IF verdict = 0 THEN
        UPDATE counter c SET newest = c.newest + 1 WHERE c.cell = by_cell RETURNING c.newest INTO its_sequence;
        INSERT INTO entry (cell, sequence, kind, id, cents, processor, requested_ms, ended_ms, reason, pins, came_ms)
        VALUES (by_cell, its_sequence, 5, its_id, found.cents, found.ended_processor, found.ended_requested_ms,
            found.ended_ms, found.ended_reason, found.ended_pins, now_ms());
        INSERT INTO reopened VALUES (its_id, its_act);
        UPDATE payment p SET ended_cell = NULL, ended_sequence = NULL, pins = p.pins + 1, processor = NULL,
            requested_ms = NULL, pin_epoch = NULL
        WHERE p.id = its_id;
        SELECT k.* INTO found FROM kept k WHERE k.id = its_id;
    END IF;
    one := found;
    RETURN NEXT;
END $$;

-- Questions, purging and forgetting.

CREATE FUNCTION ask(by_cell smallint, by_epoch bigint, by_era bigint, its_subject smallint, pause_ms bigint)
RETURNS SETOF question LANGUAGE plpgsql AS $$
BEGIN
    PERFORM own(by_cell, by_epoch, by_era);
    INSERT INTO question (subject) VALUES (its_subject) ON CONFLICT DO NOTHING;
    UPDATE question q SET asked_ms = now_ms(), asker = by_epoch
    WHERE q.subject = its_subject AND now_ms() >= q.asked_ms + pause_ms AND NOT EXISTS (
        SELECT 1 FROM epoch e JOIN cell c ON c.epoch = e.number
        WHERE e.number = q.asker AND e.number <> by_epoch AND NOT e.is_over AND c.until_ms > now_ms()
    );
    RETURN QUERY SELECT * FROM question q WHERE q.subject = its_subject;
END $$;

CREATE FUNCTION purge(by_cell smallint, by_epoch bigint, by_era bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE its_era bigint;
BEGIN
    PERFORM 1 FROM world FOR UPDATE;
    PERFORM own(by_cell, by_epoch, by_era);
    UPDATE world SET era = era + 1 RETURNING era INTO its_era;
    UPDATE epoch SET era = its_era WHERE NOT is_over; -- waits for all that has begun
    TRUNCATE payment, entry, folded, reopened, discrepancy;
    UPDATE trimmed t SET up_to = c.newest FROM counter c WHERE c.cell = t.cell;
    RETURN its_era;
END $$;

CREATE FUNCTION forget(
    by_cell smallint, by_epoch bigint, by_era bigint, its_cell smallint, before_ms bigint, count_max integer
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
    last bigint;
BEGIN
    PERFORM own(by_cell, by_epoch, by_era);
    SELECT t.up_to INTO first FROM trimmed t WHERE t.cell = its_cell FOR UPDATE;
    SELECT coalesce(min(s.sequence) FILTER (WHERE s.came_ms >= before_ms) - 1, max(s.sequence)) INTO last FROM (
        SELECT e.sequence, e.came_ms FROM entry e WHERE e.cell = its_cell AND e.sequence > first
        ORDER BY e.sequence LIMIT count_max
    ) s;
    DELETE FROM discrepancy d WHERE d.came_ms < before_ms;
    IF last IS NULL OR last = first THEN
        RETURN 0;
    END IF;
    INSERT INTO folded AS f
    SELECT its_cell, e.kind, e.processor, e.requested_ms / 60000 * 60000, count(*), sum(e.cents) FROM entry e
    WHERE e.cell = its_cell AND e.sequence > first AND e.sequence <= last GROUP BY 2, 3, 4
    ON CONFLICT (cell, kind, processor, minute_ms)
    DO UPDATE SET payments = f.payments + excluded.payments, cents = f.cents + excluded.cents;
    WITH gone AS (
        DELETE FROM entry e WHERE e.cell = its_cell AND e.sequence > first AND e.sequence <= last
        RETURNING e.id, e.sequence
    ), ended AS (
        DELETE FROM payment p USING gone g
        WHERE p.id = g.id AND p.ended_cell = its_cell AND p.ended_sequence = g.sequence RETURNING p.id
    )
    DELETE FROM reopened r USING ended WHERE r.id = ended.id;
    UPDATE trimmed t SET up_to = last WHERE t.cell = its_cell;
    RETURN last - first;
END $$;
