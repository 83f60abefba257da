//! A service that mails: with a mail server, and auth as notifications asks it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    clock::{Clock, SystemClock},
    config::Config,
    contracts::MailRequestedV1,
    ids::UserId,
    testing::{MailServer, TestDatabase, TestService, eventually},
};

/// What auth knows, and whether it answers.
#[derive(Default)]
pub struct AuthDouble {
    jwks: OnceLock<String>,
    contacts: Mutex<HashMap<String, Value>>,
    requests: Mutex<HashMap<String, Value>>,
    pub is_down: AtomicBool,
    /// Whether it never answers who asks for an address.
    pub hangs: AtomicBool,
    /// Whether a token that it takes no more is only one that allows too little.
    pub asks_for_more: AtomicBool,
    /// The token it takes at the moment.
    token: Mutex<String>,
}

type Double = State<Arc<AuthDouble>>;

impl AuthDouble {
    pub fn knows(&self, user: UserId, email: &str, confirmed: bool) {
        let contact = json!({"email": email, "email_confirmed": confirmed, "locale": "en"});
        self.contacts.lock().unwrap().insert(user.to_string(), contact);
    }

    pub fn forgets(&self, user: UserId) {
        self.contacts.lock().unwrap().remove(&user.to_string());
    }

    pub fn has_secret(&self, request: &MailRequestedV1, email: &str, token: &str) {
        let secret = json!({
            "email": email,
            "locale": request.locale,
            "purpose": request.purpose,
            "token": token,
            "expires_at": request.expires_at,
        });
        let id = request.mail_request_id.to_string();
        self.requests.lock().unwrap().insert(id, secret);
    }

    /// Takes no token that it has given away so far.
    pub fn changes_its_keys(&self) {
        "changed".clone_into(&mut self.token.lock().unwrap());
    }

    fn answer(&self, headers: &HeaderMap, found: Option<Value>) -> Result<Json<Value>, StatusCode> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let wanted = format!("Bearer {}", self.token.lock().unwrap());
        if headers["authorization"] != wanted.as_str() {
            return Err(if self.asks_for_more.load(Ordering::SeqCst) {
                StatusCode::FORBIDDEN
            } else {
                StatusCode::UNAUTHORIZED
            });
        }
        found.map(Json).ok_or(StatusCode::NOT_FOUND)
    }

    async fn start() -> (Arc<Self>, String) {
        let double = Arc::new(Self::default());
        let router = Router::new()
            .route("/auth/v1/jwks.json", get(jwks))
            .route("/auth/v1/token", post(token))
            .route("/auth/v1/contacts/{id}", get(contact))
            .route("/auth/v1/mail-requests/{id}", get(mail_request))
            .with_state(Arc::clone(&double));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (double, url)
    }
}

async fn jwks(State(double): Double) -> Json<Value> {
    let url = format!("{}/auth/v1/jwks.json", double.jwks.get().unwrap());
    Json(reqwest::get(url).await.unwrap().json().await.unwrap())
}

async fn token(State(double): Double, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let expected = format!("Basic {}", BASE64_STANDARD.encode("notifications:hush"));
    if headers["authorization"] != expected.as_str() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let mut token = double.token.lock().unwrap();
    *token = format!("token-{}", token.len());
    let answer = json!({"access_token": *token, "token_type": "Bearer", "expires_in": 900});
    Ok(Json(answer))
}

async fn contact(
    State(double): Double,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    if double.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    let found = double.contacts.lock().unwrap().get(&id).cloned();
    double.answer(&headers, found)
}

async fn mail_request(
    State(double): Double,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let found = double.requests.lock().unwrap().get(&id).cloned();
    double.answer(&headers, found)
}

/// A service that mails, and everybody around it.
pub struct Mailing {
    pub service: TestService,
    pub server: MailServer,
    pub auth: Arc<AuthDouble>,
    /// Where that is.
    pub auth_url: String,
}

impl Mailing {
    pub async fn start(database: TestDatabase) -> Self {
        Self::start_with(database, Arc::new(SystemClock), |_| {}).await
    }

    pub async fn start_with(
        database: TestDatabase,
        clock: Arc<dyn Clock>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let server = MailServer::start().await;
        let (auth, url) = AuthDouble::start().await;
        let address = server.address;
        let (jwks, auth_url) = (Arc::clone(&auth), url.clone());
        let service = TestService::start_with(notifications::definition(), database, clock, |config| {
            jwks.jwks
                .set(config.auth.url.replace(url).unwrap())
                .expect("once");
            let notifications = &mut config.notifications;
            notifications.mail_url = Some(SecretString::from(format!("smtp://{address}")));
            notifications.mail_from = Some("Kopeck <noreply@example.com>".to_owned());
            notifications.public_url = Some("https://example.com".to_owned());
            notifications.client_secret = Some(SecretString::from("hush"));
            configure(config);
        })
        .await;
        Self {
            service,
            server,
            auth,
            auth_url,
        }
    }

    /// A new user with a confirmed address.
    pub fn new_user(&self, email: &str) -> UserId {
        let user = self.service.new_user();
        self.auth.knows(user, email, true);
        user
    }

    /// The letters of `user` as an administrator sees them.
    pub async fn letters(&self, user: UserId) -> Vec<Value> {
        let path = format!("/notifications/v1/letters?user_id={user}");
        let page = self.service.api_of_admin().get(&path).await.expect(200);
        page["items"].as_array().unwrap().clone()
    }

    /// Waits until the newest letter of `user` has a mail that `fits`; that mail.
    pub async fn mail_of(&self, user: UserId, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async {
            let letters = self.letters(user).await;
            let mail = letters.first()?.get("mail")?;
            fits(mail).then(|| mail.clone())
        })
        .await
    }
}
