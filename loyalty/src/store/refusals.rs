//! Every "no", with all its reasons.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use shared::{
    clock::Instant,
    contracts::{Reason, RefusalCode},
    ids::{CampaignId, PromocodeId, PurchaseId, RefusalId, TariffId, UserId},
};

use super::{CHUNK, from_json, page::Part, to_json};
use crate::domain::promocode::PromocodeCode;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{CampaignId, PromocodeId, PurchaseId, RefusalId, TariffId, UserId},
    };

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "refusals")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: RefusalId,
        pub purchase_id: Option<PurchaseId>,
        pub user_id: UserId,
        pub tariff_id: TariffId,
        pub promocode: String,
        pub promocode_id: Option<PromocodeId>,
        pub campaign_id: Option<CampaignId>,
        pub reasons: String,
        pub refused_at: Instant,
        /// What was typed, in the normal form; absent where it can't be a promocode.
        pub code: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A recorded "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub id: RefusalId,
    /// For which purchase; absent if it was a dry run.
    pub purchase_id: Option<PurchaseId>,
    pub user_id: UserId,
    pub tariff_id: TariffId,
    /// As it was typed; empty if there is no such promocode and who typed it is deleted.
    pub promocode: String,
    /// The promocode and its campaign, if there is such a one.
    pub found: Option<(PromocodeId, CampaignId)>,
    /// All conditions that failed: the administrators' copy.
    pub reasons: Vec<Reason>,
    pub refused_at: Instant,
}

impl Refusal {
    /// Forgets what was typed, unless there is such a promocode.
    pub(crate) fn forget_what_was_typed(&mut self) {
        if self.found.is_none() {
            self.promocode.clear();
            self.reasons = without_what_was_typed(std::mem::take(&mut self.reasons));
        }
    }
}

fn without_what_was_typed(reasons: Vec<Reason>) -> Vec<Reason> {
    reasons.into_iter().map(Reason::without_what_was_typed).collect()
}

fn read(row: Model) -> Result<Refusal, DbErr> {
    Ok(Refusal {
        id: row.id,
        purchase_id: row.purchase_id,
        user_id: row.user_id,
        tariff_id: row.tariff_id,
        promocode: row.promocode,
        found: row.promocode_id.zip(row.campaign_id),
        reasons: from_json(&row.reasons)?,
        refused_at: row.refused_at,
    })
}

fn normal_form(typed: &str) -> Option<String> {
    PromocodeCode::parse(typed).ok().map(String::from)
}

/// Keeps refusals.
pub(crate) async fn insert(conn: &impl ConnectionTrait, refusals: &[Refusal]) -> Result<(), DbErr> {
    for chunk in refusals.chunks(CHUNK) {
        let rows = chunk
            .iter()
            .map(|refusal| {
                Ok(ActiveModel {
                    id: Set(refusal.id),
                    purchase_id: Set(refusal.purchase_id),
                    user_id: Set(refusal.user_id),
                    tariff_id: Set(refusal.tariff_id),
                    promocode: Set(refusal.promocode.clone()),
                    promocode_id: Set(refusal.found.map(|(promocode, _)| promocode)),
                    campaign_id: Set(refusal.found.map(|(_, campaign)| campaign)),
                    reasons: Set(to_json(&refusal.reasons)?),
                    refused_at: Set(refusal.refused_at),
                    code: Set(normal_form(&refusal.promocode)),
                })
            })
            .collect::<Result<Vec<_>, DbErr>>()?;
        Entity::insert_many(rows).exec_without_returning(conn).await?;
    }
    Ok(())
}

/// Why the holds for these purchases were refused.
pub(crate) async fn reasons_of(
    conn: &impl ConnectionTrait,
    purchases: &[PurchaseId],
) -> Result<HashMap<PurchaseId, Vec<Reason>>, DbErr> {
    if purchases.is_empty() {
        return Ok(HashMap::new());
    }
    let refused = Entity::find().filter(Column::PurchaseId.is_in(purchases.iter().copied()));
    let mut reasons = HashMap::with_capacity(purchases.len());
    for row in refused.all(conn).await? {
        if let Some(purchase) = row.purchase_id {
            reasons.insert(purchase, from_json(&row.reasons)?);
        }
    }
    Ok(reasons)
}

/// At most `limit` of the user's dry runs that were refused since `since`, newest first.
pub(crate) async fn dry_runs_since(
    conn: &impl ConnectionTrait,
    user: UserId,
    since: Instant,
    limit: u64,
) -> Result<Vec<Refusal>, DbErr> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user))
        .filter(Column::PurchaseId.is_null())
        .filter(Column::RefusedAt.gt(since))
        .order_by_desc(Column::RefusedAt)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}

/// Empties what these users typed where there is no such promocode: so many refusals at a time, with
/// a statement for each text that their reasons have without it.
pub(crate) async fn forget_what_was_typed(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<(), DbErr> {
    loop {
        let typed: Vec<(RefusalId, String)> = Entity::find()
            .select_only()
            .column(Column::Id)
            .column(Column::Reasons)
            .filter(Column::UserId.is_in(users.iter().copied()))
            .filter(Column::PromocodeId.is_null())
            .filter(Column::Promocode.ne(""))
            .limit(CHUNK as u64)
            .into_tuple()
            .all(conn)
            .await?;
        let is_last = typed.len() < CHUNK;
        let mut by_reasons: BTreeMap<String, Vec<RefusalId>> = BTreeMap::new();
        for (id, reasons) in typed {
            let reasons = to_json(&without_what_was_typed(from_json(&reasons)?))?;
            by_reasons.entry(reasons).or_default().push(id);
        }
        for (reasons, ids) in by_reasons {
            Entity::update_many()
                .col_expr(Column::Promocode, Expr::value(""))
                .col_expr(Column::Code, Expr::value(Option::<String>::None))
                .col_expr(Column::Reasons, Expr::value(reasons))
                .filter(Column::Id.is_in(ids))
                .exec(conn)
                .await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Whether a purchase asked, or only a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalSource {
    Hold,
    Validation,
}

/// Which refusals are asked for; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WhichRefusals {
    pub user_id: Option<UserId>,
    pub campaign_id: Option<CampaignId>,
    pub purchase_id: Option<PurchaseId>,
    /// What was typed, however its case was.
    pub promocode: Option<PromocodeCode>,
    /// With this reason among theirs.
    pub code: Option<RefusalCode>,
    /// Refused then or later.
    pub from: Option<Instant>,
    /// Refused before then.
    pub to: Option<Instant>,
    pub source: Option<RefusalSource>,
}

/// Refusals, newest first.
pub(crate) async fn list(
    conn: &impl ConnectionTrait,
    which: WhichRefusals,
    part: Part,
) -> Result<Vec<Refusal>, DbErr> {
    let code = which.code.map(|code| to_json(&code)).transpose()?;
    let conditions = [
        which.user_id.map(|user| Column::UserId.eq(user)),
        which.campaign_id.map(|campaign| Column::CampaignId.eq(campaign)),
        which.purchase_id.map(|purchase| Column::PurchaseId.eq(purchase)),
        which.promocode.map(|code| Column::Code.eq(code.as_str())),
        // As a reason is written; a quote in what was typed is written otherwise.
        code.map(|code| Column::Reasons.contains(format!("\"code\":{code}"))),
        which.from.map(|from| Column::RefusedAt.gte(from)),
        which.to.map(|to| Column::RefusedAt.lt(to)),
        which.source.map(|source| match source {
            RefusalSource::Hold => Column::PurchaseId.is_not_null(),
            RefusalSource::Validation => Column::PurchaseId.is_null(),
        }),
    ];
    let mut select = Entity::find();
    for condition in conditions.into_iter().flatten() {
        select = select.filter(condition);
    }
    let rows = part.of(select, Column::RefusedAt, Column::Id).all(conn).await?;
    rows.into_iter().map(read).collect()
}
