//! The inbox of all users.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};
use shared::{
    clock::Instant,
    http::Cursor,
    ids::{LetterId, UserId},
};

use crate::domain::letter::{Letter, LetterKind};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{LetterId, UserId},
    };

    /// A letter in the inbox.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "letters")]
    pub struct Model {
        /// Breaks ties of the order.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: LetterId,
        /// To whom; possibly somebody the replica has not heard of yet.
        pub user_id: UserId,
        /// `LetterKind` by its name.
        pub kind: String,
        /// Unique: makes a second letter impossible.
        #[sea_orm(unique)]
        pub about: String,
        /// One line.
        pub subject: String,
        /// Plain text.
        pub body: String,
        /// JSON.
        pub data: String,
        /// When the outcome came about; the inbox is ordered by it.
        pub occurred_at: Instant,
        /// When the letter was made.
        pub created_at: Instant,
        /// When its owner read it first.
        pub read_at: Option<Instant>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// Rows a statement: ten values each, and SQLite takes 32,766 in one.
const CHUNK: usize = 1_000;

/// Keeps `letters` under these ids; one about what there is a letter about already is left out.
pub async fn insert(
    conn: &impl ConnectionTrait,
    letters: &[(LetterId, Letter)],
    now: Instant,
) -> Result<(), DbErr> {
    let mut rows = Vec::with_capacity(letters.len());
    for (id, letter) in letters {
        let data = serde_json::to_string(&letter.data).map_err(|error| DbErr::Json(error.to_string()))?;
        rows.push((letter, *id, data));
    }
    // In sorted order, so that two replicas that make the same letters can't wait for each other.
    rows.sort_by(|(one, ..), (other, ..)| one.about.cmp(&other.about));
    for chunk in rows.chunks(CHUNK) {
        let rows = chunk.iter().map(|(letter, id, data)| ActiveModel {
            id: Set(*id),
            user_id: Set(letter.user_id),
            kind: Set(letter.kind.as_str().to_owned()),
            about: Set(letter.about.clone()),
            subject: Set(letter.subject.clone()),
            body: Set(letter.body.clone()),
            data: Set(data.clone()),
            occurred_at: Set(letter.occurred_at),
            created_at: Set(now),
            read_at: Set(None),
        });
        Entity::insert_many(rows)
            .on_conflict(OnConflict::column(Column::About).do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// Which of `ids` there are.
pub async fn existing(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = LetterId>,
) -> Result<HashSet<LetterId>, DbErr> {
    let mut found = HashSet::new();
    let ids: Vec<_> = ids.into_iter().collect();
    for chunk in ids.chunks(CHUNK) {
        let rows: Vec<LetterId> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .into_tuple()
            .all(conn)
            .await?;
        found.extend(rows);
    }
    Ok(found)
}

/// The letters of these ids, whoever's they are.
pub async fn find_many(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = LetterId>,
) -> Result<HashMap<LetterId, Model>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The letter `id`, whoever's it is, locked.
pub async fn lock(conn: &impl ConnectionTrait, id: LetterId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(conn).await
}

/// The letter `id`, if it is `user`'s.
pub async fn find(conn: &impl ConnectionTrait, user: UserId, id: LetterId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id)
        .filter(Column::UserId.eq(user))
        .one(conn)
        .await
}

/// What to list of `user`'s letters.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Whose.
    pub user_id: UserId,
    /// Only those not read (`true`) or read (`false`); all if absent.
    pub unread: Option<bool>,
    /// Only those that come after this one.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: u64,
}

/// Letters, the newest first.
pub async fn list(conn: &impl ConnectionTrait, listing: Listing) -> Result<Vec<Model>, DbErr> {
    let mut letters = Entity::find().filter(Column::UserId.eq(listing.user_id));
    letters = match listing.unread {
        Some(true) => letters.filter(Column::ReadAt.is_null()),
        Some(false) => letters.filter(Column::ReadAt.is_not_null()),
        None => letters,
    };
    if let Some(Cursor { at, id }) = listing.after {
        letters = letters.filter(
            Condition::any().add(Column::OccurredAt.lt(at)).add(
                Condition::all()
                    .add(Column::OccurredAt.eq(at))
                    .add(Column::Id.lt(LetterId(id))),
            ),
        );
    }
    letters
        .order_by_desc(Column::OccurredAt)
        .order_by_desc(Column::Id)
        .limit(listing.limit)
        .all(conn)
        .await
}

/// Notes that `user` read their letter `id` at `now`; false if there is none that is unread.
pub async fn mark_read(
    conn: &impl ConnectionTrait,
    user: UserId,
    id: LetterId,
    now: Instant,
) -> Result<bool, DbErr> {
    let done = Entity::update_many()
        .set(ActiveModel {
            read_at: Set(Some(now)),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        .filter(Column::UserId.eq(user))
        .filter(Column::ReadAt.is_null())
        .exec(conn)
        .await?;
    Ok(done.rows_affected > 0)
}

/// Notes that `user` has not read their letter `id`.
pub async fn mark_unread(conn: &impl ConnectionTrait, user: UserId, id: LetterId) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel {
            read_at: Set(None),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        .filter(Column::UserId.eq(user))
        .exec(conn)
        .await?;
    Ok(())
}

/// How many of `user`'s letters are not read.
pub async fn count_unread(conn: &impl ConnectionTrait, user: UserId) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user))
        .filter(Column::ReadAt.is_null())
        .count(conn)
        .await
}

/// Of the letters about these things: what they are about, and their kind.
pub async fn list_about(
    conn: &impl ConnectionTrait,
    about: impl IntoIterator<Item = String>,
) -> Result<Vec<(String, String)>, DbErr> {
    Entity::find()
        .select_only()
        .columns([Column::About, Column::Kind])
        .filter(Column::About.is_in(about))
        .into_tuple()
        .all(conn)
        .await
}

/// At most `limit` letters of these kinds that were made before `before`, each with what it is
/// about, by id, from behind `after` on.
pub async fn list_of_kinds(
    conn: &impl ConnectionTrait,
    kinds: impl IntoIterator<Item = LetterKind>,
    before: Instant,
    after: Option<LetterId>,
    limit: u64,
) -> Result<Vec<(LetterId, String)>, DbErr> {
    let mut select = Entity::find()
        .select_only()
        .columns([Column::Id, Column::About])
        .filter(Column::Kind.is_in(kinds.into_iter().map(LetterKind::as_str)))
        .filter(Column::CreatedAt.lt(before));
    if let Some(after) = after {
        select = select.filter(Column::Id.gt(after));
    }
    select
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await
}
