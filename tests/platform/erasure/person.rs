//! Somebody whom nobody can take for anybody else.

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    ids::UserId,
    testing::{Answer, Api, Mail, MailServer, eventually},
};

use super::Shop;
use crate::{
    platform::{Platform, rub},
    traces::Traces,
};

/// What somebody is called, where they live, what they use and whence.
#[derive(Clone, Copy)]
pub struct Name {
    local: &'static str,
    /// What they take for a promocode, and begin their idempotency keys with: nearly the former.
    typed: &'static str,
    domain: &'static str,
    user_agent: &'static str,
    address: &'static str,
}

pub const NAMES: [Name; 2] = [
    Name {
        local: "Zebedee.Quuxlington",
        typed: "Zebedee.Quux",
        domain: "Vorpal-Post.example",
        user_agent: "Bandersnatch/9.7 (frumious)",
        address: "203.0.113.177",
    },
    Name {
        local: "busy.Mimsyborogove",
        typed: "busy.Mimsy",
        domain: "Vorpal-Letters.example",
        user_agent: "Jubjub/12.1 (desperate)",
        address: "2001:db8:77:5eed:1234::abcd",
    },
];

/// What people typed: their keys, and promocodes that there are not.
pub const TYPED: &str = "what was typed";

/// A person with an account, and everything secret that they have ever had in hand.
pub struct Person {
    pub id: UserId,
    pub name: &'static str,
    pub email: String,
    about: Name,
    password: String,
    wrong_password: String,
    api: Api,
    tokens: Vec<String>,
    mail_secrets: Vec<String>,
}

impl Person {
    pub async fn register(platform: &Platform, about: Name) -> Self {
        let mut person = Self {
            // Until it is known.
            id: UserId::new(SystemClock.now()),
            name: about.local,
            email: format!("{}@{}", about.local, about.domain),
            about,
            password: format!("{} and the slithy toves", about.domain),
            wrong_password: format!("{} and the mome raths", about.domain),
            api: platform.api.clone(),
            tokens: Vec::new(),
            mail_secrets: Vec::new(),
        };
        let body = json!({"email": person.email, "password": person.password});
        let registered = person.post("/auth/v1/register", &body).await.expect(201);
        person.id = registered["id"].as_str().unwrap().parse().unwrap();
        // Once more, which is refused and counted.
        person
            .post("/auth/v1/register", &body)
            .await
            .expect_problem(409, "email_taken");
        person
    }

    /// As their browser sends it, through a reverse proxy.
    async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = self
            .api
            .request(method, path)
            .header("user-agent", self.about.user_agent)
            .header("x-forwarded-for", self.about.address)
            .json(body);
        self.api.send(request).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body).await
    }

    /// Under a key that they made up for it, a new one each time.
    async fn post_under(&self, what: &str, path: &str, body: &Value) -> Answer {
        let number = UserId::new(SystemClock.now());
        let request = self
            .api
            .request(Method::POST, path)
            .header("user-agent", self.about.user_agent)
            .header("x-forwarded-for", self.about.address)
            .header("idempotency-key", format!("{}:{what}:{number}", self.about.typed))
            .json(body);
        self.api.send(request).await
    }

    async fn read(&self, path: &str) -> Value {
        self.send(Method::GET, path, &Value::Null).await.expect(200)
    }

    pub async fn confirm_address(&mut self, server: &MailServer) {
        let secret = self.secret_from(server, "confirm-email").await;
        self.post("/auth/v1/confirm-email", &json!({"token": secret}))
            .await
            .expect(204);
    }

    /// How many mails have reached them.
    pub fn mails(&self, server: &MailServer) -> usize {
        let email = self.email.to_lowercase();
        let mails = server.mails();
        mails
            .iter()
            .filter(|mail| mail.to.to_lowercase() == email)
            .count()
    }

    async fn secret_from(&mut self, server: &MailServer, page: &str) -> String {
        let email = self.email.to_lowercase();
        let is_it = |mail: &Mail| mail.to.to_lowercase() == email && mail.secret(page).is_some();
        let mail = server.find(&format!("a mail leads to {page}"), is_it).await;
        let secret = mail.secret(page).unwrap();
        self.mail_secrets.push(secret.clone());
        secret
    }

    /// Also with a wrong password, with a refresh, and with another letter asked for.
    pub async fn log_in_and_out(&mut self) {
        let wrong = json!({"email": self.email, "password": self.wrong_password});
        self.post("/auth/v1/login", &wrong)
            .await
            .expect_problem(401, "invalid_credentials");
        for _ in 0..2 {
            self.log_in().await;
        }
        let refresh = json!({"refresh_token": self.tokens.last().unwrap()});
        let refreshed = self.post("/auth/v1/refresh", &refresh).await.expect(200);
        self.take_tokens(&refreshed);
        for path in ["/auth/v1/me", "/auth/v1/me/sessions", "/auth/v1/me/logins"] {
            let shown = self.read(path).await.to_string().to_lowercase();
            let known = if path == "/auth/v1/me" {
                &self.email
            } else {
                self.about.user_agent
            };
            assert!(shown.contains(&known.to_lowercase()), "{path}: {shown}");
        }
        let logins = self.read("/auth/v1/me/logins").await.to_string();
        assert!(logins.contains(self.about.address), "{logins}");
        self.post("/auth/v1/me/resend-confirmation", &Value::Null).await;
        self.forgets_the_password().await;
    }

    pub async fn log_in(&mut self) {
        let body = json!({"email": self.email, "password": self.password});
        let tokens = self.post("/auth/v1/login", &body).await.expect(200);
        self.take_tokens(&tokens);
    }

    fn take_tokens(&mut self, tokens: &Value) {
        for name in ["access_token", "refresh_token"] {
            self.tokens.push(tokens[name].as_str().unwrap().to_owned());
        }
        self.api = self.api.with_token(tokens["access_token"].as_str().unwrap());
    }

    /// After a block has ended what was there.
    pub async fn log_in_anew(&mut self) {
        self.log_in().await;
        eventually("they are served everywhere", || async {
            for path in [
                "/billing/v1/balance",
                "/notifications/v1/letters",
                "/loyalty/v1/redemptions",
            ] {
                if !self
                    .send(Method::GET, path, &Value::Null)
                    .await
                    .status
                    .is_success()
                {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    pub async fn forgets_the_password(&self) {
        self.post("/auth/v1/forgot-password", &json!({"email": self.email}))
            .await
            .expect(202);
    }

    pub async fn top_up(&self, amount: i64) {
        self.post("/billing/v1/balance/top-up", &rub(amount))
            .await
            .expect(200);
    }

    /// With a promocode that is good, with one that is none, with too little money; and takes some of
    /// it out again.
    pub async fn buy(&self, shop: &Shop<'_>) {
        self.top_up(6_000).await;
        for (promocode, outcome) in [("HALF", "paid"), (self.about.typed, "failed"), ("HALF", "failed")] {
            let body = json!({"tariff_id": shop.tariff, "promocode": promocode});
            let before = self.ended().await;
            self.post_under("purchase", "/billing/v1/purchases", &body).await;
            eventually("the purchase ends", || async {
                let ended = self.ended().await;
                (ended.len() > before.len()).then_some(())
            })
            .await;
            assert_eq!(self.ended().await[0], outcome, "{promocode}");
        }
        self.post_under("top-up", "/billing/v1/balance/top-up", &rub(1))
            .await
            .expect(200);
        self.post("/billing/v1/balance/withdraw", &rub(100))
            .await
            .expect(200);
        for promocode in ["HALF", self.about.typed] {
            let validation = json!({"promocode": promocode, "tariff_id": shop.tariff});
            self.post("/loyalty/v1/promocodes/validate", &validation).await;
        }
    }

    /// How their purchases ended, the last one first.
    async fn ended(&self) -> Vec<String> {
        let purchases = self.read("/billing/v1/purchases").await;
        let statuses = purchases["items"].as_array().unwrap().iter();
        statuses
            .map(|purchase| purchase["status"].as_str().unwrap().to_owned())
            .filter(|status| status != "pending")
            .collect()
    }

    /// Waits for what they were sent.
    pub async fn have_letters_sent(&mut self, server: &MailServer) {
        self.secret_from(server, "reset-password").await;
        let email = self.email.to_lowercase();
        server
            .find("a letter about money is mailed", |mail| {
                mail.to.to_lowercase() == email && mail.body.contains("RUB")
            })
            .await;
    }

    pub async fn delete_the_account(&self) {
        let body = json!({"password": self.password, "confirm": true});
        self.send(Method::DELETE, "/auth/v1/me", &body).await.expect(204);
    }

    /// Everything by which they could be known.
    pub fn leave(&self, traces: &mut Traces) {
        traces.add("name", self.about.local);
        traces.add_said(TYPED, self.about.typed);
        traces.add("domain", self.about.domain);
        traces.add("password", &self.password);
        traces.add("wrong password", &self.wrong_password);
        traces.add("user agent", self.about.user_agent);
        traces.add("address", self.about.address);
        for token in &self.tokens {
            traces.add("token", token);
        }
        for secret in &self.mail_secrets {
            traces.add("secret of a mail", secret);
        }
    }
}
