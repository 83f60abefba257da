//! The API's description (OpenAPI 3.1), collected from the handlers.
//!
//! A handler describes what is its own: body, parameters, answers, its own errors, each as
//! ``"`code`: when."``, and who may call it:
//!
//! | `security(…)` of the handler | Who |
//! |---|---|
//! | none | whoever has a token, for what is their own; the handler says that a program has nothing |
//! | `("access_token" = ["letters.resend"])` | whoever has this permission |
//! | `("access_token" = []), ("access_token" = ["letters.read"])` | whoever has a token; some requests need the permission |
//! | `()` | anybody |
//!
//! What every request can get is added here, in [`complete`], so that no handler can forget it.

use serde::Serialize;
use utoipa::{
    OpenApi as _, ToSchema,
    openapi::{
        Components, Content, Info, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
        path::{Operation, Parameter, ParameterIn, PathItem},
        request_body::RequestBody,
        schema::{SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use super::FieldError;
use crate::contracts::{Reason, ServiceName};

/// The name of the security scheme of every route that needs a token.
pub const TOKEN: &str = "access_token";

const PROBLEM: &str = "Problem";

/// An error: a problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, title = "Problem", example = json!({
    "type": "urn:kopeck:problem:insufficient_funds",
    "title": "The wallet holds too little",
    "status": 402,
    "code": "insufficient_funds",
    "request_id": "4bf92f3577b34da6a3ce929d0e0e4736"
}))]
pub struct ProblemBody {
    /// `urn:kopeck:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, for people; the same for all problems of this code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What it is, for programs; never changes its meaning.
    code: String,
    /// What happened this time.
    #[schema(nullable = false)]
    detail: Option<String>,
    /// Names the request in our log.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// Which fields of the request are wrong.
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
    /// Why a promocode was refused.
    #[schema(nullable = false)]
    reasons: Option<Vec<Reason>>,
}

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemBody)))]
struct Common;

/// The description of one service's routes, as its handlers give it, with what is common to all.
#[must_use]
pub fn complete(mut api: OpenApi, service: ServiceName) -> OpenApi {
    api.info = info(&format!("Kopeck: {service}"));
    let mut components = api.components.take().unwrap_or_default();
    add_common(&mut components);
    api.components = Some(components);
    for item in api.paths.paths.values_mut() {
        if let Some(get) = item.get.as_mut().filter(|get| knows_its_parameters(get)) {
            add_refusals(get, [a_wrong_parameter()]);
        }
        for operation in operations(item) {
            complete_operation(operation, service);
        }
    }
    api.tags = Some(vec![TagBuilder::new().name(service.as_str()).build()]);
    api
}

/// Whether `get` takes no other parameters of the query than those that it describes. What anybody may
/// read and has none takes whatever comes.
pub(super) fn knows_its_parameters(get: &Operation) -> bool {
    let mut parameters = get.parameters.iter().flatten();
    let in_query = |parameter: &RefOr<_>| matches!(parameter, RefOr::T(parameter) if is_in_query(parameter));
    !Access::of(get).public || parameters.any(in_query)
}

fn is_in_query(parameter: &Parameter) -> bool {
    parameter.parameter_in == ParameterIn::Query
}

fn a_wrong_parameter() -> Refusal {
    refusal(
        "400",
        "invalid_query",
        "a parameter of the query is wrong, or there is none of that name.",
    )
}

/// One description of several services.
#[must_use]
pub fn merge(apis: impl IntoIterator<Item = OpenApi>) -> OpenApi {
    let mut merged = OpenApi::new(info("Kopeck"), utoipa::openapi::Paths::new());
    for api in apis {
        merged.merge(api);
    }
    merged
}

fn info(title: &str) -> Info {
    Info::builder()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Money is in minor units, instants are UTC in RFC 3339, errors are problem documents (RFC 9457) \
             with a stable `code`. Lists give `next_cursor` as long as there is more.",
        ))
        .license(Some(utoipa::openapi::License::new("MIT OR Apache-2.0")))
        .build()
}

fn add_common(components: &mut Components) {
    if let Some(common) = Common::openapi().components {
        components.schemas.extend(common.schemas);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("From `POST /auth/v1/login` or `POST /auth/v1/token`."))
        .build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        item.get.as_mut(),
        item.put.as_mut(),
        item.post.as_mut(),
        item.delete.as_mut(),
        item.patch.as_mut(),
    ]
    .into_iter()
    .flatten()
}

/// Who may call an operation.
struct Access {
    /// Anybody, without a token.
    public: bool,
    /// What a token must allow, or some requests need.
    permissions: Vec<String>,
    /// Whether there are requests that need no permission.
    some_need_none: bool,
}

impl Access {
    fn of(operation: &Operation) -> Self {
        let alternatives = operation.security.as_deref().unwrap_or_default();
        let public = alternatives.contains(&SecurityRequirement::default());
        let scopes: Vec<Vec<String>> = alternatives.iter().map(scopes).collect();
        Self {
            public,
            some_need_none: public || scopes.iter().any(Vec::is_empty),
            permissions: scopes.concat(),
        }
    }

    fn refusals(&self) -> Vec<Refusal> {
        if self.public {
            return Vec::new();
        }
        let mut refusals = vec![
            refusal("401", "unauthenticated", "there is no token."),
            refusal(
                "401",
                "invalid_token",
                "it is not one of ours, or its session has ended.",
            ),
            refusal("401", "token_expired", "it is to be refreshed."),
            refusal("403", "user_blocked", "the account is blocked."),
        ];
        let needed = self.permissions.join("`, `");
        if !self.permissions.is_empty() {
            let when = if self.some_need_none {
                format!(
                    "what is asked for needs the permission `{needed}`, or is the caller's own and the caller \
                     is a program, which has none."
                )
            } else {
                format!("it needs the permission `{needed}`.")
            };
            refusals.push(refusal("403", "forbidden", when));
        }
        refusals
    }
}

/// The permissions that one way to call an operation names.
fn scopes(requirement: &SecurityRequirement) -> Vec<String> {
    let named = serde_json::to_value(requirement).unwrap_or_default();
    let scopes = named.get(TOKEN).cloned().unwrap_or_default();
    serde_json::from_value(scopes).unwrap_or_default()
}

/// One error that a request can get.
struct Refusal {
    status: &'static str,
    code: &'static str,
    when: String,
}

fn refusal(status: &'static str, code: &'static str, when: impl Into<String>) -> Refusal {
    let when = when.into();
    Refusal { status, code, when }
}

/// What any request can get that has such parameters and such a body.
fn refusals_of_input(operation: &Operation) -> Vec<Refusal> {
    let parameters = || {
        let parameters = operation.parameters.iter().flatten();
        parameters.filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
    };
    let has = |place: &ParameterIn| parameters().any(|parameter| parameter.parameter_in == *place);
    let has_named = |name: &str| parameters().any(|parameter| parameter.name == name);
    let mut refusals = Vec::new();
    if has(&ParameterIn::Path) {
        let when = "there is no such thing, or it is somebody else's.";
        refusals.push(refusal("404", "not_found", when));
    }
    if has(&ParameterIn::Query) {
        refusals.push(a_wrong_parameter());
    }
    if has_named("cursor") {
        refusals.push(refusal(
            "400",
            "invalid_cursor",
            "the cursor is not one of this list.",
        ));
    }
    if has_named("Idempotency-Key") {
        refusals.extend([
            refusal(
                "400",
                "invalid_idempotency_key",
                "it has not 1 to 255 visible ASCII characters, or comes more than once.",
            ),
            refusal(
                "409",
                "idempotency_key_in_flight",
                "the first request with this key still runs.",
            ),
            refusal(
                "422",
                "idempotency_key_reused",
                "the key was used for another request.",
            ),
        ]);
    }
    let is_json = |body: &RefOr<RequestBody>| matches!(body, RefOr::T(body) if body.content.contains_key("application/json"));
    if operation.request_body.as_ref().is_some_and(is_json) {
        refusals.extend([
            refusal("400", "malformed_json", "the body is not JSON."),
            refusal("400", "unreadable_body", "the body broke off."),
            refusal("413", "body_too_large", "the body has more than 256 KiB."),
            refusal("415", "unsupported_media_type", "the body is not sent as JSON."),
            refusal(
                "422",
                "invalid_request",
                "fields of the body are wrong; `errors` says which.",
            ),
        ]);
    }
    refusals
}

/// A body that may be left out is described as one that may be null, which none may.
fn forbid_null(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(one_of))) = &content.schema
            && let [schema, RefOr::T(Schema::Object(null))] = one_of.items.as_slice()
            && null.schema_type == SchemaType::Type(Type::Null)
        {
            content.schema = Some(schema.clone());
        }
    }
}

fn complete_operation(operation: &mut Operation, service: ServiceName) {
    forbid_null(operation);
    operation.tags = Some(vec![service.as_str().to_owned()]);
    // Some are in every service, and an id is to be unique in the description of all.
    if let Some(id) = operation.operation_id.take() {
        operation.operation_id = Some(format!("{service}_{id}"));
    }
    let access = Access::of(operation);
    if operation.security.is_none() {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
    }
    let mut refusals = access.refusals();
    refusals.extend(refusals_of_input(operation));
    refusals.push(refusal(
        "500",
        "internal_error",
        "something went wrong on our side.",
    ));
    refusals.push(refusal("503", "unavailable", "not at the moment; try again."));
    add_refusals(operation, refusals);
    let responses = &mut operation.responses.responses;
    // What a handler documents by its status and description alone is a problem too.
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response
            && status.parse::<u16>().is_ok_and(|status| status >= 400)
            && response.content.is_empty()
        {
            *response = problem(&response.description);
        }
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            "Done.".clone_into(&mut response.description);
        }
    }
}

/// Adds those that the operation does not describe itself.
fn add_refusals(operation: &mut Operation, refusals: impl IntoIterator<Item = Refusal>) {
    let responses = &mut operation.responses.responses;
    for Refusal { status, code, when } in refusals {
        let response = responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(Response::default()));
        if let RefOr::T(response) = response
            && !response.description.contains(&format!("`{code}`"))
        {
            let before = response.description.trim_end();
            let space = if before.is_empty() { "" } else { " " };
            response.description = format!("{before}{space}`{code}`: {when}");
        }
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/problem+json",
            Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(PROBLEM)))),
        )
        .build()
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::OperationBuilder;

    use super::*;

    /// What a completed operation with this security and this 403 of its own says of `status`.
    fn said_of(
        status: &str,
        security: Option<Vec<SecurityRequirement>>,
        own: Option<&str>,
    ) -> Option<String> {
        let mut operation = OperationBuilder::new().securities(security).build();
        if let Some(own) = own {
            let response = ResponseBuilder::new().description(own).build();
            operation
                .responses
                .responses
                .insert("403".to_owned(), RefOr::T(response));
        }
        complete_operation(&mut operation, ServiceName::Billing);
        let value = serde_json::to_value(&operation).unwrap();
        let text = &value["responses"][status]["description"];
        text.as_str().map(str::to_owned)
    }

    fn needing(permissions: &[&str]) -> SecurityRequirement {
        SecurityRequirement::new(TOKEN, permissions.to_vec())
    }

    #[test]
    fn forbidden_is_claimed_where_a_permission_is_named() {
        let said = |security| said_of("403", security, None);
        let always = said(Some(vec![needing(&["tariffs.write"])])).unwrap();
        assert!(
            always.contains("`forbidden`: it needs the permission `tariffs.write`."),
            "{always}"
        );
        let sometimes = said(Some(vec![needing(&[]), needing(&["billing.read"])])).unwrap();
        assert!(
            sometimes.contains("`forbidden`: what is asked for needs"),
            "{sometimes}"
        );
        assert_eq!(said(None).unwrap(), "`user_blocked`: the account is blocked.");
        assert_eq!(said(Some(vec![SecurityRequirement::default()])), None);
        assert_eq!(
            said_of("401", Some(vec![SecurityRequirement::default()]), None),
            None
        );
    }

    #[test]
    fn what_a_handler_says_stays_and_the_rest_is_added() {
        let said = |own| said_of("403", None, Some(own)).unwrap();
        assert_eq!(
            said("`wrong_password`: it is another."),
            "`wrong_password`: it is another. `user_blocked`: the account is blocked."
        );
        assert_eq!(said("`user_blocked`: too."), "`user_blocked`: too.");
    }
}
