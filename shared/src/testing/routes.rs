//! Holds an API against its own description: every operation, every status, every code.
//!
//! A test makes one right request for each operation ([`Routes::check`]) and one for each error of
//! its own ([`Routes::refuse`]). From the right request and the OpenAPI document follow the wrong
//! ones that every API gets: bad tokens, other people, ids that name nothing, wrong parameters,
//! wrong bodies. [`Routes::finish`] tells what the document says that no request reached.

mod bodies;
mod call;
mod description;
mod inputs;
mod operated;
mod people;
mod tokens;
mod truncated;

use std::collections::{BTreeMap, BTreeSet};

use reqwest::header;
use serde_json::Value;

pub use call::Call;
pub use people::Cast;

use self::{
    call::By,
    description::{Description, Operation},
};
use super::{Answer, TestService};
use crate::contracts::Permission;

/// A status and, if it is an error, its code.
type Reached = (u16, String);

/// The routes of one service, and what was seen of them.
pub struct Routes<'a> {
    service: &'a TestService,
    prefix: String,
    description: Description,
    cast: Cast,
    reached: BTreeMap<String, BTreeSet<Reached>>,
    faults: Vec<String>,
}

impl<'a> Routes<'a> {
    /// The routes of `service`, which takes over from auth whom there is.
    pub async fn of(service: &'a TestService) -> Self {
        let cast = Cast::told_by_auth(service).await;
        Self::with(service, cast).await
    }

    /// The same with people that there are already.
    pub async fn with(service: &'a TestService, cast: Cast) -> Self {
        let name = service.db.service();
        let document = service
            .api
            .get(&format!("/{name}/openapi.json"))
            .await
            .expect(200);
        let prefix = format!("/{name}/v1");
        Self {
            service,
            description: Description::read(document, &prefix),
            prefix,
            cast,
            reached: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// The requests from now on go to another instance of the service, which is configured otherwise.
    pub fn go_on_at(&mut self, service: &'a TestService) {
        self.service = service;
    }

    /// Sends every wrong request that follows from `call`, each of which is to be refused, and then
    /// `call` itself, which is to succeed; its answer.
    ///
    /// `call` should carry a value for every parameter and every field that there is.
    pub async fn check(&mut self, call: Call) -> Value {
        let Some(operation) = self.description.operations.get(&call.operation()).cloned() else {
            panic!("{} is not described", call.operation());
        };
        self.try_people(&call, &operation).await;
        self.try_input(&call, &operation).await;
        self.succeed(call).await
    }

    /// Sends `call`, which is to succeed, and nothing else; its answer.
    pub async fn succeed(&mut self, call: Call) -> Value {
        let answer = self.send(&call, "as it should be").await;
        if !answer.status.is_success() {
            let name = call.operation();
            self.fault(&name, "as it should be", "is no success", &answer);
            self.report();
        }
        answer.body
    }

    /// Sends `call`, which is to get this error; the problem.
    pub async fn refuse(&mut self, call: Call, status: u16, code: &str) -> Value {
        self.expect(&call, &format!("for `{code}`"), status, code)
            .await
            .body
    }

    /// Of an error that no single request gets: the test that reaches it.
    pub fn reached_by(&mut self, test: &str, operation: &str, status: u16, code: &str) {
        assert!(test.contains("::"), "the whole name of a test");
        self.note(operation, status, code);
    }

    /// Fails if an answer was not as it is described, or if something that is described was not
    /// reached.
    pub fn finish(mut self) {
        let mut missing = Vec::new();
        for (name, operation) in &self.description.operations {
            let Some(reached) = self.reached.get(name) else {
                missing.push(format!("{name}: has no case"));
                continue;
            };
            for (status, codes) in &operation.answers {
                if *status >= 400 && codes.is_empty() {
                    missing.push(format!("{name}: the description of {status} names no `code`:"));
                }
                if *status < 400 && !reached.iter().any(|(seen, _)| seen == status) {
                    missing.push(format!("{name}: {status} was not reached"));
                }
                for code in codes.iter().filter(|code| !is_an_outage(*status, code)) {
                    if !reached.contains(&(*status, code.clone())) {
                        missing.push(format!("{name}: {status} `{code}` was not reached"));
                    }
                }
            }
        }
        self.faults.extend(missing);
        self.report();
    }

    fn report(&self) {
        let faults = self.faults.join("\n");
        assert!(self.faults.is_empty(), "{} faults:\n{faults}", self.faults.len());
    }

    /// Sends `call` with the token that belongs to it, and notes the answer.
    async fn send(&mut self, call: &Call, what: &str) -> Answer {
        let authorization = self.authorization(call);
        self.send_as(call, authorization, what).await
    }

    async fn send_as(&mut self, call: &Call, authorization: Option<String>, what: &str) -> Answer {
        let bytes = call.body.as_ref().map(|body| body.to_string().into_bytes());
        let (kind, bytes) = match (bytes, call.form.clone()) {
            (Some(bytes), _) => (Some("application/json"), bytes),
            (None, Some(form)) => (Some("application/x-www-form-urlencoded"), form.into()),
            (None, None) => (None, Vec::new()),
        };
        self.send_bytes(call, authorization, kind, bytes, what).await
    }

    async fn send_bytes(
        &mut self,
        call: &Call,
        authorization: Option<String>,
        content_type: Option<&str>,
        bytes: Vec<u8>,
        what: &str,
    ) -> Answer {
        let path = format!("{}{}", self.prefix, call.target());
        let api = &self.service.api;
        let mut request = api.request(call.method.clone(), &path);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(sign) = call.signed {
            let (name, value) = sign(&bytes);
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(kind) = content_type {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let answer = api.send(request.body(bytes)).await;
        self.record(&call.operation(), what, &answer);
        answer
    }

    /// Sends `call` and notes a fault if it does not get this error.
    async fn expect(&mut self, call: &Call, what: &str, status: u16, code: &str) -> Answer {
        let answer = self.send(call, what).await;
        self.compare(&call.operation(), what, &answer, status, code);
        answer
    }

    fn compare(&mut self, name: &str, what: &str, answer: &Answer, status: u16, code: &str) {
        if answer.status.as_u16() != status || answer.body["code"] != code {
            self.fault(name, what, &format!("is to be {status} `{code}`"), answer);
        }
    }

    /// What `call` is sent with.
    fn authorization(&self, call: &Call) -> Option<String> {
        let operation = self.description.operations.get(&call.operation());
        let operation = operation.unwrap_or_else(|| panic!("{} is not described", call.operation()));
        match &call.by {
            By::Token(token) => Some(format!("Bearer {token}")),
            By::User { .. } if operation.public => None,
            By::User { id, .. } => {
                let permissions = permissions(call, operation);
                let user = id.unwrap_or(self.cast.somebody);
                Some(format!("Bearer {}", self.service.token(user, &permissions)))
            }
        }
    }

    fn note(&mut self, name: &str, status: u16, code: &str) {
        let reached = self.reached.entry(name.to_owned()).or_default();
        reached.insert((status, code.to_owned()));
    }

    /// Notes an answer, and whether it is one that is described.
    fn record(&mut self, name: &str, what: &str, answer: &Answer) {
        let status = answer.status.as_u16();
        let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
        let code = if status < 400 { String::new() } else { code };
        self.note(name, status, &code);
        let codes = self
            .description
            .operations
            .get(name)
            .and_then(|operation| operation.answers.get(&status));
        let described = codes.is_some_and(|codes| status < 400 || codes.contains(&code));
        if !described {
            self.fault(name, what, "is not described", answer);
        }
        if status >= 400
            && let Err(lack) = is_a_problem(answer)
        {
            self.fault(name, what, &lack, answer);
        }
        if status >= 500 && status != 503 {
            self.fault(name, what, "is our fault", answer);
        }
    }

    fn fault(&mut self, name: &str, what: &str, wrong: &str, answer: &Answer) {
        let (status, body) = (answer.status, &answer.body);
        self.faults
            .push(format!("{name}, {what}: {status} {wrong}: {body}"));
    }
}

/// What the token of whoever sends `call` allows.
fn permissions(call: &Call, operation: &Operation) -> Vec<Permission> {
    let mut permissions = operation.needed.clone();
    if matches!(call.by, By::User { privileged: true, .. }) {
        permissions.extend(&operation.sometimes_needed);
    }
    permissions
}

/// Outages are made by tests of their own: `platform::faults::outage` of every operation at once.
fn is_an_outage(status: u16, code: &str) -> bool {
    status == 500 || (status, code) == (503, "unavailable")
}

/// Whether an error is told as RFC 9457 has it, with what we add to that.
fn is_a_problem(answer: &Answer) -> Result<(), String> {
    let kind = answer.headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/problem+json") {
        return Err("is no problem document".to_owned());
    }
    let body = &answer.body;
    let code = body["code"].as_str().unwrap_or_default();
    if body["type"] != format!("urn:kopeck:problem:{code}") || body["status"] != answer.status.as_u16() {
        return Err("is another problem than it says".to_owned());
    }
    for member in ["title", "code", "request_id"] {
        if body[member].as_str().is_none_or(str::is_empty) {
            return Err(format!("has no `{member}`"));
        }
    }
    let is_about_a_token = ["unauthenticated", "invalid_token", "token_expired"].contains(&code);
    if is_about_a_token && !answer.headers.contains_key(header::WWW_AUTHENTICATE) {
        return Err("asks for no token".to_owned());
    }
    Ok(())
}
