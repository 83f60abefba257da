#!/bin/sh
# Runs once, when the volume is new: a database and a role of its own for each service, so that no
# service can reach another's tables.
set -eu

database() {
    psql --quiet --set ON_ERROR_STOP=1 --set name="$1" --set password="$2" \
        --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

database auth "$AUTH_DATABASE_PASSWORD"
database loyalty "$LOYALTY_DATABASE_PASSWORD"
database billing "$BILLING_DATABASE_PASSWORD"
database notifications "$NOTIFICATIONS_DATABASE_PASSWORD"
