//! Shows administrators why promocodes were refused, unmasked.

use sea_orm::{ConnectionTrait, DbErr};

use super::Part;
use crate::store;

pub(crate) use crate::store::refusals::{Refusal, RefusalSource, WhichRefusals};

/// Refusals, newest first.
pub(crate) async fn read_refusals(
    conn: &impl ConnectionTrait,
    which: WhichRefusals,
    part: Part,
) -> Result<Vec<Refusal>, DbErr> {
    store::refusals::list(conn, which, part).await
}
