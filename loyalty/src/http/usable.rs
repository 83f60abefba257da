//! Promocodes as customers see them: tried, and those that they may use.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use iso_currency::Currency;
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, ClientAddress, Cursor, Json, Page, PageQuery, Problem, Query, RecentCaller, present},
    ids::{CampaignId, PromocodeId, TariffId, UserId},
    money::Money,
    throttle::bucket_of,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState, Whose, part,
    terms::{DiscountSchema, TitleBody},
};
use crate::{
    app::{
        guesses::Watched,
        read_usable_promocodes::{ReadUsablePromocodesError, UsablePromocode, read_usable_promocodes},
        try_promocode::{Tried, TryPromocodeError, try_promocode},
        validate_promocode::{ValidatePromocode, ValidatePromocodeError},
    },
    domain::{discount::Discount, guess::Guesser},
};

/// A dry run that is asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DryRun)]
pub(super) struct ValidateBody {
    /// As the customer typed it.
    promocode: String,
    tariff_id: TariffId,
    /// Who would buy: the caller if absent; somebody else needs `campaigns.read`. They are answered as
    /// that customer would be.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    user_id: Option<UserId>,
}

/// What the tariff would cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PricedTariff)]
pub(super) struct ValidationBody {
    tariff_id: TariffId,
    promocode: String,
    list_price: Money,
    discount: Money,
    final_price: Money,
}

/// Prices a tariff with a promocode, or says why not; changes nothing.
#[utoipa::path(post, path = "/promocodes/validate",
    security(("access_token" = []), ("access_token" = ["campaigns.read"])),
    request_body = ValidateBody,
    responses(
        (status = 200, body = ValidationBody),
        (status = 404, description = "`not_found`: there is no such tariff."),
        (status = 409, description = "`tariff_not_sold`: it is archived."),
        (status = 422, description = "`promocode_refused`: the promocode can't be used; `reasons` say why."),
        (status = 429, description = "`too_many_attempts`: the caller has tried too many unknown promocodes; `Retry-After` says how many seconds they wait."),
    ))]
pub(super) async fn validate_promocode(
    State(state): State<AppState>,
    RecentCaller(caller): RecentCaller,
    ClientAddress(address): ClientAddress,
    Json(body): Json<ValidateBody>,
) -> Result<Json<ValidationBody>, Problem> {
    let tariff_id = body.tariff_id;
    let input = &ValidatePromocode {
        user_id: caller.own_or(body.user_id, Permission::CampaignsRead)?,
        promocode: body.promocode,
        tariff_id,
    };
    // With this permission all promocodes can be read anyway.
    let watched = (!caller.may(Permission::CampaignsRead)).then(|| Watched {
        guesser: Guesser::new(caller.user_id, address.map(bucket_of)),
        limits: state.guesses,
    });
    match try_promocode(&state.db, &state.terms, watched.as_ref(), input).await? {
        Tried::Priced { code, priced } => {
            let money = |amount| Money::new(amount, state.currency);
            Ok(Json(ValidationBody {
                tariff_id,
                promocode: code.to_string(),
                list_price: money(priced.list_price),
                discount: money(priced.discount),
                final_price: money(priced.final_price),
            }))
        }
        Tried::Refused(reasons) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "promocode_refused",
            "The promocode can't be used",
        )
        .reasons(&reasons)),
    }
}

/// A promocode that its reader may use now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsablePromocodeBody {
    id: PromocodeId,
    /// What to type.
    code: String,
    campaign_id: CampaignId,
    /// What the campaign is called; absent if it has no public title.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    title: Option<TitleBody>,
    /// The campaign's title in English, or the promocode where it has none; `title` is better.
    #[schema(deprecated)]
    name: String,
    #[schema(value_type = DiscountSchema)]
    discount: Discount,
    /// Until when; open-ended if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ends_at: Option<DateTime<Utc>>,
    /// Uses that are left for them; unlimited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    uses_left: Option<i64>,
    /// Tariffs that it can be used for, at most 20 of them.
    #[schema(max_items = 20)]
    prices: Vec<PriceBody>,
    /// Whether it can be used for more tariffs than `prices` shows; `tariff_id` asks about a certain one.
    has_more_prices: bool,
}

/// What a tariff would cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromocodePrice)]
pub(super) struct PriceBody {
    tariff_id: TariffId,
    list_price: Money,
    discount: Money,
    final_price: Money,
}

impl UsablePromocodeBody {
    fn of(usable: UsablePromocode, currency: Currency) -> Self {
        let money = |amount| Money::new(amount, currency);
        let prices = usable.prices.into_iter().map(|(tariff_id, priced)| PriceBody {
            tariff_id,
            list_price: money(priced.list_price),
            discount: money(priced.discount),
            final_price: money(priced.final_price),
        });
        let code = String::from(usable.kept.promocode.code);
        let title = usable.campaign.title;
        Self {
            id: usable.kept.promocode.id,
            campaign_id: usable.campaign.id,
            name: title
                .as_ref()
                .map_or_else(|| code.clone(), |title| title.en.clone()),
            title: title.map(Into::into),
            code,
            discount: usable.campaign.discount,
            ends_at: usable.campaign.ends_at,
            uses_left: usable.uses_left,
            prices: prices.collect(),
            has_more_prices: usable.has_more_prices,
        }
    }
}

/// For what a promocode is to be usable.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ForWhat {
    /// Only promocodes that can be used for this tariff, each with its price alone.
    tariff_id: Option<TariffId>,
}

/// Promocodes that can be used now: of listed campaigns, and granted ones; the newest first. A page
/// that has looked through many may have fewer than `limit`, or none: the list ends where there is no
/// `next_cursor`.
#[utoipa::path(get, path = "/promocodes",
    security(("access_token" = []), ("access_token" = ["campaigns.read"])),
    params(Whose, ForWhat, PageQuery),
    responses((status = 200, body = Page<UsablePromocodeBody>)))]
pub(super) async fn list_usable_promocodes(
    State(state): State<AppState>,
    caller: Caller,
    Query(whose): Query<Whose>,
    Query(what): Query<ForWhat>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<UsablePromocodeBody>>, Problem> {
    let user = caller.own_or(whose.user_id, Permission::CampaignsRead)?;
    let part = part(&query)?;
    let usable =
        read_usable_promocodes(state.db.reader(), user, what.tariff_id, state.db.now(), part).await?;
    let items = usable.items.into_iter();
    let items = items.map(|usable| UsablePromocodeBody::of(usable, state.currency));
    let next = usable.next.map(|(at, id)| Cursor { at, id });
    Ok(Json(Page::until(items.collect(), next)))
}

impl From<TryPromocodeError> for Problem {
    fn from(error: TryPromocodeError) -> Self {
        match error {
            TryPromocodeError::Throttled(throttled) => throttled.into(),
            TryPromocodeError::Validate(error) => error.into(),
            TryPromocodeError::Store(error) => error.into(),
        }
    }
}

impl From<ValidatePromocodeError> for Problem {
    fn from(error: ValidatePromocodeError) -> Self {
        match error {
            ValidatePromocodeError::TariffNotFound => Self::not_found("tariff"),
            ValidatePromocodeError::TariffNotSold => Self::new(
                StatusCode::CONFLICT,
                "tariff_not_sold",
                "The tariff is not sold any more",
            ),
            error => Self::internal(&error),
        }
    }
}

impl From<ReadUsablePromocodesError> for Problem {
    fn from(error: ReadUsablePromocodesError) -> Self {
        Self::internal(&error)
    }
}
