//! Makes, lists and disables programs that call by themselves, from the command line.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use secrecy::SecretString;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::Permission,
    db::Db,
    ids::{SessionId, UserId},
    sessions::EndedSessions,
};

use super::{
    IssueTokenError,
    end_sessions::announce,
    issue_client_token::BUILT_IN,
    issue_token::{kept, random_secret},
};
pub use crate::store::client::Client as ServiceClient;
use crate::{
    domain::{ReservedPermission, check_name, check_permissions},
    store::client,
};

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It can't be called that.
    #[error("the name {0}")]
    Name(String),
    /// There is one of that name.
    #[error("there is a client of that name already")]
    Exists,
    /// There is none of that name.
    #[error("there is no client of that name, or it was disabled before")]
    NotFound,
    /// It can't be given that.
    #[error("that is not for programs")]
    Permission(#[from] ReservedPermission),
    /// No secret could be made.
    #[error("no secret could be made")]
    Secret(#[from] IssueTokenError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Makes a client; returns it with its secret, which is told once and not kept.
///
/// # Errors
/// See [`ClientError`].
pub async fn create_client(
    db: &Db,
    name: &str,
    permissions: BTreeSet<Permission>,
) -> Result<(ServiceClient, SecretString), ClientError> {
    check_name(name).map_err(|error| ClientError::Name(error.to_string()))?;
    check_permissions(&permissions)?;
    if name == BUILT_IN.name {
        return Err(ClientError::Exists);
    }
    let secret = random_secret()?;
    let (hash, permissions) = (&kept(&secret), &permissions);
    let made = db
        .write(|tx| async move {
            let made = ServiceClient {
                id: UserId::new(tx.now()),
                name: name.to_owned(),
                permissions: permissions.clone(),
                created_at: tx.now(),
                disabled_at: None,
            };
            if !client::insert(tx.conn(), &made, hash).await? {
                return Err(ClientError::Exists);
            }
            let deed = Deed {
                actor: None,
                action: "client.create",
                subject: made.id.0,
                details: json!({"name": made.name, "permissions": made.permissions}),
            };
            audit::record(&tx, deed).await?;
            Ok(made)
        })
        .await?;
    Ok((made, secret))
}

/// Every client, by name.
///
/// # Errors
/// When the database refuses.
pub async fn list_clients(db: &Db) -> Result<Vec<ServiceClient>, DbErr> {
    client::list(db.reader()).await
}

/// Gives a client no tokens any more, and has every service refuse those that it has.
///
/// # Errors
/// See [`ClientError`].
pub async fn disable_client(db: &Db, name: &str) -> Result<(), ClientError> {
    db.write(|tx| async move {
        let found = client::find_by_name(tx.conn(), name)
            .await?
            .ok_or(ClientError::NotFound)?;
        if !client::disable(tx.conn(), found.id, tx.now()).await? {
            return Err(ClientError::NotFound);
        }
        let tokens = [(SessionId::of_program(found.id), found.id)];
        announce(&tx, &EndedSessions::default(), &tokens).await?;
        let deed = Deed {
            actor: None,
            action: "client.disable",
            subject: found.id.0,
            details: json!({"name": found.name}),
        };
        Ok(audit::record(&tx, deed).await?)
    })
    .await
}
