//! What is to be mailed, and what became of it.

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, OnConflict},
};
use shared::{
    clock::Instant,
    ids::{LetterId, MailId, MailRequestId, UserId},
};

use crate::domain::mail::{LEASE, MailStatus, Standing};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{LetterId, MailId, MailRequestId, UserId},
    };

    /// One sending.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mails")]
    pub struct Model {
        /// Also what its Message-ID is made of.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: MailId,
        /// To whom.
        pub user_id: UserId,
        /// Which letter; absent for a secret link.
        pub letter_id: Option<LetterId>,
        /// Under which auth knows the secret link; absent for a letter.
        #[sea_orm(unique)]
        pub mail_request_id: Option<MailRequestId>,
        /// `MailStatus` by its name.
        pub status: String,
        /// How often it was taken up.
        pub attempts: i32,
        /// When it is due; while somebody has it in hand, when others may take it up.
        pub next_attempt_at: Option<Instant>,
        /// When it was asked for.
        pub created_at: Instant,
        /// From when on it is of no use.
        pub expires_at: Option<Instant>,
        /// When it was sent or given up.
        pub finished_at: Option<Instant>,
        /// What went wrong last.
        pub error: Option<String>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// Rows a statement: eleven values each, and SQLite takes 32,766 in one.
const CHUNK: usize = 1_000;

/// What a mail is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOf {
    /// A letter.
    Letter(LetterId),
    /// A secret link, and from when on it is good for nothing.
    Link(MailRequestId, Instant),
}

/// Puts mails on the list. A secret link that is on it already is not put there again.
pub async fn insert(
    conn: &impl ConnectionTrait,
    mails: &[(UserId, MailOf)],
    now: Instant,
) -> Result<(), DbErr> {
    // In sorted order, so that two replicas that put the same there can't wait for each other.
    let mut mails = mails.to_vec();
    mails.sort_by_key(|(_, of)| match of {
        MailOf::Letter(id) => id.0,
        MailOf::Link(id, _) => id.0,
    });
    for chunk in mails.chunks(CHUNK) {
        let rows = chunk.iter().map(|(user, of)| {
            let (letter, request, expires_at) = match *of {
                MailOf::Letter(id) => (Some(id), None, None),
                MailOf::Link(id, expires_at) => (None, Some(id), Some(expires_at)),
            };
            ActiveModel {
                id: Set(MailId::new(now)),
                user_id: Set(*user),
                letter_id: Set(letter),
                mail_request_id: Set(request),
                status: Set(MailStatus::Waiting.as_str().to_owned()),
                attempts: Set(0),
                next_attempt_at: Set(Some(now)),
                created_at: Set(now),
                expires_at: Set(expires_at),
                finished_at: Set(None),
                error: Set(None),
            }
        });
        Entity::insert_many(rows)
            .on_conflict(OnConflict::column(Column::MailRequestId).do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// Whether a mail is due.
pub async fn any_due(conn: &impl ConnectionTrait, now: Instant) -> Result<bool, DbErr> {
    let row = Entity::find()
        .filter(Column::Status.eq(MailStatus::Waiting.as_str()))
        .filter(Column::NextAttemptAt.lte(now))
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// Takes up at most `limit` mails that are due; nobody else does for as long as a lease lasts. They
/// come with this try counted.
pub async fn lease(conn: &impl ConnectionTrait, now: Instant, limit: u64) -> Result<Vec<Model>, DbErr> {
    let mut rows = Entity::find()
        .filter(Column::Status.eq(MailStatus::Waiting.as_str()))
        .filter(Column::NextAttemptAt.lte(now))
        .order_by_asc(Column::NextAttemptAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(conn)
        .await?;
    if !rows.is_empty() {
        Entity::update_many()
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .col_expr(Column::NextAttemptAt, Expr::value(now + LEASE))
            .filter(Column::Id.is_in(rows.iter().map(|row| row.id)))
            .exec(conn)
            .await?;
    }
    for row in &mut rows {
        row.attempts += 1;
    }
    Ok(rows)
}

/// Notes how the mail `id` stands after its try number `attempts`, unless somebody has taken it up
/// since, or it is done with; whether that is noted. That it was sent is true whoever did it.
pub async fn note(
    conn: &impl ConnectionTrait,
    id: MailId,
    attempts: i32,
    standing: &Standing,
    now: Instant,
) -> Result<bool, DbErr> {
    let done = standing.status != MailStatus::Waiting;
    let counted = if standing.counts { attempts } else { attempts - 1 };
    let mut update = Entity::update_many()
        .set(ActiveModel {
            status: Set(standing.status.as_str().to_owned()),
            next_attempt_at: Set(standing.next_attempt_at),
            finished_at: Set(done.then_some(now)),
            error: Set(standing.error.clone()),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq(MailStatus::Waiting.as_str()));
    if standing.status != MailStatus::Sent {
        update = update
            .col_expr(Column::Attempts, Expr::value(counted))
            .filter(Column::Attempts.eq(attempts));
    }
    Ok(update.exec(conn).await?.rows_affected > 0)
}

/// Gives up what waits for `users`.
pub async fn skip_all(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
    why: &str,
    now: Instant,
) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel {
            status: Set(MailStatus::Skipped.as_str().to_owned()),
            next_attempt_at: Set(None),
            finished_at: Set(Some(now)),
            error: Set(Some(why.to_owned())),
            ..Default::default()
        })
        .filter(Column::UserId.is_in(users))
        .filter(Column::Status.eq(MailStatus::Waiting.as_str()))
        .exec(conn)
        .await?;
    Ok(())
}

/// The newest mail of each of `letters`, where there is one.
pub async fn newest_of(
    conn: &impl ConnectionTrait,
    letters: impl IntoIterator<Item = LetterId>,
) -> Result<HashMap<LetterId, Model>, DbErr> {
    // The ids of mails sort by creation: of those of one letter, the last one stays.
    let rows = Entity::find()
        .filter(Column::LetterId.is_in(letters))
        .order_by_asc(Column::Id)
        .all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.letter_id?, row)))
        .collect())
}
