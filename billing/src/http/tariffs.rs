//! `/tariffs`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use shared::{
    contracts::{Permission, TariffStatus},
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query, present},
    ids::TariffId,
    money::Money,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    body::{page, wrong_currency},
    render::TariffBody,
};
use crate::{
    app::{
        self,
        change_tariff::{ChangeTariff, ChangeTariffError},
    },
    domain::tariff::{NewTariff, TariffError},
};

/// Which tariffs a list shows.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StatusFilter {
    Active,
    Archived,
    All,
}

/// The filter of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// `active` if absent; the others need `tariffs.write`.
    #[param(inline)]
    status: Option<StatusFilter>,
}

/// What a new tariff is.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewTariff)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// Without control characters; space around it is dropped.
    #[schema(min_length = 1, max_length = 200, example = "Basic")]
    name: String,
    /// In the platform's currency, from 0 to 1000000000000 minor units.
    price: Money,
    /// How long what is bought runs, ISO 8601.
    #[schema(pattern = "^P", example = "P1M")]
    period: String,
}

/// What is to be changed; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TariffChange)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeBody {
    /// Without control characters; space around it is dropped.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// In the platform's currency, from 0 to 1000000000000 minor units. What was bought keeps its
    /// price, and so does what waits for its promocode.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    price: Option<Money>,
    /// How long what is bought runs, ISO 8601.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = "^P", example = "P1M")]
    period: Option<String>,
}

/// What is sold, the newest first; with `tariffs.write` also what is archived.
#[utoipa::path(get, path = "/tariffs",
    security(("access_token" = []), ("access_token" = ["tariffs.write"])),
    params(ListQuery, PageQuery),
    responses(
        (status = 200, body = Page<TariffBody>),
        (status = 403, description = "`forbidden`: what is asked for needs the permission `tariffs.write`.")))]
pub(super) async fn list_tariffs(
    State(state): State<AppState>,
    caller: Caller,
    Query(filter): Query<ListQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<TariffBody>>, Problem> {
    let status = match filter.status.unwrap_or(StatusFilter::Active) {
        StatusFilter::Active => Some(TariffStatus::Active),
        StatusFilter::Archived => Some(TariffStatus::Archived),
        StatusFilter::All => None,
    };
    if status != Some(TariffStatus::Active) {
        caller.require(Permission::TariffsWrite)?;
    }
    let (after, limit) = page(&query)?;
    let rows = app::read_tariff::list_tariffs(state.db.reader(), status, after, limit + 1).await?;
    let page = Page::of(
        rows,
        limit,
        |(tariff, created_at)| Cursor {
            at: *created_at,
            id: tariff.id.0,
        },
        |(tariff, _)| TariffBody::new(&state.books, tariff),
    );
    Ok(Json(page))
}

/// One tariff, also one that is archived, since purchases and subscriptions name it.
#[utoipa::path(get, path = "/tariffs/{id}", params(("id" = TariffId, Path)),
    responses((status = 200, body = TariffBody)))]
pub(super) async fn get_tariff(
    State(state): State<AppState>,
    _: Caller,
    Path(id): Path<TariffId>,
) -> Result<Json<TariffBody>, Problem> {
    let tariff = app::read_tariff::read_tariff(state.db.reader(), id).await?;
    let tariff = tariff.ok_or_else(|| Problem::not_found("tariff"))?;
    Ok(Json(TariffBody::new(&state.books, tariff)))
}

/// Puts a tariff on sale.
#[utoipa::path(post, path = "/tariffs",
    security(("access_token" = ["tariffs.write"])),
    request_body = CreateBody,
    responses((status = 201, body = TariffBody)))]
pub(super) async fn create_tariff(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<CreateBody>,
) -> Result<Response, Problem> {
    caller.require(Permission::TariffsWrite)?;
    let mut errors: Vec<_> = wrong_currency("price.currency", body.price, state.books.currency)
        .into_iter()
        .collect();
    let new = NewTariff::parse(&body.name, body.price.amount, &body.period)
        .map_err(|wrong| errors.extend(field_errors(&wrong)));
    let new = match new {
        Ok(new) if errors.is_empty() => new,
        _ => return Err(Problem::invalid(&errors)),
    };
    let (books, new, by) = (&state.books, &new, caller.user_id);
    let tariff = state
        .db
        .write(|tx| async move { app::create_tariff::create_tariff(&tx, books, by, new.clone()).await })
        .await?;
    let location = [(header::LOCATION, format!("/billing/v1/tariffs/{}", tariff.id))];
    Ok((
        StatusCode::CREATED,
        location,
        Json(TariffBody::new(books, tariff)),
    )
        .into_response())
}

/// Changes a tariff for purchases from now on; those that were begun keep the one they were begun with.
#[utoipa::path(patch, path = "/tariffs/{id}",
    security(("access_token" = ["tariffs.write"])),
    params(("id" = TariffId, Path)), request_body = ChangeBody, responses(
    (status = 200, body = TariffBody),
    (status = 409, description = "`tariff_archived`: it is off sale for good.")))]
pub(super) async fn change_tariff(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TariffId>,
    Json(body): Json<ChangeBody>,
) -> Result<Json<TariffBody>, Problem> {
    caller.require(Permission::TariffsWrite)?;
    if let Some(wrong) = body
        .price
        .and_then(|price| wrong_currency("price.currency", price, state.books.currency))
    {
        return Err(Problem::invalid(&[wrong]));
    }
    let change = &ChangeTariff {
        name: body.name,
        price: body.price.map(|price| price.amount),
        period: body.period,
    };
    let (books, by) = (&state.books, caller.user_id);
    let tariff = state
        .db
        .write(|tx| async move { app::change_tariff::change_tariff(&tx, books, by, id, change).await })
        .await?;
    Ok(Json(TariffBody::new(books, tariff)))
}

/// Takes a tariff off sale for good; what was sold goes on. Again changes nothing.
#[utoipa::path(post, path = "/tariffs/{id}/archive",
    security(("access_token" = ["tariffs.write"])),
    params(("id" = TariffId, Path)),
    responses((status = 200, body = TariffBody)))]
pub(super) async fn archive_tariff(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TariffId>,
) -> Result<Json<TariffBody>, Problem> {
    caller.require(Permission::TariffsWrite)?;
    let (books, by) = (&state.books, caller.user_id);
    let tariff = state
        .db
        .write(|tx| async move { app::archive_tariff::archive_tariff(&tx, books, by, id).await })
        .await?
        .ok_or_else(|| Problem::not_found("tariff"))?;
    Ok(Json(TariffBody::new(books, tariff)))
}

fn field_errors(wrong: &[TariffError]) -> Vec<FieldError> {
    wrong
        .iter()
        .map(|error| FieldError::new(error.field(), error.to_string()))
        .collect()
}

impl From<ChangeTariffError> for Problem {
    fn from(error: ChangeTariffError) -> Self {
        match error {
            ChangeTariffError::NotFound => Self::not_found("tariff"),
            ChangeTariffError::Archived => {
                Self::new(StatusCode::CONFLICT, "tariff_archived", "The tariff is archived")
                    .detail("It is off sale for good.")
            }
            ChangeTariffError::Invalid(wrong) => Self::invalid(&field_errors(&wrong)),
            ChangeTariffError::Store(_) => Self::internal(&error),
        }
    }
}
