//! Lists, newest first, from where the page before ended.

use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select, sea_query::ExprTrait as _,
};
use shared::clock::Instant;
use uuid::Uuid;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The instant and the id of the last item of the page before.
    pub after: Option<(Instant, Uuid)>,
    /// Items a page. One more is read, which tells whether there is a next page.
    pub limit: u64,
}

impl Part {
    /// This part of `select`, newest first by `at`, then by `id`.
    pub(super) fn of<E: EntityTrait>(self, select: Select<E>, at: E::Column, id: E::Column) -> Select<E> {
        let select = match self.after {
            Some((last_at, last_id)) => select.filter(at.lt(last_at).or(at.eq(last_at).and(id.lt(last_id)))),
            None => select,
        };
        select
            .order_by_desc(at)
            .order_by_desc(id)
            .limit(self.limit.saturating_add(1))
    }
}
