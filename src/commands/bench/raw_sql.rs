//! What a purchase with a promocode could cost at the least: raw SQL, one transaction, one database.
//!
//! Prepared statements, a connection a client. The platform does the same in five transactions over
//! four databases, with messages between them; the ratio says what that costs, on the same machine
//! in the same minute.

use std::str::FromStr as _;

use anyhow::Context as _;
use rand::RngExt as _;
use sea_orm::sqlx::{
    self, AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _,
    postgres::PgConnectOptions,
};
use secrecy::{ExposeSecret as _, SecretString};
use shared::{
    clock::{Clock as _, SystemClock},
    ids::new_uuid,
};

use super::load::{Client, Done, Failed};

/// Its tables, empty but for the accounts.
const SCHEMA: &str = include_str!("raw_sql.sql");
const PROMOCODES: &str =
    "INSERT INTO promocodes SELECT i, 'CODE' || i, 2000000000 FROM generate_series(1, $1::int) i";
/// As many as the schema makes.
const USERS: i32 = 10_000;

/// $1 promocode.
const USE_PROMOCODE: &str =
    "UPDATE promocodes SET used = used + 1 WHERE id = $1 AND active AND used < max_uses RETURNING pct";
/// $1 promocode, $2 user, $3 purchase.
const REDEEM: &str = "INSERT INTO redemptions (promocode_id, user_id, purchase_id, status) \
                      VALUES ($1, $2, mkuuid($3), 'confirmed')";
/// $1 user.
const CHARGE: &str = "UPDATE accounts SET balance = balance - 900 WHERE id = $1 AND balance >= 900";
/// $1 purchase, $2 user.
const POST: &str = "INSERT INTO ledger_entries (purchase_id, account_id, amount) \
                    VALUES (mkuuid($1), $2, -900), (mkuuid($1), 0, 900)";
/// $1 purchase, $2 user, $3 promocode.
const PURCHASE: &str = "INSERT INTO purchases (id, user_id, tariff_id, promocode_id, amount, status) \
                        VALUES (mkuuid($1), $2, 1, $3, 900, 'paid')";
/// $1 purchase, $2 user.
const EMIT: &str = "INSERT INTO outbox (topic, payload) VALUES ('purchase.completed', \
                    jsonb_build_object('purchase_id', mkuuid($1), 'user_id', $2::int, 'amount', 900))";

/// A database for it on somebody's server; to be removed.
pub(super) struct RawSql {
    server: PgConnectOptions,
    name: String,
    version: String,
}

impl RawSql {
    /// Makes the database, empty.
    ///
    /// # Errors
    /// When the server can't be reached, or may not be used so.
    pub(super) async fn create(url: SecretString) -> anyhow::Result<Self> {
        let server = PgConnectOptions::from_str(url.expose_secret())
            .context("the URL for raw SQL is wrong")?
            .disable_statement_logging();
        let mut connection = server
            .connect()
            .await
            .context("the PostgreSQL for raw SQL can't be reached")?;
        let version = sqlx::query("SHOW server_version")
            .fetch_one(&mut connection)
            .await?
            .try_get(0)?;
        let name = format!("bench_{}", new_uuid(SystemClock.now()).simple());
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .context("the database for raw SQL can't be made")?;
        connection.close().await?;
        Ok(Self {
            server,
            name,
            version,
        })
    }

    /// Makes the tables, with so many promocodes.
    ///
    /// # Errors
    /// When they can't be made.
    pub(super) async fn fill(&self, codes: u32) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql(SCHEMA)
            .execute(&mut connection)
            .await
            .context("the tables for raw SQL can't be made")?;
        sqlx::query(PROMOCODES)
            .bind(i32::try_from(codes)?)
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    }

    /// The server's version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// So many clients, each with a connection of its own, that use so many promocodes.
    ///
    /// # Errors
    /// When the server takes no more connections.
    pub(super) async fn clients(&self, count: usize, codes: u32) -> anyhow::Result<Vec<RawClient>> {
        let codes = i32::try_from(codes)?;
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = self.connect().await?;
            clients.push(RawClient { connection, codes });
        }
        Ok(clients)
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        self.server
            .clone()
            .database(&self.name)
            .connect()
            .await
            .context("the database for raw SQL can't be reached")
    }

    /// Drops the database.
    ///
    /// # Errors
    /// When that can't be done; with its name.
    pub(super) async fn remove(&self) -> anyhow::Result<()> {
        let drop = async {
            let mut connection = self.server.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name)))
                .execute(&mut connection)
                .await?;
            connection.close().await
        };
        drop.await
            .with_context(|| format!("the database {} can't be dropped", self.name))
    }
}

/// A connection that buys.
pub(super) struct RawClient {
    connection: PgConnection,
    codes: i32,
}

impl Client for RawClient {
    async fn operate(&mut self) -> Result<Done, Failed> {
        let (promocode, user, purchase) = {
            let mut random = rand::rng();
            let promocode = random.random_range(1..=self.codes);
            (promocode, random.random_range(1..=USERS), random.random())
        };
        match self.buy(promocode, user, purchase).await {
            Ok(true) => Ok(Done::default()),
            Ok(false) => Err(Failed("refused".to_owned())),
            Err(error) => Err(Failed(code_of(&error))),
        }
    }
}

impl RawClient {
    /// One purchase; whether there was a use and the money.
    async fn buy(&mut self, promocode: i32, user: i32, purchase: i64) -> sqlx::Result<bool> {
        let mut transaction = self.connection.begin().await?;
        let tx = &mut *transaction;
        let used = sqlx::query(USE_PROMOCODE)
            .bind(promocode)
            .fetch_optional(&mut *tx);
        if used.await?.is_none() {
            return Ok(false);
        }
        let redeem = sqlx::query(REDEEM).bind(promocode).bind(user).bind(purchase);
        redeem.execute(&mut *tx).await?;
        let charged = sqlx::query(CHARGE).bind(user).execute(&mut *tx).await?;
        if charged.rows_affected() != 1 {
            return Ok(false);
        }
        let post = sqlx::query(POST).bind(purchase).bind(user);
        post.execute(&mut *tx).await?;
        let insert = sqlx::query(PURCHASE).bind(purchase).bind(user).bind(promocode);
        insert.execute(&mut *tx).await?;
        let emit = sqlx::query(EMIT).bind(purchase).bind(user);
        emit.execute(&mut *tx).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// The server's code, or what stands for one.
fn code_of(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map_or_else(
        || "connection_broken".to_owned(),
        |code| format!("sqlstate_{code}"),
    )
}
