//! Permissions that were taken away are gone in every service, whatever token is still valid.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::ServiceName,
    ids::UserId,
    testing::{Answer, Api, eventually},
};

use crate::platform::{Platform, User, log_in, run_command};

/// From its withdrawal on a permission may still be of use for so long. (Documented: a second.)
const SOON: Duration = Duration::from_secs(1);
/// The same for a program that the command line disables: the services hear of it from a process that does
/// not run there.
const SOON_FROM_OUTSIDE: Duration = Duration::from_secs(3);
/// What a machine that is busy with other tests may add to that.
const BUSY: Duration = Duration::from_secs(5);

/// An operation that needs a permission.
struct Route {
    method: Method,
    path: String,
}

/// Every operation of every service that needs a permission, or needs one for what is somebody else's;
/// with ids that name nothing and without a body, so that none changes anything.
async fn administrators_routes(platform: &Platform) -> Vec<Route> {
    let mut routes = Vec::new();
    for service in ServiceName::ALL {
        let document = platform
            .api
            .get(&format!("/{service}/openapi.json"))
            .await
            .expect(200);
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let alternatives = operation["security"].as_array().unwrap();
                let names_one = |alternative: &Value| {
                    let scopes = alternative["access_token"].as_array();
                    scopes.is_some_and(|scopes| !scopes.is_empty())
                };
                if !alternatives.iter().any(names_one) {
                    continue;
                }
                let of_another = alternatives.iter().any(|one| !names_one(one));
                if of_another && method != "get" {
                    // Its body says whose; `GET` of the same services covers what lets it in.
                    continue;
                }
                routes.push(Route {
                    method: method.to_uppercase().parse().unwrap(),
                    path: filled(path, of_another),
                });
            }
        }
    }
    routes
}

/// The path of an operation with something in place of its parameters.
fn filled(path: &str, of_another: bool) -> String {
    let nothing = UserId::new(SystemClock.now()).to_string();
    let segments = path.split('/').map(|segment| match segment {
        "{name}" | "{code}" => "nothing",
        _ if segment.starts_with('{') => &nothing,
        _ => segment,
    });
    let path = segments.collect::<Vec<_>>().join("/");
    match path.as_str() {
        "/billing/v1/tariffs" => format!("{path}?status=all"),
        _ if of_another => format!("{path}?user_id={nothing}"),
        _ => path,
    }
}

async fn ask(api: &Api, route: &Route) -> Answer {
    let request = api.request(route.method.clone(), &route.path);
    api.send(request).await
}

fn is_refused(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 401 | 403)
}

/// Every route lets this token in.
async fn is_let_in(api: &Api, routes: &[Route]) {
    for route in routes {
        let answer = ask(api, route).await;
        assert!(
            !is_refused(&answer),
            "{} {}: {answer:?}",
            route.method,
            route.path
        );
        assert_ne!(answer.status.as_u16(), 500, "{} {}", route.method, route.path);
    }
}

/// Waits until no route lets this token in any more; several times each, since replicas take turns.
async fn is_refused_soon(api: &Api, routes: &[Route], soon: Duration) {
    let since = Instant::now();
    for route in routes {
        let what = format!("{} {} refuses the token", route.method, route.path);
        eventually(&what, || async {
            for _ in 0..2 {
                if !is_refused(&ask(api, route).await) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
    let took = since.elapsed();
    assert!(took < soon + BUSY, "it took {took:?}");
}

async fn assign(platform: &Platform, user: &User, roles: &[&str]) {
    let path = format!("/auth/v1/users/{}/roles", user.id);
    let request = platform.admin.request(Method::PUT, &path);
    let request = request.json(&json!({"roles": roles}));
    platform.admin.send(request).await.expect(200);
}

/// Somebody with this role, with a token that says so.
async fn somebody(platform: &Platform, name: &str, role: &str) -> User {
    let user = platform.user(name, 0).await;
    assign(platform, &user, &["user", role]).await;
    let api = log_in(&platform.api, &format!("{name}@mail.example")).await;
    User { api, ..user }
}

async fn what_is_withdrawn_is_gone_in_every_service(platform: &Platform) {
    let routes = administrators_routes(platform).await;
    assert!(routes.len() > 40, "{}", routes.len());
    let everything = platform.admin.get("/auth/v1/roles/admin").await.expect(200);
    let everything = everything["permissions"].as_array().unwrap();
    // What no role can allow is notifications' alone.
    let routes: Vec<_> = routes
        .into_iter()
        .filter(|route| !route.path.starts_with("/auth/v1/mail-requests/"))
        .collect();

    let demoted = somebody(platform, "demoted", "admin").await;
    is_let_in(&demoted.api, &routes).await;
    let body = json!({"name": "deputy", "permissions": everything});
    platform.admin.post("/auth/v1/roles", &body).await.expect(201);
    let deputy = somebody(platform, "deputy", "deputy").await;
    is_let_in(&deputy.api, &routes).await;
    let program = program(platform, everything).await;
    is_let_in(&program, &routes).await;

    assign(platform, &demoted, &["user"]).await;
    is_refused_soon(&demoted.api, &routes, SOON).await;
    let none = json!({"permissions": []});
    platform
        .admin
        .patch("/auth/v1/roles/deputy", &none)
        .await
        .expect(200);
    is_refused_soon(&deputy.api, &routes, SOON).await;
    let disabled = run_command(&["client", "disable", "shop"], platform.environment(), "").await;
    assert!(disabled.status.success(), "{disabled:?}");
    is_refused_soon(&program, &routes, SOON_FROM_OUTSIDE).await;

    // They are customers as before.
    for name in ["demoted", "deputy"] {
        let api = log_in(&platform.api, &format!("{name}@mail.example")).await;
        crate::sessions::is_served_everywhere(&api).await;
    }
}

/// The API as a new program with these permissions sees it.
async fn program(platform: &Platform, permissions: &[Value]) -> Api {
    let mut create = vec!["client", "create", "shop"];
    for permission in permissions {
        create.extend(["--permission", permission.as_str().unwrap()]);
    }
    let made = run_command(&create, platform.environment(), "").await;
    assert!(made.status.success(), "{made:?}");
    let shown = String::from_utf8(made.stdout).unwrap();
    let value = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    let (id, secret) = (value("client_id"), value("client_secret"));
    let token = crate::sessions::ask_for_token(platform, &id, &secret)
        .await
        .expect(200);
    platform.api.with_token(token["access_token"].as_str().unwrap())
}

crate::in_both_modes!(what_is_withdrawn_is_gone_in_every_service);
