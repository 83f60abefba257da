//! One's own account.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use shared::{
    contracts::Locale,
    http::{Caller, FieldError, Json, Problem},
};

use super::{AppState, user::UserView};
use crate::{
    app::{self, RegisterUser},
    domain::{Email, Password},
};

/// The body of a registration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterBody {
    email: String,
    password: SecretString,
    #[serde(default)]
    locale: Locale,
}

impl RegisterBody {
    /// Reads all fields, and says everything that is wrong with them at once.
    fn parse(self) -> Result<RegisterUser, Problem> {
        let email = Email::parse(&self.email).map_err(|error| FieldError::new("email", error.to_string()));
        let password =
            Password::choose(self.password).map_err(|error| FieldError::new("password", error.to_string()));
        match (email, password) {
            (Ok(email), Ok(password)) => Ok(RegisterUser {
                email,
                password,
                locale: self.locale,
            }),
            (email, password) => {
                let errors: Vec<_> = email.err().into_iter().chain(password.err()).collect();
                Err(Problem::invalid(&errors))
            }
        }
    }
}

/// `POST /auth/v1/register`
pub(super) async fn register(
    State(state): State<AppState>,
    Json(body): Json<RegisterBody>,
) -> Result<Response, Problem> {
    let input = body.parse()?;
    let user = app::register_user(&state.db, &state.hasher, &input).await?;
    let location = [(header::LOCATION, HeaderValue::from_static("/auth/v1/me"))];
    Ok((StatusCode::CREATED, location, Json(UserView::from(user))).into_response())
}

/// `GET /auth/v1/me`
pub(super) async fn get_me(State(state): State<AppState>, caller: Caller) -> Result<Json<UserView>, Problem> {
    let user = app::find_user(state.db.reader(), caller.user_id).await?;
    let user = user.ok_or_else(|| Problem::not_found("user"))?;
    Ok(Json(user.into()))
}
