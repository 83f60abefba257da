//! Uses that were given back and are not taken off their counts yet: a row a use and count.
//!
//! To give back is to add a row, which waits for nobody: a purchase that fails locks no count, so
//! that its transaction can go on to lock the counts of other holds, all at once and in order.
//! Whoever locks a count takes its rows away (see [`super::counters`]).

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter};
use shared::ids::PurchaseId;

use super::{
    CHUNK,
    counters::{columns, key, with_keys},
};
use crate::domain::batch::CounterKey;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::ids::{PurchaseId, UserId};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "returned_uses")]
    pub struct Model {
        /// Whose use it was: a purchase gives one back at most once.
        #[sea_orm(primary_key, auto_increment = false)]
        pub purchase_id: PurchaseId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub scope: String,
        pub scope_id: Uuid,
        /// Nil where all users count together.
        pub user_id: UserId,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{Entity, Model};

/// Gives back the uses that these purchases took, each in one count.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    uses: &[(PurchaseId, CounterKey)],
) -> Result<(), DbErr> {
    let rows: Vec<_> = uses
        .iter()
        .map(|(purchase_id, key)| {
            let (scope, scope_id, user_id) = columns(*key);
            Model {
                purchase_id: *purchase_id,
                scope: scope.to_owned(),
                scope_id,
                user_id,
            }
        })
        .collect();
    for chunk in rows.chunks(CHUNK) {
        Entity::insert_many(chunk.iter().cloned().map(IntoActiveModel::into_active_model))
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// What was given back and is still to be taken off these counts: each count as often as uses.
pub(super) async fn find(
    conn: &impl ConnectionTrait,
    keys: impl Iterator<Item = CounterKey>,
) -> Result<Vec<CounterKey>, DbErr> {
    read(Entity::find().filter(with_keys(keys)).all(conn).await?)
}

/// The same, and takes the rows away; the counts are locked.
pub(super) async fn take(
    conn: &impl ConnectionTrait,
    keys: impl Iterator<Item = CounterKey>,
) -> Result<Vec<CounterKey>, DbErr> {
    let taken = Entity::delete_many().filter(with_keys(keys));
    read(taken.exec_with_returning(conn).await?)
}

fn read(rows: Vec<Model>) -> Result<Vec<CounterKey>, DbErr> {
    rows.iter()
        .map(|row| key(&row.scope, row.scope_id, row.user_id))
        .collect()
}
