-- The least that a purchase with a promocode can be: one database, one transaction, no service and no
-- message broker. What `kopeck bench` holds the platform against. The purchase itself is in raw_sql.rs.

CREATE TABLE promocodes (
    id int PRIMARY KEY,
    code text UNIQUE NOT NULL,
    max_uses int NOT NULL,
    used int NOT NULL DEFAULT 0 CHECK (used >= 0 AND used <= max_uses),
    pct int NOT NULL DEFAULT 10,
    active bool NOT NULL DEFAULT true
);
CREATE TABLE redemptions (
    id bigserial PRIMARY KEY,
    promocode_id int NOT NULL REFERENCES promocodes,
    user_id int NOT NULL,
    purchase_id uuid UNIQUE NOT NULL,
    status text NOT NULL DEFAULT 'confirmed',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON redemptions (promocode_id, user_id);
CREATE TABLE accounts (
    id int PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0)
);
CREATE TABLE ledger_entries (
    id bigserial PRIMARY KEY,
    purchase_id uuid NOT NULL,
    account_id int NOT NULL REFERENCES accounts,
    amount bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON ledger_entries (account_id, id);
CREATE TABLE purchases (
    id uuid PRIMARY KEY,
    user_id int NOT NULL,
    tariff_id int NOT NULL,
    promocode_id int,
    amount bigint NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON purchases (user_id, created_at);
CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    topic text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE inbox (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION mkuuid(x bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT lpad(to_hex(x), 32, '0')::uuid
$$;

-- Account 0 is the platform's.
INSERT INTO accounts SELECT i, 1000000000000 FROM generate_series(0, 10000) i;
