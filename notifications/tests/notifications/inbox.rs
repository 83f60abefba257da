//! The inbox over HTTP.

use chrono::Duration;
use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    contracts::Permission,
    ids::LetterId,
    testing::{Api, TestDatabase},
};

use crate::{inbox, inbox_of, said::credited, start, unread};

fn read_path(letter: &Value) -> String {
    format!(
        "/notifications/v1/letters/{}/read",
        letter["id"].as_str().unwrap()
    )
}

/// All pages of `limit` letters one after another.
async fn pages(api: &Api, query: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/notifications/v1/letters?{query}{cursor}");
        let page = api.get(&path).await.expect(200);
        pages.push(page["items"].as_array().unwrap().clone());
        match page.get("next_cursor") {
            Some(next) => cursor = format!("&cursor={}", next.as_str().unwrap()),
            None => return pages,
        }
    }
}

async fn paging_shows_each_letter_once(database: TestDatabase) {
    let service = start(database).await;
    let (user, now) = (service.new_user(), service.peers.now());
    // Four letters an instant, so that pages end between letters of the same instant.
    let events: Vec<_> = (0..120)
        .map(|number| credited(user, 1 + number, 0, now - Duration::seconds(number / 4)))
        .collect();
    service.peers.deliver(&service.peers.seal_all(&events)).await;
    let stranger = service.new_user();
    service.peers.say(&credited(stranger, 1, 1, now)).await;

    let api = service.api_of(user);
    for (limit, sizes) in [
        ("limit=50&", vec![50, 50, 20]),
        ("", vec![50, 50, 20]),
        ("limit=7&", vec![7; 18]),
    ] {
        let pages = pages(&api, limit).await;
        let got: Vec<_> = pages.iter().map(Vec::len).collect();
        let expected = if limit == "limit=7&" {
            [vec![7; 17], vec![1]].concat()
        } else {
            sizes
        };
        assert_eq!(got, expected);
        let letters: Vec<_> = pages.concat();
        let key = |letter: &Value| {
            (
                letter["occurred_at"]
                    .as_str()
                    .unwrap()
                    .parse::<shared::clock::Instant>()
                    .unwrap(),
                letter["id"].as_str().unwrap().to_owned(),
            )
        };
        assert!(
            letters.is_sorted_by(|newer, older| key(newer) > key(older)),
            "newest first, none twice"
        );
        let mut amounts: Vec<_> = letters
            .iter()
            .map(|letter| letter["data"]["amount"]["amount"].as_i64().unwrap())
            .collect();
        amounts.sort_unstable();
        assert!(amounts.into_iter().eq(1..=120), "every letter, and nobody else's");
    }
    service.stop().await;
}

#[tokio::test]
async fn paging_through_120_letters_shows_each_once() {
    paging_shows_each_letter_once(TestDatabase::Sqlite).await;
}

#[tokio::test]
async fn paging_through_120_letters_shows_each_once_on_postgres() {
    paging_shows_each_letter_once(TestDatabase::Postgres).await;
}

#[tokio::test]
async fn a_letter_that_comes_while_paging_shifts_no_page() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    for second in 0..3 {
        service
            .peers
            .say(&credited(user, 1, 1, now + Duration::seconds(second)))
            .await;
    }
    let api = service.api_of(user);
    let before = inbox(&api).await;
    let first = api.get("/notifications/v1/letters?limit=2").await.expect(200);
    service
        .peers
        .say(&credited(user, 2, 3, now + Duration::seconds(9)))
        .await;
    let path = format!(
        "/notifications/v1/letters?limit=2&cursor={}",
        first["next_cursor"].as_str().unwrap()
    );
    let second = api.get(&path).await.expect(200);
    assert_eq!(second, json!({"items": [before[2]]}));
    service.stop().await;
}

#[tokio::test]
async fn reading_a_letter_is_noted_once() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let (user, now) = (service.new_user(), service.peers.now());
        for second in 0..3 {
            service
                .peers
                .say(&credited(user, 1, 1, now + Duration::seconds(second)))
                .await;
        }
        let api = service.api_of(user);
        assert_eq!(unread(&api).await, 3);
        let letters = inbox(&api).await;

        let read = api.post(&read_path(&letters[1]), &json!({})).await.expect(200);
        assert!(read["read_at"].is_string());
        let mut expected = letters[1].clone();
        expected["read_at"] = read["read_at"].clone();
        assert_eq!(read, expected);
        assert_eq!(unread(&api).await, 2);
        assert_eq!(
            api.post(&read_path(&letters[1]), &json!({})).await.expect(200),
            read
        );
        assert_eq!(unread(&api).await, 2);

        let list = |which: &str| format!("/notifications/v1/letters?unread={which}");
        let unread_ones = api.get(&list("true")).await.expect(200);
        assert_eq!(unread_ones, json!({"items": [letters[0], letters[2]]}));
        assert_eq!(
            api.get(&list("false")).await.expect(200),
            json!({"items": [read]})
        );
        assert_eq!(
            pages(&api, "unread=true&limit=1").await.concat(),
            [letters[0].clone(), letters[2].clone()]
        );
        service.stop().await;
    }
}

#[tokio::test]
async fn a_letter_can_be_looked_at_and_kept_for_later() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let (user, now) = (service.new_user(), service.peers.now());
        service.peers.say(&credited(user, 1, 1, now)).await;
        let api = service.api_of(user);
        let letter = inbox(&api).await[0].clone();
        let path = format!("/notifications/v1/letters/{}", letter["id"].as_str().unwrap());
        assert_eq!(api.get(&path).await.expect(200), letter);
        assert_eq!(unread(&api).await, 1, "looking is not reading");

        api.post(&read_path(&letter), &json!({})).await.expect(200);
        assert_eq!(unread(&api).await, 0);
        let unread_path = format!("{path}/unread");
        for _ in 0..2 {
            let answer = api.post(&unread_path, &json!({})).await.expect(200);
            assert_eq!(answer, letter);
            assert_eq!(unread(&api).await, 1);
        }
        assert_eq!(api.get(&path).await.expect(200), letter);

        let stranger = service.api_of(service.new_user());
        stranger.get(&path).await.expect_problem(404, "not_found");
        stranger
            .post(&unread_path, &json!({}))
            .await
            .expect_problem(404, "not_found");
        let admin = service.api_of_admin();
        assert_eq!(admin.get(&path).await.expect(200), letter);
        admin
            .post(&unread_path, &json!({}))
            .await
            .expect_problem(404, "not_found");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_client_without_a_body_may_mark_a_letter_read() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    service.peers.say(&credited(user, 1, 1, now)).await;
    let api = service.api_of(user);
    let path = read_path(&inbox(&api).await[0]);
    api.send(api.request(Method::POST, &path)).await.expect(200);
    assert_eq!(unread(&api).await, 0);
    service.stop().await;
}

#[tokio::test]
async fn other_people_s_letters_are_invisible() {
    let service = start(TestDatabase::Sqlite).await;
    let (owner, stranger, now) = (service.new_user(), service.new_user(), service.peers.now());
    service.peers.say(&credited(owner, 1, 1, now)).await;
    let letter = inbox_of(&service, owner).await[0].clone();

    let api = service.api_of(stranger);
    assert_eq!(inbox(&api).await, Vec::<Value>::new());
    assert_eq!(unread(&api).await, 0);
    api.post(&read_path(&letter), &json!({}))
        .await
        .expect_problem(404, "not_found");
    for path in ["letters", "letters/unread-count"] {
        let path = format!("/notifications/v1/{path}?user_id={owner}");
        api.get(&path).await.expect_problem(403, "forbidden");
    }
    assert_eq!(inbox_of(&service, owner).await, [letter]);
    service.stop().await;
}

#[tokio::test]
async fn who_may_read_letters_sees_anyone_s_and_marks_none() {
    let service = start(TestDatabase::Sqlite).await;
    let (owner, reader, now) = (service.new_user(), service.new_user(), service.peers.now());
    service.peers.say(&credited(owner, 1, 1, now)).await;
    let letters = inbox_of(&service, owner).await;

    let api = service
        .api
        .with_token(service.token(reader, &[Permission::LettersRead]));
    let listed = api
        .get(&format!("/notifications/v1/letters?user_id={owner}"))
        .await
        .expect(200);
    assert_eq!(listed["items"], json!(letters));
    let count = api
        .get(&format!("/notifications/v1/letters/unread-count?user_id={owner}"))
        .await
        .expect(200);
    assert_eq!(count, json!({"unread": 1}));
    assert_eq!(
        inbox(&api).await,
        Vec::<Value>::new(),
        "without user_id it is one's own"
    );
    api.post(&read_path(&letters[0]), &json!({}))
        .await
        .expect_problem(404, "not_found");
    assert_eq!(inbox_of(&service, owner).await, letters);

    let other = service
        .api
        .with_token(service.token(reader, &[Permission::BillingRead]));
    let path = format!("/notifications/v1/letters?user_id={owner}");
    other.get(&path).await.expect_problem(403, "forbidden");
    let own = format!("/notifications/v1/letters?user_id={reader}");
    other.get(&own).await.expect(200);
    service.stop().await;
}

/// A cursor as the service would make it.
fn cursor(text: &str) -> String {
    use std::fmt::Write as _;
    // Percent-encoding is not needed: base64 without padding, by hand, to stay a black box.
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for sextet in 0..=chunk.len() {
            let index = usize::try_from(bits >> (18 - 6 * sextet) & 63).unwrap();
            write!(encoded, "{}", char::from(ALPHABET[index])).unwrap();
        }
    }
    encoded
}

#[tokio::test]
async fn wrong_input_is_refused_with_a_problem() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let user = service.new_user();
        let api = service.api_of(user);
        let id = LetterId::new(service.peers.now());
        let letters = "/notifications/v1/letters";
        for (method, path, status, code) in [
            (Method::GET, format!("{letters}?limit=0"), 400, "invalid_query"),
            (Method::GET, format!("{letters}?limit=201"), 400, "invalid_query"),
            (Method::GET, format!("{letters}?limit=-1"), 400, "invalid_query"),
            (Method::GET, format!("{letters}?limit=many"), 400, "invalid_query"),
            (
                Method::GET,
                format!("{letters}?cursor=nonsense"),
                400,
                "invalid_cursor",
            ),
            (Method::GET, format!("{letters}?cursor="), 400, "invalid_cursor"),
            (
                Method::GET,
                format!("{letters}?unread=maybe"),
                400,
                "invalid_query",
            ),
            (Method::GET, format!("{letters}?user_id=me"), 400, "invalid_query"),
            (
                Method::GET,
                "/notifications/v1/letters/unread-count?user_id=me".to_owned(),
                400,
                "invalid_query",
            ),
            (Method::POST, format!("{letters}/{id}/read"), 404, "not_found"),
            (Method::POST, format!("{letters}/{id}/unread"), 404, "not_found"),
            (Method::POST, format!("{letters}/none/read"), 404, "not_found"),
            (Method::POST, format!("{letters}/%00/read"), 404, "not_found"),
            (Method::GET, format!("{letters}/{id}"), 404, "not_found"),
            (Method::POST, letters.to_owned(), 405, "method_not_allowed"),
            (
                Method::GET,
                format!("{letters}/{id}/read"),
                405,
                "method_not_allowed",
            ),
        ] {
            let answer = api.send(api.request(method, &path)).await;
            answer.expect_problem(status, code);
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn a_made_up_cursor_is_refused_where_no_letter_can_be() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let (user, now) = (service.new_user(), service.peers.now());
        service.peers.say(&credited(user, 1, 1, now)).await;
        let api = service.api_of(user);
        let id = LetterId::new(now).0.simple().to_string();
        for micros in [
            i64::MIN,
            i64::MAX,
            -8_000_000_000_000_000_000,
            8_000_000_000_000_000_000,
            253_402_300_800_000_000,
            -62_200_000_000_000_000,
        ] {
            let path = format!(
                "/notifications/v1/letters?cursor={}",
                cursor(&format!("{micros}.{id}"))
            );
            api.get(&path).await.expect_problem(400, "invalid_cursor");
        }
        let micros = (now + Duration::days(1)).timestamp_micros();
        let path = format!(
            "/notifications/v1/letters?cursor={}",
            cursor(&format!("{micros}.{id}"))
        );
        assert_eq!(
            api.get(&path).await.expect(200)["items"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        service.stop().await;
    }
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let service = start(TestDatabase::Sqlite).await;
    let id = LetterId::new(service.peers.now());
    let routes = [
        (Method::GET, "/notifications/v1/letters".to_owned()),
        (Method::GET, "/notifications/v1/letters/unread-count".to_owned()),
        (Method::GET, format!("/notifications/v1/letters/{id}")),
        (Method::POST, format!("/notifications/v1/letters/{id}/read")),
        (Method::POST, format!("/notifications/v1/letters/{id}/unread")),
    ];
    for (method, path) in routes {
        let api = &service.api;
        api.send(api.request(method.clone(), &path))
            .await
            .expect_problem(401, "unauthenticated");
        let api = service.api.with_token("nonsense");
        api.send(api.request(method, &path))
            .await
            .expect_problem(401, "invalid_token");
    }
    service.stop().await;
}
