//! What a database records of itself, and whether a program may work on it.
//!
//! Rows keep amounts without a currency and ids without a platform. With another `currency`, or with
//! a `database_url` that leads elsewhere, a program would read them as something that they are not.
//! So each database records whose it is and in which currency it counts, and a program that is
//! configured otherwise does not start.

use iso_currency::Currency;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement, sea_query::OnConflict,
};

use crate::{
    contracts::ServiceName,
    db::{Db, Tx, bounded},
};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;

    use crate::clock::Instant;

    /// Something that is true of the database for as long as it exists.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "platform_facts")]
    pub struct Model {
        /// What it tells.
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        /// What is true.
        pub value: String,
        /// Since when it is recorded.
        pub recorded_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// The service that the database belongs to.
const SERVICE: &str = "service";
/// The id of the database itself.
const DATABASE: &str = "database";
/// The id of the platform; auth's database is the first to have it.
const PLATFORM: &str = "platform";
/// The currency of all its amounts.
const CURRENCY: &str = "currency";

/// Why a program does not work on a database.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// It is another service's.
    #[error(
        "`{service}.database_url` leads to the database of {owner}: give each service a database of its own"
    )]
    OtherService {
        /// The service that is to work on it.
        service: ServiceName,
        /// The service that it belongs to.
        owner: String,
    },
    /// Its amounts are of another currency.
    #[error(
        "the database of {service} keeps amounts in {recorded}, and `currency` is {configured}: set `currency` \
         to {recorded}, or use empty databases. Amounts are never converted"
    )]
    OtherCurrency {
        /// Whose database.
        service: ServiceName,
        /// The currency of its amounts.
        recorded: String,
        /// The one that is configured.
        configured: &'static str,
    },
    /// Two databases are of different platforms.
    #[error(
        "the databases of {one} and {other} belong to different platforms: check `{one}.database_url` and \
         `{other}.database_url`"
    )]
    OtherPlatform {
        /// Whose database.
        one: ServiceName,
        /// Whose other database.
        other: ServiceName,
    },
    /// It does not answer, or lacks what every database records.
    #[error("the facts of the database of {service} can't be read")]
    Store {
        /// Whose database.
        service: ServiceName,
        /// Why.
        source: DbErr,
    },
}

/// What a program is about to do with the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A command that works beside the services. It records nothing: it may be configured otherwise
    /// than the services, and must not decide for them.
    Command,
    /// `kopeck migrate up`: records that the databases belong together.
    Migrate,
    /// `kopeck run`: records the currency too.
    Run,
}

/// Refuses the database of another service. A database that is new or was last migrated by a program
/// that recorded nothing has no owner yet.
///
/// # Errors
/// When it is another service's, or does not answer.
pub async fn check_owner(db: &Db) -> Result<(), FactsError> {
    let service = db.service();
    let owner = async {
        if has_facts(db.reader()).await? {
            find(db.reader(), SERVICE).await
        } else {
            Ok(None)
        }
    };
    match store(service, owner).await? {
        Some(owner) if owner != service.as_str() => Err(FactsError::OtherService { service, owner }),
        _ => Ok(()),
    }
}

/// Checks that `databases`, which are up to date, belong together and count in `currency`, and records
/// what `purpose` allows. Nothing is recorded where anything contradicts. Of several processes that
/// record at the same time the first decides and the others are refused.
///
/// # Errors
/// See [`FactsError`].
pub async fn agree(databases: &[&Db], currency: Currency, purpose: Purpose) -> Result<(), FactsError> {
    let mut platform = None;
    for db in databases {
        let recorded = store(db.service(), find(db.reader(), CURRENCY)).await?;
        check_currency(db.service(), recorded, currency)?;
        let recorded = store(db.service(), find(db.reader(), PLATFORM)).await?;
        check_platform(&mut platform, db.service(), recorded)?;
    }
    if purpose == Purpose::Run {
        for db in databases {
            let recorded = store(db.service(), record(db, CURRENCY, currency.code())).await?;
            check_currency(db.service(), Some(recorded), currency)?;
        }
    }
    if let (Purpose::Run | Purpose::Migrate, Some((_, id))) = (purpose, platform.clone()) {
        for db in databases {
            let recorded = store(db.service(), record(db, PLATFORM, &id)).await?;
            check_platform(&mut platform, db.service(), Some(recorded))?;
        }
    }
    Ok(())
}

/// The id of the database itself, which no other database has.
///
/// # Errors
/// When it does not answer, or has none.
pub async fn database_id(db: &Db) -> Result<String, FactsError> {
    let id = async {
        let id = find(db.reader(), DATABASE).await?;
        id.ok_or_else(|| DbErr::RecordNotFound("the id of the database".to_owned()))
    };
    store(db.service(), id).await
}

fn check_currency(
    service: ServiceName,
    recorded: Option<String>,
    configured: Currency,
) -> Result<(), FactsError> {
    match recorded {
        Some(recorded) if recorded != configured.code() => Err(FactsError::OtherCurrency {
            service,
            recorded,
            configured: configured.code(),
        }),
        _ => Ok(()),
    }
}

/// Holds what the database of `service` records against `known`, the platform of the databases before
/// it and the service of the first of them.
fn check_platform(
    known: &mut Option<(ServiceName, String)>,
    service: ServiceName,
    recorded: Option<String>,
) -> Result<(), FactsError> {
    match (&*known, recorded) {
        (Some((one, id)), Some(recorded)) if *id != recorded => Err(FactsError::OtherPlatform {
            one: *one,
            other: service,
        }),
        (None, Some(recorded)) => {
            *known = Some((service, recorded));
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn store<T>(
    service: ServiceName,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, FactsError> {
    bounded(work)
        .await
        .map_err(|source| FactsError::Store { service, source })
}

async fn has_facts(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let backend = conn.get_database_backend();
    let look = match backend {
        DbBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE name = 'platform_facts'",
        _ => "SELECT 1 WHERE to_regclass('platform_facts') IS NOT NULL",
    };
    let found = conn.query_one_raw(Statement::from_string(backend, look)).await?;
    Ok(found.is_some())
}

async fn find(conn: &impl ConnectionTrait, name: &str) -> Result<Option<String>, DbErr> {
    let row = Entity::find_by_id(name.to_owned()).one(conn).await?;
    Ok(row.map(|row| row.value))
}

/// Records `value` unless something is recorded already; what is recorded now.
async fn record(db: &Db, name: &'static str, value: &str) -> Result<String, DbErr> {
    if let Some(recorded) = find(db.reader(), name).await? {
        return Ok(recorded);
    }
    db.write(|tx| async move { insert(&tx, name, value).await }).await
}

/// One that another process inserts at the same time is waited for, and is what is found.
async fn insert(tx: &Tx, name: &str, value: &str) -> Result<String, DbErr> {
    let row = ActiveModel {
        name: Set(name.to_owned()),
        value: Set(value.to_owned()),
        recorded_at: Set(tx.now()),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Name).do_nothing().to_owned())
        .exec_without_returning(tx.conn())
        .await?;
    let recorded = find(tx.conn(), name).await?;
    recorded.ok_or_else(|| DbErr::RecordNotInserted)
}
