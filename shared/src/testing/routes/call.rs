//! A request to a documented operation.

use std::fmt::Display;

use reqwest::Method;
use serde_json::Value;

use crate::ids::UserId;

/// A request that is as it should be, from which the wrong ones are made.
///
/// Whoever sends it has exactly the permissions that the operation's description says are always
/// needed, and is [`Cast::somebody`](super::Cast::somebody), unless [`by`](Self::by), [`privileged`](Self::privileged) or
/// [`token`](Self::token) say otherwise.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) method: Method,
    /// As the description writes it, without `/{service}/v1`.
    pub(super) template: &'static str,
    pub(super) path: Vec<(&'static str, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    pub(super) form: Option<String>,
    pub(super) by: By,
    pub(super) for_everybody: bool,
    pub(super) any: Vec<&'static str>,
    pub(super) signed: Option<Signed>,
}

/// A header that follows from the body.
pub(super) type Signed = fn(&[u8]) -> (String, String);

#[derive(Clone, Debug)]
pub(super) enum By {
    /// This user or somebody, perhaps with the permissions that some requests need.
    User { id: Option<UserId>, privileged: bool },
    /// Whoever has this token.
    Token(String),
}

impl Call {
    fn new(method: Method, template: &'static str) -> Self {
        Self {
            method,
            template,
            path: Vec::new(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            form: None,
            by: By::User {
                id: None,
                privileged: false,
            },
            for_everybody: false,
            any: Vec::new(),
            signed: None,
        }
    }

    /// `GET /letters/{id}`.
    #[must_use]
    pub fn get(template: &'static str) -> Self {
        Self::new(Method::GET, template)
    }

    /// `POST /letters/{id}/read`.
    #[must_use]
    pub fn post(template: &'static str) -> Self {
        Self::new(Method::POST, template)
    }

    /// `PUT /preferences`.
    #[must_use]
    pub fn put(template: &'static str) -> Self {
        Self::new(Method::PUT, template)
    }

    /// `PATCH /tariffs/{id}`.
    #[must_use]
    pub fn patch(template: &'static str) -> Self {
        Self::new(Method::PATCH, template)
    }

    /// `DELETE /grants/{id}`.
    #[must_use]
    pub fn delete(template: &'static str) -> Self {
        Self::new(Method::DELETE, template)
    }

    /// What stands for `{name}` in the path.
    #[must_use]
    pub fn path(mut self, name: &'static str, value: impl Display) -> Self {
        self.path.retain(|(other, _)| *other != name);
        self.path.push((name, value.to_string()));
        self
    }

    /// The same for the `{id}`.
    #[must_use]
    pub fn id(self, value: impl Display) -> Self {
        self.path("id", value)
    }

    /// A parameter of the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.query.retain(|(other, _)| other != name);
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// A header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The body. The more of its optional fields it has, the more of them are tried.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The body of a route that takes a form.
    #[must_use]
    pub fn form(mut self, form: impl Into<String>) -> Self {
        self.form = Some(form.into());
        self
    }

    /// Sent by this user.
    #[must_use]
    pub fn by(mut self, user: UserId) -> Self {
        let privileged = matches!(self.by, By::User { privileged: true, .. });
        let id = Some(user);
        self.by = By::User { id, privileged };
        self
    }

    /// Sent by somebody who has the permissions, too, that only some requests need.
    #[must_use]
    pub fn privileged(mut self) -> Self {
        let id = match self.by {
            By::User { id, .. } => id,
            By::Token(_) => None,
        };
        self.by = By::User { id, privileged: true };
        self
    }

    /// Sent with this token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.by = By::Token(token.into());
        self
    }

    /// What the path names is nobody's own: anybody else finds it too.
    #[must_use]
    pub fn for_everybody(mut self) -> Self {
        self.for_everybody = true;
        self
    }

    /// Any id that may stand for `{name}` is taken, also one that names nothing yet.
    #[must_use]
    pub fn any(mut self, name: &'static str) -> Self {
        self.any.push(name);
        self
    }

    /// With a header that follows from the body, made anew for each wrong body.
    #[must_use]
    pub fn signed(mut self, sign: fn(&[u8]) -> (String, String)) -> Self {
        self.signed = Some(sign);
        self
    }

    /// What the description calls it.
    pub(super) fn operation(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// The path with everything put in, and the query.
    pub(super) fn target(&self) -> String {
        let mut target = self.template.to_owned();
        for (name, value) in &self.path {
            target = target.replace(&format!("{{{name}}}"), &escaped(value));
        }
        for (number, (name, value)) in self.query.iter().enumerate() {
            let joint = if number == 0 { '?' } else { '&' };
            target.push_str(&format!("{joint}{name}={}", escaped(value)));
        }
        target
    }
}

/// `text` as a part of a URL.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
