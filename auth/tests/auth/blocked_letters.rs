//! Who is blocked does nothing by letter either.

use reqwest::Method;
use serde_json::json;
use shared::{
    ids::UserId,
    testing::{Answer, Api},
};

use crate::{
    DATABASES, admin, id_of,
    letters::{confirm, contents, forgot, requests, reset, secret},
    log_in, mailer, register, start,
};

async fn set(root: &Api, user: UserId, verb: &str) {
    let path = format!("/auth/v1/users/{user}/{verb}");
    root.send(root.request(Method::POST, &path)).await.expect(200);
}

#[tokio::test]
async fn a_blocked_user_can_do_nothing_by_letter_until_the_block_is_lifted() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let mailer = mailer(&service).await;
        let ann = id_of(&register(&service.api, "ann@example.com").await);
        forgot(&service.api, "ann@example.com").await.expect(202);
        let to_reset = secret(&service, &mailer, ann, "reset_password").await;
        let to_confirm = secret(&service, &mailer, ann, "confirm_email").await;
        set(&root, ann, "block").await;

        let refused = |answer: Answer| answer.expect_problem(403, "user_blocked");
        refused(reset(&service.api, &to_reset, "a new password").await);
        refused(confirm(&service.api, &to_confirm).await);
        let seen = root.get(&format!("/auth/v1/users/{ann}")).await.expect(200);
        assert_eq!(seen["email_confirmed"], false);
        let login = json!({"email": "ann@example.com", "password": "a new password"});
        service
            .api
            .post("/auth/v1/login", &login)
            .await
            .expect_problem(401, "invalid_credentials");

        // The links are as good as before.
        set(&root, ann, "unblock").await;
        log_in(&service.api, "ann@example.com").await;
        confirm(&service.api, &to_confirm).await.expect(204);
        reset(&service.api, &to_reset, "a new password").await.expect(204);
        service.api.post("/auth/v1/login", &login).await.expect(200);
    }
}

#[tokio::test]
async fn a_blocked_user_gets_no_letter_with_a_secret() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let mailer = mailer(&service).await;
        let ann = id_of(&register(&service.api, "ann@example.com").await);
        forgot(&service.api, "ann@example.com").await.expect(202);
        set(&root, ann, "block").await;

        let answer = forgot(&service.api, "ann@example.com").await.expect(202);
        let of_nobody = forgot(&service.api, "nobody@example.com").await.expect(202);
        assert_eq!(answer, of_nobody);
        let asked = requests(&service.db, ann, "reset_password").await;
        assert_eq!(asked.len(), 1, "the one from before");
        // Nor is that one mailed, if it is not yet.
        contents(&mailer, asked[0]).await.expect_problem(404, "not_found");
        let contact = format!("/auth/v1/contacts/{ann}");
        mailer.get(&contact).await.expect(200);
        set(&root, ann, "unblock").await;
        contents(&mailer, asked[0]).await.expect(200);
    }
}
