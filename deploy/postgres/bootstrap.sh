#!/bin/sh
# Runs once, when the database folder is empty: the owner that migrates, the role that serves, the extension.
# Row-level security binds hocket_app because it is neither superuser nor BYPASSRLS.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set owner_password="$HOCKET_OWNER_PASSWORD" --set app_password="$HOCKET_APP_PASSWORD" <<'SQL'
CREATE ROLE hocket_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'owner_password';
CREATE ROLE hocket_app LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'app_password';
CREATE DATABASE hocket OWNER hocket_owner;
\connect hocket
CREATE EXTENSION vector;
SQL
