//! The top-ups.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{LockBehavior, LockType},
};
use shared::{clock::Instant, ids::TopUpId};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::{entity::prelude::*, sea_query::StringLen};
    use shared::{
        clock::Instant,
        ids::{TopUpId, UserId},
        money::Amount,
    };

    /// How far a top-up has come.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
    pub enum State {
        /// The provider has not decided.
        #[sea_orm(string_value = "pending")]
        Pending,
        /// The money is in the wallet.
        #[sea_orm(string_value = "approved")]
        Approved,
        /// The provider refused.
        #[sea_orm(string_value = "declined")]
        Declined,
    }

    /// A request to put money into a wallet.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "top_ups")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: TopUpId,
        /// Whose wallet.
        pub user_id: UserId,
        /// Which payment provider.
        pub provider: String,
        /// How much.
        pub amount: Amount,
        /// How far it has come.
        pub state: State,
        /// Why the provider refused.
        pub decline_reason: Option<String>,
        /// What the wallet held after it.
        pub balance_after: Option<Amount>,
        /// When it was asked for.
        pub requested_at: Instant,
        /// When the provider decided.
        pub settled_at: Option<Instant>,
        /// How often the provider was asked.
        pub asks: i32,
        /// From when on it is to be asked again; none once it has decided.
        pub next_ask_at: Option<Instant>,
        /// Until when whoever asks the provider is left alone; none while nobody does.
        pub in_hand_until: Option<Instant>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model, State};

/// Writes a new top-up.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, top_up: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(top_up))
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// The top-up `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, id: TopUpId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// The top-up `id`, locked for this transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(conn: &impl ConnectionTrait, id: TopUpId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(conn).await
}

/// Whether `provider` is to be asked about any top-up again.
///
/// # Errors
/// When the database does not answer.
pub async fn any_due(conn: &impl ConnectionTrait, provider: &str, now: Instant) -> Result<bool, DbErr> {
    let row = due(provider, now).one(conn).await?;
    Ok(row.is_some())
}

/// The top-up that `provider` is to be asked about first, locked for this transaction; one that
/// somebody else has in hand is left to them.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_due(
    conn: &impl ConnectionTrait,
    provider: &str,
    now: Instant,
) -> Result<Option<Model>, DbErr> {
    due(provider, now)
        .order_by_asc(Column::NextAskAt)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(conn)
        .await
}

fn due(provider: &str, now: Instant) -> sea_orm::Select<Entity> {
    Entity::find()
        .filter(Column::State.eq(State::Pending))
        .filter(Column::Provider.eq(provider))
        .filter(Column::NextAskAt.lte(now))
}

/// Writes who asks, how often it was asked and when it is to be asked again, over a pending top-up.
///
/// # Errors
/// When the database refuses, or it is not pending.
pub async fn put_off(conn: &impl ConnectionTrait, top_up: &Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        asks: Set(top_up.asks),
        next_ask_at: Set(top_up.next_ask_at),
        in_hand_until: Set(top_up.in_hand_until),
        ..Default::default()
    };
    update_pending(conn, top_up.id, row).await
}

/// Writes what the provider decided over a pending top-up.
///
/// # Errors
/// When the database refuses, or it is not pending.
pub async fn settle(conn: &impl ConnectionTrait, top_up: &Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        state: Set(top_up.state),
        decline_reason: Set(top_up.decline_reason.clone()),
        balance_after: Set(top_up.balance_after),
        settled_at: Set(top_up.settled_at),
        next_ask_at: Set(None),
        in_hand_until: Set(None),
        ..Default::default()
    };
    update_pending(conn, top_up.id, row).await
}

async fn update_pending(conn: &impl ConnectionTrait, id: TopUpId, row: ActiveModel) -> Result<(), DbErr> {
    let written = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(State::Pending))
        .exec(conn)
        .await?;
    if written.rows_affected == 1 {
        Ok(())
    } else {
        Err(DbErr::RecordNotUpdated)
    }
}

/// Whether a top-up by `provider` was ever approved.
///
/// # Errors
/// When the database does not answer.
pub async fn any_approved_by(conn: &impl ConnectionTrait, provider: &str) -> Result<bool, DbErr> {
    let approved = Entity::find()
        .filter(Column::Provider.eq(provider))
        .filter(Column::State.eq(State::Approved));
    Ok(approved.one(conn).await?.is_some())
}
