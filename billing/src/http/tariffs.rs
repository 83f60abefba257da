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
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum StatusFilter {
    Active,
    Archived,
    All,
}

/// The filter of the list.
#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    status: Option<StatusFilter>,
}

/// What a new tariff is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: String,
    price: Money,
    period: String,
}

/// What is to be changed; what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeBody {
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    price: Option<Money>,
    #[serde(default, deserialize_with = "present")]
    period: Option<String>,
}

/// `GET /tariffs`: what is sold; with `tariffs.write` also what is archived.
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

/// `GET /tariffs/{id}`: also one that is archived, since purchases and subscriptions name it.
pub(super) async fn get_tariff(
    State(state): State<AppState>,
    _: Caller,
    Path(id): Path<TariffId>,
) -> Result<Json<TariffBody>, Problem> {
    let tariff = app::read_tariff::read_tariff(state.db.reader(), id).await?;
    let tariff = tariff.ok_or_else(|| Problem::not_found("tariff"))?;
    Ok(Json(TariffBody::new(&state.books, tariff)))
}

/// `POST /tariffs`.
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
    let (books, new) = (&state.books, &new);
    let tariff = state
        .db
        .write(|tx| async move { app::create_tariff::create_tariff(&tx, books, new.clone()).await })
        .await?;
    let location = [(header::LOCATION, format!("/billing/v1/tariffs/{}", tariff.id))];
    Ok((
        StatusCode::CREATED,
        location,
        Json(TariffBody::new(books, tariff)),
    )
        .into_response())
}

/// `PATCH /tariffs/{id}`.
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
    let books = &state.books;
    let tariff = state
        .db
        .write(|tx| async move { app::change_tariff::change_tariff(&tx, books, id, change).await })
        .await?;
    Ok(Json(TariffBody::new(books, tariff)))
}

/// `POST /tariffs/{id}/archive`.
pub(super) async fn archive_tariff(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TariffId>,
) -> Result<Json<TariffBody>, Problem> {
    caller.require(Permission::TariffsWrite)?;
    let books = &state.books;
    let tariff = state
        .db
        .write(|tx| async move { app::archive_tariff::archive_tariff(&tx, books, id).await })
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
            ChangeTariffError::Invalid(wrong) => Self::invalid(&field_errors(&wrong)),
            ChangeTariffError::Store(_) => Self::internal(&error),
        }
    }
}
