//! The administrators' list of refusals.

use serde_json::{Value, json};

use crate::{Loyalty, on_both_databases, roubles, ten_percent_off, whole_list, with};

const REFUSALS: &str = "/loyalty/v1/refusals";

async fn refusals_are_found_by_whatever_is_known_of_them(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let (one, two) = (loyalty.service.new_user(), loyalty.service.new_user());
    let over = loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"ends_at": "2026-01-01"})),
            "OVER",
            None,
        )
        .await;
    let paused = loyalty.campaign(&ten_percent_off(), "PAUSED", Some(1)).await;
    let path = format!("/loyalty/v1/campaigns/{}/pause", paused["id"].as_str().unwrap());
    loyalty.admin.post(&path, &json!({})).await.expect(200);
    loyalty.validate(one, " over ", tariff).await.expect(422);
    let before = loyalty.now();
    loyalty.validate(two, "PAUSED", tariff).await.expect(422);
    let hold = loyalty.hold(one, "Paused");
    loyalty.ask(&hold).await.refused();
    // What was typed must not read as a reason.
    let tricky = "\"code\":\"campaign_ended\"";
    loyalty.validate(two, tricky, tariff).await.expect(422);

    let typed = async |query: String| -> Vec<String> {
        let found = whole_list(&loyalty.admin, &format!("{REFUSALS}?{query}")).await;
        let typed = |refusal: &Value| refusal["promocode"].as_str().unwrap().to_owned();
        found.iter().map(typed).collect()
    };
    let at = before.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    for (query, expected) in [
        (String::new(), vec![tricky, "Paused", "PAUSED", "over"]),
        (format!("user_id={one}"), vec!["Paused", "over"]),
        ("promocode=paused".to_owned(), vec!["Paused", "PAUSED"]),
        ("promocode=%20OVER".to_owned(), vec!["over"]),
        ("promocode=a%00b".to_owned(), vec![]),
        (
            format!("campaign_id={}", over["id"].as_str().unwrap()),
            vec!["over"],
        ),
        (format!("purchase_id={}", hold.purchase_id), vec!["Paused"]),
        ("code=campaign_ended".to_owned(), vec!["over"]),
        ("code=unknown_promocode".to_owned(), vec![tricky]),
        ("code=not_granted".to_owned(), vec![]),
        ("source=hold".to_owned(), vec!["Paused"]),
        ("source=validation".to_owned(), vec![tricky, "PAUSED", "over"]),
        (format!("from={at}"), vec![tricky, "Paused", "PAUSED"]),
        (format!("to={at}"), vec!["over"]),
        (
            format!("user_id={two}&code=campaign_paused&source=validation&from={at}"),
            vec!["PAUSED"],
        ),
        (format!("user_id={two}&source=hold"), vec![]),
    ] {
        assert_eq!(typed(query.clone()).await, expected, "{query}");
    }
    for query in ["code=nonsense", "source=both", "from=yesterday", "user_id=me"] {
        let answer = loyalty.admin.get(&format!("{REFUSALS}?{query}")).await;
        answer.expect_problem(400, "invalid_query");
    }
    let customer = loyalty.service.api_of(one);
    customer.get(REFUSALS).await.expect_problem(403, "forbidden");
}

/// What a migration found there may be in letters that the database can't change the case of.
async fn refusals_of_an_older_program_are_found_by_what_was_typed(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    let typed = ["скидка", "straße", "скид ка", "plain"];
    for code in typed {
        loyalty.validate(user, code, tariff).await.expect(422);
    }
    // As the earlier migration left it where letters are those of ASCII.
    loyalty
        .rows("UPDATE refusals SET code = promocode WHERE promocode <> 'plain' RETURNING id")
        .await;
    loyalty
        .rows("DELETE FROM seaql_migrations WHERE version LIKE '%codes_of_refusals' RETURNING version")
        .await;
    let migrate = loyalty::definition().migrate;
    migrate(loyalty.service.db.writer()).await.unwrap();
    for (asked, found) in [("СКИДКА", 1), ("STRASSE", 1), ("Plain", 1)] {
        let query = format!("{REFUSALS}?promocode={asked}");
        let found_now = whole_list(&loyalty.admin, &query).await;
        assert_eq!(found_now.len(), found, "{asked}");
    }
    let without = loyalty.rows("SELECT id FROM refusals WHERE code IS NULL").await;
    assert_eq!(without.len(), 1, "a space within is in no promocode");
}

on_both_databases!(
    refusals_are_found_by_whatever_is_known_of_them,
    refusals_of_an_older_program_are_found_by_what_was_typed,
);
