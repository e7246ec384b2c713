CREATE SCHEMA "Odd ""schema"" %I $1 \\ 'x'
two";
SET search_path = "Odd ""schema"" %I $1 \\ 'x'
two";
CREATE TYPE mood AS ENUM ('so', 'la la');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 9);
CREATE TABLE t (t text, "t.*" int, record_out int, count int, rows int, what text, "select" text);
INSERT INTO t VALUES ('t', 1, 2, 3, 4, '%s', NULL);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE "Über ""t"" %L; --" ("a ""b"" %s" jsonb, j json, x xml, p point, m money, b bytea, a text[], r numrange, e mood, d short, t t, n numeric, f float8, "
" interval);
INSERT INTO "Über ""t"" %L; --" VALUES ('{"a": 1}', '{}', '<a/>', '(1,2)', 3.5, '\x00ff', '{"a,b",NULL}', '[1,2)', 'la la', 'x', ('a', 1, 2, 3, 4, 'b', 'c'), 'NaN', '-Infinity', '1 day'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE parts (id int GENERATED ALWAYS AS IDENTITY, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
INSERT INTO parts (at) VALUES ('2026-03-04'), ('1999-01-01');
CREATE TABLE child (more int, twice int GENERATED ALWAYS AS (more * 2) STORED) INHERITS (t);
INSERT INTO child (t, more) VALUES ('of a child', 5);
CREATE VIEW v AS SELECT t.t FROM t;
CREATE MATERIALIZED VIEW seen AS SELECT t.t FROM ONLY t;
CREATE MATERIALIZED VIEW unseen AS SELECT t.t FROM t WITH NO DATA;
CREATE TABLE hidden (t text);
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
INSERT INTO hidden VALUES ('not for everybody');
CREATE SEQUENCE "a ""sequence""" START 77;
SELECT nextval('"a ""sequence"""');
SELECT lo_from_bytea(4711, 'large');
CREATE FUNCTION t(t) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'a function'$$;
