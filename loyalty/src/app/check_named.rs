//! Looks whether there is what a campaign or a grant names.
//!
//! Users and tariffs are known from events of other services, which come a moment after the change.
//! What was made just now is waited for.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};
use shared::{clock::Instant, contracts::UserStatus, db::Db, ids::UserId, users};
use uuid::Uuid;

use crate::{
    domain::eligibility::{Eligibility, EligibilityError, MOST_NAMED},
    store,
};

/// For how long an event may be on its way.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// How old may be what is still waited for; its id tells when it was made.
const RECENT: chrono::Duration = chrono::Duration::seconds(15);

/// All that `named` names and that there is not.
pub(crate) async fn check_named(db: &Db, named: &Eligibility) -> Result<Vec<EligibilityError>, DbErr> {
    let lengths = [named.users.len(), named.groups.len(), named.tariffs.len()];
    if lengths.iter().any(|length| *length > MOST_NAMED) {
        // That is refused, without a look at any of them.
        return Ok(Vec::new());
    }
    let mut waited = Duration::ZERO;
    loop {
        let unknown = unknown(db.reader(), named).await?;
        let may_come = unknown.iter().any(|error| match error {
            EligibilityError::NoSuchUser(id) => is_recent(id.0, db.now()),
            EligibilityError::NoSuchTariff(id) => is_recent(id.0, db.now()),
            _ => false,
        });
        if !may_come || waited >= PATIENCE {
            return Ok(unknown);
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}

/// Waits until the user is known, if they may have registered just now.
pub(crate) async fn wait_for_user(db: &Db, user: UserId) -> Result<(), DbErr> {
    let mut waited = Duration::ZERO;
    while waited < PATIENCE && is_recent(user.0, db.now()) && users::find(db.reader(), user).await?.is_none()
    {
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
    Ok(())
}

async fn unknown(conn: &impl ConnectionTrait, named: &Eligibility) -> Result<Vec<EligibilityError>, DbErr> {
    let mut unknown = Vec::new();
    if !named.users.is_empty() {
        let known = users::find_many(conn, named.users.iter().copied()).await?;
        unknown.extend(named.users.iter().filter_map(|id| match known.get(id) {
            None => Some(EligibilityError::NoSuchUser(*id)),
            Some(user) if user.status == UserStatus::Deleted => Some(EligibilityError::DeletedUser(*id)),
            Some(_) => None,
        }));
    }
    if !named.groups.is_empty() {
        let known = store::groups::existing(conn, named.groups.iter().copied()).await?;
        let missing = named.groups.iter().filter(|id| !known.contains(id));
        unknown.extend(missing.map(|id| EligibilityError::NoSuchGroup(*id)));
    }
    if !named.tariffs.is_empty() {
        let known = store::tariffs::known(conn, named.tariffs.iter().copied()).await?;
        let missing = named.tariffs.iter().filter(|id| !known.contains(id));
        unknown.extend(missing.map(|id| EligibilityError::NoSuchTariff(*id)));
    }
    Ok(unknown)
}

/// Whether an id, which tells the time at which it was made, was made a moment ago.
fn is_recent(id: Uuid, now: Instant) -> bool {
    let made_at = id.get_timestamp().and_then(|made_at| {
        let (seconds, _) = made_at.to_unix();
        Instant::from_timestamp(i64::try_from(seconds).ok()?, 0)
    });
    made_at.is_some_and(|made_at| (now - made_at).abs() <= RECENT)
}
