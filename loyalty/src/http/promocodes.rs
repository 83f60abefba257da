//! Promocodes: made by administrators, tried by customers.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use shared::{
    clock::Instant,
    contracts::Permission,
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query, RecentCaller, present},
    ids::{CampaignId, PromocodeId, TariffId},
    money::Money,
};

use super::{AppState, part, promocode_exists};
use crate::{
    app::{
        create_promocode::{self, CreatePromocode, CreatePromocodeError, KeptPromocode},
        read_promocodes::read_promocodes,
        validate_promocode::{self, ValidatePromocode, ValidatePromocodeError, Validation},
    },
    domain::promocode::{NewPromocode, Promocode, PromocodeError},
};

/// A promocode that is to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPromocodeBody {
    code: String,
    #[serde(default, deserialize_with = "present")]
    max_uses: Option<i64>,
}

impl From<NewPromocodeBody> for NewPromocode {
    fn from(body: NewPromocodeBody) -> Self {
        Self {
            code: body.code,
            max_uses: body.max_uses,
        }
    }
}

/// What is wrong with it, each field's name behind `prefix`.
pub(super) fn promocode_errors(prefix: &str, errors: &[PromocodeError]) -> Vec<FieldError> {
    errors
        .iter()
        .map(|error| FieldError::new(format!("{prefix}{}", error.field()), error.to_string()))
        .collect()
}

/// A promocode's own terms.
#[derive(Debug, Serialize)]
pub(super) struct PromocodeTerms {
    id: PromocodeId,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_uses: Option<i64>,
    disabled: bool,
}

impl From<Promocode> for PromocodeTerms {
    fn from(promocode: Promocode) -> Self {
        Self {
            id: promocode.id,
            code: promocode.code.to_string(),
            max_uses: promocode.max_uses,
            disabled: promocode.disabled,
        }
    }
}

/// A promocode as administrators see it.
#[derive(Debug, Serialize)]
pub(super) struct PromocodeBody {
    #[serde(flatten)]
    terms: PromocodeTerms,
    campaign_id: CampaignId,
    created_at: Instant,
}

impl From<KeptPromocode> for PromocodeBody {
    fn from(kept: KeptPromocode) -> Self {
        Self {
            campaign_id: kept.promocode.campaign_id,
            terms: kept.promocode.into(),
            created_at: kept.created_at,
        }
    }
}

/// `POST /campaigns/{id}/promocodes`
pub(super) async fn create_promocode(
    State(state): State<AppState>,
    caller: Caller,
    Path(campaign_id): Path<CampaignId>,
    Json(body): Json<NewPromocodeBody>,
) -> Result<Response, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let input = &CreatePromocode {
        campaign_id,
        promocode: body.into(),
    };
    let created = state
        .db
        .write(|tx| async move { create_promocode::create_promocode(&tx, input.clone()).await })
        .await?;
    // No Location: a promocode alone has no address.
    Ok((StatusCode::CREATED, Json(PromocodeBody::from(created))).into_response())
}

/// `GET /campaigns/{id}/promocodes`
pub(super) async fn list_promocodes(
    State(state): State<AppState>,
    caller: Caller,
    Path(campaign_id): Path<CampaignId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<PromocodeBody>>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let part = part(&page)?;
    let promocodes = read_promocodes(state.db.reader(), campaign_id, part).await?;
    let promocodes = promocodes.ok_or_else(|| Problem::not_found("campaign"))?;
    let cursor = |kept: &KeptPromocode| Cursor {
        at: kept.created_at,
        id: kept.promocode.id.0,
    };
    Ok(Json(Page::of(
        promocodes,
        part.limit,
        cursor,
        PromocodeBody::from,
    )))
}

/// A dry run that is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValidateBody {
    promocode: String,
    tariff_id: TariffId,
}

/// What the tariff would cost.
#[derive(Debug, Serialize)]
pub(super) struct ValidationBody {
    tariff_id: TariffId,
    promocode: String,
    list_price: Money,
    discount: Money,
    final_price: Money,
}

/// `POST /promocodes/validate`
pub(super) async fn validate_promocode(
    State(state): State<AppState>,
    RecentCaller(caller): RecentCaller,
    Json(body): Json<ValidateBody>,
) -> Result<Json<ValidationBody>, Problem> {
    let tariff_id = body.tariff_id;
    let input = &ValidatePromocode {
        user_id: caller.user_id,
        promocode: body.promocode,
        tariff_id,
    };
    let db = &state.db;
    let validation =
        validate_promocode::validate_promocode(db.reader(), &state.terms, db.now(), input).await?;
    match validation {
        Validation::Priced { code, priced } => {
            let money = |amount| Money::new(amount, state.currency);
            Ok(Json(ValidationBody {
                tariff_id,
                promocode: code.to_string(),
                list_price: money(priced.list_price),
                discount: money(priced.discount),
                final_price: money(priced.final_price),
            }))
        }
        Validation::Refused { reasons, to_keep } => {
            if let Some(refusal) = &to_keep {
                validate_promocode::keep_refusal(db, refusal).await?;
            }
            Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "promocode_refused",
                "The promocode can't be used",
            )
            .reasons(&reasons))
        }
    }
}

impl From<CreatePromocodeError> for Problem {
    fn from(error: CreatePromocodeError) -> Self {
        match error {
            CreatePromocodeError::CampaignNotFound => Self::not_found("campaign"),
            CreatePromocodeError::Invalid(errors) => Self::invalid(&promocode_errors("", &errors)),
            CreatePromocodeError::PromocodeExists => promocode_exists(),
            error @ CreatePromocodeError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<ValidatePromocodeError> for Problem {
    fn from(error: ValidatePromocodeError) -> Self {
        match error {
            ValidatePromocodeError::TariffNotFound => Self::not_found("tariff"),
            error => Self::internal(&error),
        }
    }
}
