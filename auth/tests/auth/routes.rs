//! Every route against its description.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::{
    clock::{ManualClock, SystemClock},
    config::Config,
    contracts::Permission,
    ids::UserId,
    testing::{Api, Call, Cast, Routes, TestDatabase, TestService},
};

use crate::{PASSWORD, admin, id_of, letters, log_in, program, register, staff, user};

/// The people, beside those of the framework.
struct People {
    /// The only administrator.
    root: UserId,
    /// May do all that an administrator may, without being one.
    deputy: UserId,
    /// May block and delete, and nothing else.
    guard: UserId,
    /// May change roles, and nothing else.
    lead: UserId,
    /// An ordinary user.
    anna: UserId,
    /// A program.
    program: UserId,
}

async fn start(folder: &std::path::Path, clock: &ManualClock, configure: fn(&mut Config)) -> TestService {
    let (folder, clock) = (folder.to_path_buf(), Arc::new(clock.clone()));
    TestService::start_with(auth::definition(), TestDatabase::Sqlite, clock, move |config| {
        config.data = folder;
        configure(config);
    })
    .await
}

async fn people(service: &TestService) -> (People, Cast) {
    use Permission::{RolesWrite, UsersBlock, UsersDelete};
    let (root, api) = admin(service, "root@example.com").await;
    let everything: Vec<_> = Permission::grantable().collect();
    let (deputy, _) = staff(service, &api, "deputy@example.com", "deputy", &everything).await;
    let may = [UsersBlock, UsersDelete];
    let (guard, _) = staff(service, &api, "guard@example.com", "guard", &may).await;
    let (lead, _) = staff(service, &api, "lead@example.com", "lead", &[RolesWrite]).await;
    let (anna, _) = user(service, "anna@example.com").await;
    let (stranger, _) = user(service, "stranger@example.com").await;
    let (blocked, _) = user(service, "blocked@example.com").await;
    let (deleted, of_deleted) = user(service, "deleted@example.com").await;
    let (program, _) = program(service, "program", &[Permission::UsersRead]).await;
    api.post(&format!("/auth/v1/users/{blocked}/block"), &json!({}))
        .await
        .expect(200);
    letters::delete_me(&of_deleted).await;
    let cast = Cast {
        somebody: deputy,
        stranger,
        blocked,
        deleted,
        program,
    };
    let people = People {
        root,
        deputy,
        guard,
        lead,
        anna,
        program,
    };
    (people, cast)
}

fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

/// What a login of this user hands out to refresh.
async fn refresh_token(api: &Api, email: &str) -> Value {
    let body = credentials(email, PASSWORD);
    let tokens = api.post("/auth/v1/login", &body).await.expect(200);
    json!({"refresh_token": tokens["refresh_token"]})
}

async fn logins(routes: &mut Routes<'_>, service: &TestService, people: &People) {
    let mut body = credentials("new@example.com", PASSWORD);
    body["locale"] = json!("ru");
    body["time_zone"] = json!("Europe/Moscow");
    let new = Call::post("/register").body(body);
    routes.check(new.clone()).await;
    routes.refuse(new, 409, "email_taken").await;

    let log_in = |email: &str, password: &str| Call::post("/login").body(credentials(email, password));
    routes.check(log_in("anna@example.com", PASSWORD)).await;
    let wrong = log_in("anna@example.com", "wrong");
    routes.refuse(wrong, 401, "invalid_credentials").await;
    let blocked = log_in("blocked@example.com", PASSWORD);
    routes.refuse(blocked, 403, "user_blocked").await;

    let refresh = |body: Value| Call::post("/refresh").body(body);
    let token = refresh_token(&service.api, "anna@example.com").await;
    routes.check(refresh(token.clone())).await;
    routes.refuse(refresh(token), 409, "refresh_in_flight").await;
    let none = refresh(json!({"refresh_token": "nonsense"}));
    routes.refuse(none, 401, "invalid_refresh_token").await;
    let token = refresh_token(&service.api, "new@example.com").await;
    let new = routes.succeed(Call::get("/users").query("email", "new@")).await["items"][0]["id"].clone();
    let new = new.as_str().unwrap();
    routes
        .succeed(Call::post("/users/{id}/block").id(new).by(people.root))
        .await;
    routes.refuse(refresh(token), 403, "user_blocked").await;

    routes.check(Call::get("/jwks.json")).await;
    routes.check(Call::post("/logout").by(people.anna)).await;
    routes.check(Call::post("/logout-all").by(people.anna)).await;
}

async fn programs(routes: &mut Routes<'_>, service: &TestService) {
    let secret = auth::create_client(&service.db, "shop", [Permission::UsersRead].into())
        .await
        .map(|(client, secret)| {
            let secret = secret.expose_secret();
            format!(
                "grant_type=client_credentials&client_id={}&client_secret={secret}",
                client.id
            )
        })
        .unwrap();
    let ask = |form: &str| Call::post("/token").form(form);
    routes.check(ask(&secret)).await;
    for (form, status, code) in [
        ("", 400, "invalid_request"),
        ("grant_type=password", 400, "unsupported_grant_type"),
        ("grant_type=client_credentials", 401, "invalid_client"),
        (
            "grant_type=client_credentials&client_id=shop&client_secret=wrong",
            401,
            "invalid_client",
        ),
        (&"x".repeat(300 * 1024), 413, "body_too_large"),
    ] {
        routes.refuse(ask(form), status, code).await;
    }
    let as_json = Call::post("/token").body(json!({"grant_type": "client_credentials"}));
    routes.refuse(as_json, 415, "unsupported_media_type").await;
}

async fn own_account(routes: &mut Routes<'_>, service: &TestService, people: &People) {
    let me = Call::get("/me").by(people.anna);
    routes.check(me).await;
    let update = Call::patch("/me")
        .by(people.anna)
        .body(json!({"locale": "ru", "time_zone": "Europe/Moscow"}));
    routes.check(update.clone()).await;
    for call in [
        Call::post("/logout"),
        Call::post("/logout-all"),
        Call::get("/me"),
        Call::patch("/me").body(json!({})),
        Call::delete("/me"),
        Call::post("/me/password"),
        Call::post("/me/resend-confirmation"),
        Call::get("/me/sessions"),
        Call::delete("/me/sessions/{id}").id(people.program),
        Call::get("/me/logins"),
    ] {
        routes.refuse(call.by(people.program), 403, "forbidden").await;
    }

    let change = |current: &str| {
        let body = json!({"current_password": current, "new_password": PASSWORD});
        Call::post("/me/password").by(people.anna).body(body)
    };
    routes.check(change(PASSWORD)).await;
    routes.refuse(change("wrong"), 403, "wrong_password").await;

    log_in(&service.api, "anna@example.com").await;
    let page = |template: &'static str| Call::get(template).by(people.anna).query("limit", 1);
    let sessions = routes.check(page("/me/sessions")).await;
    routes.check(page("/me/logins")).await;
    let session = sessions["items"][0]["id"].as_str().unwrap();
    let end = Call::delete("/me/sessions/{id}").id(session).by(people.anna);
    routes.check(end).await;

    let brief = id_of(&register(&service.api, "brief@example.com").await);
    let delete = |user: UserId, password: &str, confirm: bool| {
        let body = json!({"password": password, "confirm": confirm});
        Call::delete("/me").by(user).body(body)
    };
    for (user, password, confirm, status, code) in [
        (brief, "wrong", true, 403, "wrong_password"),
        (brief, PASSWORD, false, 409, "confirmation_required"),
        (people.root, PASSWORD, true, 409, "last_administrator"),
    ] {
        routes.refuse(delete(user, password, confirm), status, code).await;
    }
    routes.check(delete(brief, PASSWORD, true)).await;
}

async fn by_letter(routes: &mut Routes<'_>, service: &TestService, people: &People) {
    let body = json!({"email": "anna@example.com"});
    routes.check(Call::post("/forgot-password").body(body)).await;
    let resend = Call::post("/me/resend-confirmation").by(people.anna);
    routes.check(resend.clone()).await;

    let mut secrets = Vec::new();
    for purpose in ["confirm_email", "reset_password"] {
        let letter = *letters::requests(&service.db, people.anna, purpose)
            .await
            .last()
            .unwrap();
        let mail = routes.check(Call::get("/mail-requests/{id}").id(letter)).await;
        secrets.push(mail["token"].clone());
    }
    let confirm = Call::post("/confirm-email").body(json!({"token": secrets[0]}));
    let body = json!({"token": secrets[1], "new_password": PASSWORD});
    let reset = Call::post("/reset-password").body(body);
    let set = |template: &'static str| Call::post(template).id(people.anna);
    routes.succeed(set("/users/{id}/block")).await;
    for call in [confirm.clone(), reset.clone()] {
        routes.refuse(call, 403, "user_blocked").await;
    }
    routes.succeed(set("/users/{id}/unblock")).await;
    routes.check(confirm.clone()).await;
    routes.refuse(confirm, 422, "invalid_mail_token").await;
    routes.refuse(resend, 409, "email_confirmed").await;
    routes.check(reset.clone()).await;
    routes.refuse(reset, 422, "invalid_mail_token").await;

    let contact = Call::get("/contacts/{user_id}").path("user_id", people.anna);
    routes.check(contact).await;
}

async fn users(routes: &mut Routes<'_>, service: &TestService, people: &People) {
    let list = Call::get("/users")
        .query("email", "anna")
        .query("status", "active")
        .query("role", "user")
        .query("registered_from", "2020-01-01T00:00:00Z")
        .query("registered_to", "2099-01-01T00:00:00Z")
        .query("sort", "email")
        .query("order", "asc")
        .query("limit", 1);
    let page = routes.check(list).await;
    assert_eq!(page["items"][0]["id"], json!(people.anna));
    routes.check(Call::get("/users/{id}").id(people.anna)).await;

    let (block, unblock, delete) = (
        || Call::post("/users/{id}/block").body(json!({"reason": "fraud"})),
        || Call::post("/users/{id}/unblock").body(json!({"reason": "a mistake"})),
        || Call::delete("/users/{id}").body(json!({"confirm": true})),
    );
    for call in [block(), unblock(), delete()] {
        let call = call.id(people.root);
        routes
            .refuse(call.clone().by(people.guard), 403, "higher_rank")
            .await;
    }
    for call in [block(), delete()] {
        routes
            .refuse(call.clone().id(people.deputy), 409, "own_account")
            .await;
        routes
            .refuse(call.id(people.root), 409, "last_administrator")
            .await;
    }
    let brief = id_of(&register(&service.api, "brief@example.com").await);
    let unconfirmed = Call::delete("/users/{id}").id(brief);
    routes.refuse(unconfirmed, 409, "confirmation_required").await;
    for call in [block(), unblock(), delete()] {
        routes.check(call.id(brief)).await;
    }
    let assign = Call::put("/users/{id}/roles").body(json!({"roles": ["user"]}));
    for call in [block(), unblock(), delete(), assign] {
        routes.refuse(call.id(brief), 409, "user_deleted").await;
    }
}

async fn roles(routes: &mut Routes<'_>, people: &People) {
    let body = json!({"name": "auditor", "description": "Looks", "permissions": ["audit.read"]});
    let create = Call::post("/roles").body(body);
    routes.check(create.clone()).await;
    routes.refuse(create.clone(), 409, "role_exists").await;
    let not_held = (403, "permission_not_held");
    routes
        .refuse(create.by(people.lead), not_held.0, not_held.1)
        .await;
    routes.check(Call::get("/roles")).await;
    routes
        .check(Call::get("/roles/{name}").path("name", "auditor"))
        .await;

    let update = |name: &str| {
        let body = json!({"description": "Looks", "permissions": ["users.read"]});
        Call::patch("/roles/{name}").path("name", name).body(body)
    };
    routes.check(update("auditor")).await;
    routes.refuse(update("admin"), 409, "built_in_role").await;
    routes
        .refuse(update("support").by(people.lead), not_held.0, not_held.1)
        .await;

    let assign = |user: UserId, roles: &[&str]| {
        Call::put("/users/{id}/roles")
            .id(user)
            .body(json!({"roles": roles}))
    };
    routes.check(assign(people.anna, &["user", "auditor"])).await;
    routes
        .refuse(
            assign(people.anna, &["user"]).by(people.lead),
            not_held.0,
            not_held.1,
        )
        .await;
    routes
        .refuse(assign(people.root, &["user"]), 409, "last_administrator")
        .await;

    let delete = |name: &str| Call::delete("/roles/{name}").path("name", name);
    routes.refuse(delete("auditor"), 409, "role_in_use").await;
    routes.refuse(delete("user"), 409, "built_in_role").await;
    routes
        .refuse(delete("auditor").by(people.lead), not_held.0, not_held.1)
        .await;
    routes.succeed(assign(people.anna, &["user"])).await;
    routes.check(delete("auditor")).await;
}

/// Once each of these has been done: with a limit of one the next one is too many.
async fn too_many(routes: &mut Routes<'_>, people: &People) {
    let anna = credentials("anna@example.com", PASSWORD);
    let passwords = json!({"current_password": PASSWORD, "new_password": PASSWORD});
    let form = "grant_type=client_credentials&client_id=shop&client_secret=wrong";
    for call in [
        Call::post("/register").body(credentials("more@example.com", PASSWORD)),
        Call::post("/login").body(anna),
        Call::post("/token").form(form),
        Call::post("/forgot-password").body(json!({"email": "anna@example.com"})),
        Call::post("/confirm-email").body(json!({"token": "nonsense"})),
        Call::post("/reset-password").body(json!({"token": "nonsense", "new_password": PASSWORD})),
        Call::post("/me/password").by(people.anna).body(passwords),
        Call::delete("/me")
            .by(people.anna)
            .body(json!({"password": PASSWORD})),
        Call::post("/me/resend-confirmation").by(people.lead),
    ] {
        routes.refuse(call, 429, "too_many_attempts").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_keeps_to_its_description() {
    use shared::clock::Clock as _;
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(SystemClock.now());
    let service = start(folder.path(), &clock, |_| {}).await;
    let (people, cast) = people(&service).await;
    let mut routes = Routes::with(&service, cast).await;
    logins(&mut routes, &service, &people).await;
    programs(&mut routes, &service).await;
    own_account(&mut routes, &service, &people).await;
    by_letter(&mut routes, &service, &people).await;
    users(&mut routes, &service, &people).await;
    roles(&mut routes, &people).await;
    routes.check_operation().await;

    let strict = start(folder.path(), &clock, |config| {
        config.auth.max_failed_logins = 1;
        config.auth.max_failed_logins_per_address = 1;
        config.auth.max_registrations_per_address = 1;
        config.auth.max_letters_per_address = 1;
    })
    .await;
    routes.go_on_at(&strict);
    too_many(&mut routes, &people).await;
    routes.reached_by(
        "clients::a_form_that_breaks_off_is_told_so",
        "POST /token",
        400,
        "unreadable_body",
    );
    routes.finish();
}
