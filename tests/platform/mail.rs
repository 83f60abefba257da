//! Real mail between auth, notifications and a mail server: each process is the one that is shipped.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    contracts::ServiceName,
    testing::{Mail, MailServer, eventually},
};

use crate::{
    broker::Broker,
    platform::{PASSWORD, Platform, User, log_in, mailing_through},
    sessions::{is_over_everywhere, is_served_everywhere},
    traces::Traces,
};

const EMAIL: &str = "anna@mail.example";
const NEW_PASSWORD: &str = "another long enough password";

/// A user who reads Russian, and what they are sent.
struct Reader<'a> {
    platform: &'a Platform,
    server: &'a mut MailServer,
    user: User,
    /// Every secret that they were sent.
    secrets: Traces,
}

async fn what_is_done_by_mail_works_from_end_to_end(platform: &Platform, server: &mut MailServer) {
    if platform.virtual_host().is_some() {
        Broker::of(platform).listen().await;
    }
    let body = json!({"email": EMAIL, "password": PASSWORD, "locale": "ru"});
    let registered = platform.api.post("/auth/v1/register", &body).await.expect(201);
    let mut reader = Reader {
        platform,
        server,
        user: User {
            id: registered["id"].as_str().unwrap().to_owned(),
            api: log_in(&platform.api, EMAIL).await,
        },
        secrets: Traces::default(),
    };
    reader.confirms_the_address().await;
    reader.chooses_what_is_mailed().await;
    reader.has_a_letter_sent_again().await;
    reader.chooses_a_new_password_though_the_server_was_away().await;
    reader.was_sent_everything_once();
    let found = reader.secrets.find(platform).await;
    assert!(found.is_empty(), "secrets are in mails alone: {found:#?}");
}

impl Reader<'_> {
    async fn find(&self, what: &str, fits: impl Fn(&Mail) -> bool) -> Mail {
        self.server
            .find(what, |mail| mail.to == EMAIL && fits(mail))
            .await
    }

    async fn secret_for(&mut self, page: &str) -> String {
        let mail = self.find(page, |mail| mail.secret(page).is_some()).await;
        assert!(
            mail.body
                .contains(&format!("\nhttps://cinema.example/{page}?token=")),
            "{mail:?}"
        );
        assert!(is_russian(&mail.subject) && is_russian(&mail.body), "{mail:?}");
        let secret = mail.secret(page).unwrap();
        self.secrets.add("secret", &secret);
        secret
    }

    async fn confirms_the_address(&mut self) {
        let welcome = self
            .find("welcome", |mail| mail.subject == "Добро пожаловать")
            .await;
        assert_eq!(welcome.from, "noreply@cinema.example");
        let me = self.user.api.get("/auth/v1/me").await.expect(200);
        assert_eq!(me["email_confirmed"], false, "{me:#}");
        let secret = json!({"token": self.secret_for("confirm-email").await});
        let confirm = || self.platform.api.post("/auth/v1/confirm-email", &secret);
        confirm().await.expect(204);
        confirm().await.expect_problem(422, "invalid_mail_token");
        let me = self.user.api.get("/auth/v1/me").await.expect(200);
        assert_eq!(me["email_confirmed"], true, "{me:#}");
    }

    async fn chooses_what_is_mailed(&self) {
        let api = &self.user.api;
        let path = "/notifications/v1/preferences";
        let wanted = json!({"mail": {"wallet_credited": false}});
        api.send(api.request(Method::PUT, path).json(&wanted))
            .await
            .expect(200);
        self.user.top_up(50_000).await.expect(200);
        let tariff = self.platform.tariff("Месяц", 12_345).await;
        self.user.buy(&tariff, None).await.expect(201);
        let paid = self
            .find("the purchase", |mail| mail.subject.contains("Месяц"))
            .await;
        assert!(paid.body.contains("123,45"), "{paid:?}");
        // The inbox has both.
        self.user.letters(3).await;
        let mails = self.server.mails();
        let credited = mails.iter().find(|mail| mail.subject.contains("Кошелёк"));
        assert!(credited.is_none(), "{credited:?}");
    }

    async fn has_a_letter_sent_again(&self) {
        let letters = self.user.letters(3).await;
        let paid = letters.iter().find(|letter| letter["kind"] == "purchase_paid");
        let letter = paid.unwrap();
        let path = format!(
            "/notifications/v1/letters/{}/resend",
            letter["id"].as_str().unwrap()
        );
        // As soon as it is known to have been mailed.
        eventually("it is to be sent again", || async {
            let answer = self.platform.admin.post(&path, &Value::Null).await;
            answer.status.is_success().then_some(())
        })
        .await;
        let ids = eventually("it comes again", || async {
            let mails = self.server.mails();
            let same = mails.iter().filter(|mail| mail.subject.contains("Месяц"));
            let ids: Vec<_> = same.map(|mail| mail.id.clone()).collect();
            (ids.len() == 2).then_some(ids)
        })
        .await;
        assert_ne!(ids[0], ids[1], "no mailbox may take it for the old one");
    }

    async fn chooses_a_new_password_though_the_server_was_away(&mut self) {
        let other = log_in(&self.platform.api, EMAIL).await;
        let sessions = [self.user.api.clone(), other];
        for session in &sessions {
            is_served_everywhere(session).await;
        }
        self.server.kill().await;
        let body = json!({"email": EMAIL});
        self.platform
            .api
            .post("/auth/v1/forgot-password", &body)
            .await
            .expect(202);
        self.waits_for_the_server().await;
        self.server.start_again().await;
        let secret = self.secret_for("reset-password").await;

        let reset = json!({"token": secret, "new_password": NEW_PASSWORD});
        let choose = || self.platform.api.post("/auth/v1/reset-password", &reset);
        choose().await.expect(204);
        // One after the other: each in a second.
        for session in &sessions {
            is_over_everywhere(session).await;
        }
        choose().await.expect_problem(422, "invalid_mail_token");
        let api = &self.platform.api;
        let log_in = |password: &str| {
            let body = json!({"email": EMAIL, "password": password});
            async move { api.post("/auth/v1/login", &body).await }
        };
        log_in(PASSWORD).await.expect_problem(401, "invalid_credentials");
        let tokens = log_in(NEW_PASSWORD).await.expect(200);
        let api = api.with_token(tokens["access_token"].as_str().unwrap());
        is_served_everywhere(&api).await;
        let letters = api.get("/notifications/v1/letters").await.expect(200);
        assert_eq!(letters["items"][0]["kind"], "password_reset", "{letters:#}");
    }

    /// Until both the mail with the link and the letter's were tried in vain.
    async fn waits_for_the_server(&self) {
        let db = self.platform.database(ServiceName::Notifications).await;
        eventually("the mails were tried", || async {
            let sql = "SELECT CAST(COUNT(*) AS integer) AS found FROM mails \
                       WHERE status = 'waiting' AND error IS NOT NULL";
            let conn = db.reader();
            let backend = sea_orm::ConnectionTrait::get_database_backend(conn);
            let query = sea_orm::Statement::from_string(backend, sql);
            let row = sea_orm::ConnectionTrait::query_one_raw(conn, query)
                .await
                .unwrap();
            let found: i32 = row.unwrap().try_get("", "found").unwrap();
            (found >= 1).then_some(())
        })
        .await;
        db.close().await;
    }

    fn was_sent_everything_once(&self) {
        let mails = self.server.mails();
        let ids: BTreeSet<_> = mails.iter().map(|mail| &mail.id).collect();
        assert_eq!(ids.len(), mails.len(), "{mails:#?}");
        let resets = mails
            .iter()
            .filter(|mail| mail.secret("reset-password").is_some());
        assert_eq!(resets.count(), 1, "{mails:#?}");
    }
}

fn is_russian(text: &str) -> bool {
    text.chars().any(|char| ('а'..='я').contains(&char))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let mut server = MailServer::start().await;
    let platform = Platform::embedded_with(&mailing_through(server.address)).await;
    what_is_done_by_mail_works_from_end_to_end(&platform, &mut server).await;
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distributed() {
    let mut server = MailServer::start().await;
    let platform = Platform::distributed_with(1, &mailing_through(server.address)).await;
    what_is_done_by_mail_works_from_end_to_end(&platform, &mut server).await;
    platform.finish().await;
}
