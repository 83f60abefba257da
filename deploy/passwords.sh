#!/bin/sh
# Refuses passwords that could not work: they become parts of URLs, and are told to the servers as they
# are. Letters, digits and `-._~` mean the same in both.
set -eu
LC_ALL=C

status=0
for name in POSTGRES_PASSWORD AUTH_DATABASE_PASSWORD LOYALTY_DATABASE_PASSWORD BILLING_DATABASE_PASSWORD \
    NOTIFICATIONS_DATABASE_PASSWORD RABBITMQ_PASSWORD REDIS_PASSWORD; do
    eval "password=\$$name"
    case $password in
    '' | *[!A-Za-z0-9._~-]*)
        echo ".env: $name may have letters, digits and -._~ only, as from \`openssl rand -hex 24\`" >&2
        status=1
        ;;
    esac
done
exit $status
