//! Tokens for programs that call by themselves (RFC 6749, 4.4).

use std::collections::HashMap;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::http::{Json, Problem, RawBody, single};
use utoipa::ToSchema;

use super::{AppState, client::FromClient};
use crate::app::{self, IssueClientToken, IssueClientTokenError};

const GRANT: &str = "client_credentials";

/// What is sent as a form. The client may also be named by HTTP Basic.
#[derive(Deserialize, ToSchema)]
#[schema(as = TokenRequest)]
#[allow(dead_code)] // says how a form looks; it is read by hand, to answer as OAuth 2 wants it
pub(super) struct TokenBody {
    /// `client_credentials`.
    #[schema(example = "client_credentials")]
    grant_type: String,
    #[schema(nullable = false)]
    client_id: Option<String>,
    #[schema(nullable = false, format = Password)]
    client_secret: Option<String>,
}

/// A token, under OAuth 2's names.
#[derive(Serialize, ToSchema)]
#[schema(as = ClientToken)]
pub(super) struct ClientTokenView {
    access_token: String,
    /// `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// For how long it is good, in seconds.
    expires_in: u32,
    /// What it allows, with spaces between.
    #[schema(example = "contacts.read")]
    scope: String,
}

/// Issues an access token to a program, by its id and secret (`kopeck client create`).
///
/// As OAuth 2 has it (RFC 6749, 4.4): a form, the client in it or in `Authorization: Basic`; what
/// is wrong stands in `error`. There is no refresh token.
#[utoipa::path(post, path = "/token", security(()),
    request_body(content = TokenBody, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = ClientTokenView),
        (status = 400, description = "`invalid_request`: a parameter is missing or comes twice, or the client is named twice. `unsupported_grant_type`: it is not `client_credentials`. `unreadable_body`: the body broke off."),
        (status = 401, description = "`invalid_client`: there is no such client, that is not its secret, or it was disabled."),
        (status = 413, description = "`body_too_large`: the body has more than 256 KiB."),
        (status = 415, description = "`unsupported_media_type`: the body is not sent as a form."),
        (status = 429, description = "`too_many_attempts`: `Retry-After` says for how long to wait."),
    ))]
pub(super) async fn issue_token(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<ClientTokenView>, Problem> {
    let form = read_form(&headers, &body)?;
    match form.get("grant_type").map(String::as_str) {
        Some(GRANT) => {}
        Some(_) => {
            return Err(bad(
                "unsupported_grant_type",
                "Only `client_credentials` is supported.",
            ));
        }
        None => return Err(bad("invalid_request", "`grant_type` is missing.")),
    }
    let (client_id, client_secret) = credentials(&headers, &form)?;
    let input = IssueClientToken {
        client_id,
        client_secret: SecretString::from(client_secret),
        client,
    };
    let secret = state.built_in_secret.as_deref();
    let issued = app::issue_client_token(&state.db, &state.terms, state.limits, secret, &input).await?;
    let scope: Vec<_> = issued.permissions.iter().map(|one| one.as_str()).collect();
    Ok(Json(ClientTokenView {
        access_token: issued.token.access_token,
        token_type: "Bearer",
        expires_in: issued.token.expires_in,
        scope: scope.join(" "),
    }))
}

/// The parameters of a form, each of which may come once.
fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<HashMap<String, String>, Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    if !kind.is_some_and(|kind| {
        kind.trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be application/x-www-form-urlencoded",
        )
        .with("error", json!("invalid_request")));
    }
    let mut form = HashMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(bad("invalid_request", "A parameter comes twice."));
        }
    }
    Ok(form)
}

/// The client's id and secret, from the header or the form but not from both.
fn credentials(headers: &HeaderMap, form: &HashMap<String, String>) -> Result<(String, String), Problem> {
    let in_form = form.get("client_secret");
    let twice = || bad("invalid_request", "The client is named twice.");
    let Some(value) = single(headers, header::AUTHORIZATION).map_err(|_| twice())? else {
        return match (form.get("client_id"), in_form) {
            (Some(id), Some(secret)) => Ok((id.clone(), secret.clone())),
            _ => Err(invalid_client()),
        };
    };
    if in_form.is_some() {
        return Err(twice());
    }
    value.to_str().ok().and_then(basic).ok_or_else(invalid_client)
}

/// The two halves of `Basic …`, which OAuth 2 has encoded as in a form.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |text: &str| {
        let pair = format!("_={text}");
        form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

fn bad(error: &'static str, detail: &'static str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        error,
        "The request for a token can't be met",
    )
    .detail(detail)
    .with("error", json!(error))
}

fn invalid_client() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "The client is not known, or its secret is another",
    )
    .with("error", json!("invalid_client"))
    .header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"kopeck\""),
    )
}

impl From<IssueClientTokenError> for Problem {
    fn from(error: IssueClientTokenError) -> Self {
        match error {
            IssueClientTokenError::InvalidClient => invalid_client(),
            IssueClientTokenError::Throttled(throttled) => throttled.into(),
            IssueClientTokenError::Token(error) => Self::internal(&error),
            IssueClientTokenError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_a_basic_header_are_decoded() {
        let header = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let read = |text: &str| basic(&header(text));
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(read("shop:secret"), pair("shop", "secret"));
        assert_eq!(read("shop:a%3Ab%26c"), pair("shop", "a:b&c"));
        assert_eq!(read("shop:a:b"), pair("shop", "a:b"));
        assert_eq!(read("shop"), None);
        assert_eq!(basic("Basic ???"), None);
        assert_eq!(basic("Bearer c2hvcDpzZWNyZXQ="), None);
    }
}
