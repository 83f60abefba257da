//! The life of a campaign: changed, paused, resumed, archived; promocodes switched off and on.

use serde_json::{Value, json};
use shared::{
    contracts::{CampaignChangedV1, Permission, RefusalCode},
    ids::{CampaignId, PurchaseId},
    testing::{TestDatabase, eventually},
};

use crate::{Loyalty, audit, kopecks, on_both_databases, roubles, ten_percent_off, with};

fn path_of(campaign: &Value) -> String {
    format!("/loyalty/v1/campaigns/{}", campaign["id"].as_str().unwrap())
}

async fn findings(loyalty: &Loyalty) -> Vec<shared::reconcile::Finding> {
    let before = loyalty.now() - chrono::Duration::days(1);
    loyalty::reconcile(loyalty.service.db.reader(), before)
        .await
        .unwrap()
}

async fn any_term_is_changed_and_what_is_left_out_stays(loyalty: Loyalty) {
    let user = loyalty.service.new_user();
    loyalty.register(user).await;
    let made = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let path = path_of(&made);
    let everything = json!({
        "version": 1,
        "name": " Half ",
        "discount": {"type": "amount_off", "amount": kopecks(5)},
        "timezone": "Asia/Kolkata",
        "starts_at": "2026-01-01",
        "ends_at": "2099-12-31",
        "max_redemptions": 5,
        "max_per_user": 2,
        "eligibility": {"users": [user], "first_purchase": true},
        "listed": true,
        "refund_policy": "keep_use",
    });
    let changed = loyalty.admin.patch(&path, &everything).await.expect(200);
    let mut expected = with(made.clone(), &everything);
    expected.as_object_mut().unwrap().remove("promocode");
    expected["version"] = json!(2);
    expected["name"] = json!("Half");
    expected["starts_at"] = json!("2025-12-31T18:30:00Z");
    expected["ends_at"] = json!("2099-12-31T18:30:00Z");
    assert_eq!(changed, expected);
    assert_eq!(loyalty.admin.get(&path).await.expect(200), expected);

    // Nothing is other than it was.
    for same in [json!({}), json!({"name": "Half"}), json!({"listed": true})] {
        assert_eq!(loyalty.admin.patch(&path, &same).await.expect(200), expected);
    }
    let nothing = json!({
        "starts_at": null, "ends_at": null, "timezone": null, "max_redemptions": null,
        "max_per_user": null, "eligibility": null,
    });
    let bare = loyalty.admin.patch(&path, &nothing).await.expect(200);
    assert_eq!(bare["version"], 3);
    assert_eq!(bare["eligibility"], json!({}));
    for absent in [
        "starts_at",
        "ends_at",
        "timezone",
        "max_redemptions",
        "max_per_user",
    ] {
        assert!(bare.get(absent).is_none(), "{absent}");
    }

    let entries = audit(&loyalty).await;
    let actions: Vec<_> = entries.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["campaign.create", "campaign.change", "campaign.change"]);
    let details = &entries[1]["details"];
    assert_eq!(
        (&details["before"]["name"], &details["after"]["name"]),
        (&json!("Ten percent"), &json!("Half"))
    );
    assert!(entries.iter().all(|entry| entry["subject"] == made["id"]));
    assert!(entries.iter().all(|entry| entry["actor"].is_string()));
}

async fn wrong_changes_are_refused_and_change_nothing(loyalty: Loyalty) {
    let terms = json!({"ends_at": "2099-12-31T00:00:00Z"});
    let made = loyalty
        .campaign(&with(ten_percent_off(), &terms), "CODE", None)
        .await;
    let path = path_of(&made);
    let before = loyalty.admin.get(&path).await.expect(200);
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": null}), "name"),
        (json!({"discount": null}), "discount"),
        (json!({"discount": ["free"]}), "discount"),
        (json!({"max_redemptions": 0}), "max_redemptions"),
        (json!({"max_per_user": 1.5}), "max_per_user"),
        (json!({"starts_at": "2099-12-31T00:00:00Z"}), "ends_at"),
        (json!({"starts_at": "soon"}), "starts_at"),
        (json!({"timezone": "Mars/Olympus"}), "timezone"),
        (json!({"listed": null}), "listed"),
        (json!({"refund_policy": "burn"}), "refund_policy"),
        (json!({"eligibility": {"tariffs": []}}), "eligibility.tariffs"),
        (json!({"version": "1"}), "version"),
        (json!({"status": "paused"}), "status"),
    ] {
        let answer = loyalty.admin.patch(&path, &body).await;
        let problem = answer.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    let stale = json!({"version": 2, "name": "Other"});
    let answer = loyalty.admin.patch(&path, &stale).await;
    answer.expect_problem(409, "version_conflict");
    assert_eq!(loyalty.admin.get(&path).await.expect(200), before);

    let nobodys = format!("/loyalty/v1/campaigns/{}", CampaignId::new(loyalty.now()));
    let off = json!({"status": "disabled"});
    let answers = [
        loyalty.admin.patch(&nobodys, &json!({"name": "X"})).await,
        loyalty.admin.post(&format!("{nobodys}/pause"), &json!({})).await,
        loyalty
            .admin
            .patch(&format!("{nobodys}/promocodes/CODE"), &off)
            .await,
        loyalty
            .admin
            .patch(&format!("{path}/promocodes/OTHER"), &off)
            .await,
        loyalty.admin.patch(&format!("{path}/promocodes/%00"), &off).await,
    ];
    for answer in answers {
        answer.expect_problem(404, "not_found");
    }
    let user = loyalty.service.new_user();
    let reader = loyalty.service.token(user, &[Permission::CampaignsRead]);
    let reader = loyalty.service.api.with_token(reader);
    for action in ["pause", "resume", "archive"] {
        let answer = reader.post(&format!("{path}/{action}"), &json!({})).await;
        answer.expect_problem(403, "forbidden");
    }
    let answer = reader.patch(&path, &json!({"name": "X"})).await;
    answer.expect_problem(403, "forbidden");
    let answer = reader.patch(&format!("{path}/promocodes/CODE"), &off).await;
    answer.expect_problem(403, "forbidden");
}

async fn a_campaign_is_paused_resumed_and_archived_for_good(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", Some(2)).await;
    let (path, tariff) = (path_of(&campaign), loyalty.tariff(roubles(100)).await);
    let user = loyalty.service.new_user();
    let move_it = async |action: &str| {
        let path = format!("{path}/{action}");
        loyalty.admin.post(&path, &json!({})).await
    };
    let held = loyalty.hold(user, "CODE");
    loyalty.ask(&held).await.held();
    let steps = [
        ("pause", "paused", 2, Some(RefusalCode::CampaignPaused)),
        ("pause", "paused", 2, Some(RefusalCode::CampaignPaused)),
        ("resume", "active", 3, None),
        ("resume", "active", 3, None),
        ("archive", "archived", 4, Some(RefusalCode::CampaignEnded)),
        ("archive", "archived", 4, Some(RefusalCode::CampaignEnded)),
    ];
    for (action, status, version, refusal) in steps {
        let moved = move_it(action).await.expect(200);
        assert_eq!(
            (&moved["status"], &moved["version"]),
            (&json!(status), &json!(version))
        );
        let dry = loyalty.validate(user, "CODE", tariff).await;
        let mut hold = loyalty.hold(user, "CODE");
        hold.purchase_id = PurchaseId::new(loyalty.now());
        if let Some(code) = refusal {
            let problem = dry.expect_problem(422, "promocode_refused");
            assert_eq!(crate::codes(&problem), [json!(code).as_str().unwrap()]);
            assert_eq!(loyalty.ask(&hold).await.refused(), [code]);
        } else {
            dry.expect(200);
            loyalty.ask(&hold).await.held();
            loyalty.service.peers.say(&loyalty.failed(&hold)).await;
        }
    }
    for action in ["pause", "resume"] {
        move_it(action).await.expect_problem(409, "campaign_archived");
    }
    let promocodes = format!("{path}/promocodes");
    let code = format!("{promocodes}/CODE");
    for refused in [
        loyalty.admin.patch(&path, &json!({"name": "X"})).await,
        loyalty.admin.post(&promocodes, &json!({"code": "LATE"})).await,
        loyalty.admin.patch(&code, &json!({"status": "disabled"})).await,
        loyalty
            .admin
            .post(
                "/loyalty/v1/grants",
                &json!({"promocode": "CODE", "user_id": user}),
            )
            .await,
    ] {
        refused.expect_problem(409, "campaign_archived");
    }
    // What was held before goes on.
    loyalty.service.peers.say(&loyalty.paid(&held)).await;
    assert_eq!(loyalty.count("confirmed").await, 1);
    let actions: Vec<_> = audit(&loyalty).await;
    let actions: Vec<_> = actions.iter().map(|entry| entry["action"].clone()).collect();
    let expected = ["create", "pause", "resume", "archive"].map(|done| json!(format!("campaign.{done}")));
    assert_eq!(actions, expected, "what changes nothing is no deed");
}

async fn a_promocode_is_switched_off_and_on_alone(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "ONE", Some(2)).await;
    loyalty.promocode(&campaign, "OTHER").await;
    let (path, tariff) = (path_of(&campaign), loyalty.tariff(roubles(100)).await);
    let user = loyalty.service.new_user();
    let switch = async |body: Value| {
        loyalty
            .admin
            .patch(&format!("{path}/promocodes/one"), &body)
            .await
    };
    for round in 0..3 {
        let (off, on) = (round * 2 + 1, round * 2 + 2);
        loyalty.validate(user, "ONE", tariff).await.expect(200);
        let disabled = switch(json!({"status": "disabled", "version": off}))
            .await
            .expect(200);
        assert_eq!(
            (&disabled["status"], &disabled["disabled"], &disabled["version"]),
            (&json!("disabled"), &json!(true), &json!(off + 1))
        );
        let again = switch(json!({"status": "disabled"})).await.expect(200);
        assert_eq!(again, disabled);
        let refused = loyalty.validate(user, "ONE", tariff).await;
        let refused = refused.expect_problem(422, "promocode_refused");
        assert_eq!(crate::codes(&refused), ["promocode_disabled"], "at once");
        let held = loyalty.ask(&loyalty.hold(user, "ONE")).await;
        assert_eq!(held.refused(), [RefusalCode::PromocodeDisabled]);
        loyalty.validate(user, "OTHER", tariff).await.expect(200);
        let stale = switch(json!({"status": "active", "version": off})).await;
        stale.expect_problem(409, "version_conflict");
        let enabled = switch(json!({"status": "active"})).await.expect(200);
        assert_eq!(enabled["version"], on + 1);
    }
    for wrong in [json!({}), json!({"status": "paused"}), json!({"status": null})] {
        switch(wrong).await.expect_problem(422, "invalid_request");
    }
    let entries = audit(&loyalty).await;
    assert_eq!(entries[2]["action"], "promocode.disable");
    assert_eq!(entries[2]["details"]["before"], json!({"disabled": false}));
    assert_eq!(entries[3]["action"], "promocode.enable");
}

async fn changed_terms_are_in_force_at_once_though_they_were_remembered(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "ONE", None).await;
    loyalty.promocode(&campaign, "OTHER").await;
    let (path, tariff) = (path_of(&campaign), loyalty.tariff(roubles(100)).await);
    let user = loyalty.service.new_user();
    for percent in 11..25 {
        for code in ["ONE", "OTHER"] {
            loyalty.validate(user, code, tariff).await.expect(200);
        }
        let change = json!({"discount": {"type": "percent", "percent": percent.to_string()}});
        loyalty.admin.patch(&path, &change).await.expect(200);
        for code in ["ONE", "OTHER"] {
            let priced = loyalty.validate(user, code, tariff).await.expect(200);
            assert_eq!(priced["discount"], kopecks(percent * 100));
        }
        let held = loyalty.ask(&loyalty.hold(user, "ONE")).await.held();
        assert_eq!(held.campaign_version, percent - 9, "the version that priced it");
        assert_eq!(held.discount, roubles(percent * 10));
    }
    let api = loyalty.service.api_of(user);
    let mine = api.get("/loyalty/v1/redemptions?limit=200").await.expect(200);
    let items = mine["items"].as_array().unwrap();
    let versions: Vec<_> = items
        .iter()
        .map(|item| item["campaign_version"].as_i64().unwrap())
        .collect();
    assert_eq!(versions, (2..16).rev().collect::<Vec<_>>());
}

/// Another replica switches a promocode off: what this one remembers of it is as old as the
/// campaign that it remembers it with.
async fn a_promocode_that_another_replica_switched_off_is_forgotten(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "ONE", None).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    eventually("the tariff is known", || async {
        loyalty.validate(user, "ONE", tariff).await.expect(200);
        loyalty
            .rows("UPDATE tariffs SET price = price + 1 RETURNING id")
            .await;
        let first = loyalty.validate(user, "ONE", tariff).await.expect(200);
        loyalty
            .rows("UPDATE tariffs SET price = price + 1 RETURNING id")
            .await;
        let second = loyalty.validate(user, "ONE", tariff).await.expect(200);
        (first == second).then_some(())
    })
    .await;
    loyalty
        .rows("UPDATE promocodes SET version = 2, disabled = true RETURNING id")
        .await;
    loyalty
        .rows("UPDATE campaigns SET version = 2 RETURNING id")
        .await;
    let campaign_id: CampaignId = campaign["id"].as_str().unwrap().parse().unwrap();
    let changed = CampaignChangedV1 {
        campaign_id,
        version: 2,
    };
    loyalty.service.peers.say(&changed).await;
    eventually("it is off", || async {
        let answer = loyalty.validate(user, "ONE", tariff).await;
        (answer.status.as_u16() == 422).then_some(())
    })
    .await;
}

/// Holds of new users until one is refused or waits, and how many were admitted.
async fn admitted(loyalty: &Loyalty, code: &str) -> usize {
    for number in 0.. {
        if !loyalty.admits(&loyalty.hold_of_anybody(code)).await {
            return number;
        }
    }
    0
}

async fn a_limit_that_is_added_raised_lowered_or_taken_away_stays_exact(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let path = path_of(&campaign);
    let limit = async |most: Value| {
        let change = json!({"max_redemptions": most});
        loyalty.admin.patch(&path, &change).await.expect(200);
        assert_eq!(findings(&loyalty).await, [], "{most}");
    };
    let mut holds = Vec::new();
    for _ in 0..4 {
        let hold = loyalty.hold_of_anybody("CODE");
        loyalty.ask(&hold).await.held();
        holds.push(hold);
    }
    loyalty.service.peers.say(&loyalty.paid(&holds[0])).await;
    loyalty.service.peers.say(&loyalty.failed(&holds[1])).await;
    // Three are taken: one paid, two held.
    limit(json!(5)).await;
    assert_eq!(admitted(&loyalty, "CODE").await, 2);
    // What was taken without being counted is taken off all the same.
    loyalty.service.peers.say(&loyalty.failed(&holds[2])).await;
    assert_eq!(admitted(&loyalty, "CODE").await, 1);
    limit(json!(7)).await;
    assert_eq!(admitted(&loyalty, "CODE").await, 2);
    limit(json!(2)).await;
    assert_eq!(admitted(&loyalty, "CODE").await, 0, "seven are taken, and stay");
    loyalty.service.peers.say(&loyalty.failed(&holds[3])).await;
    assert_eq!(admitted(&loyalty, "CODE").await, 0, "six still are");
    limit(json!(null)).await;
    for _ in 0..3 {
        let hold = loyalty.hold_of_anybody("CODE");
        loyalty.ask(&hold).await.held();
        holds.push(hold);
    }
    loyalty.service.peers.say(&loyalty.failed(&holds[4])).await;
    // Some of the eight were counted and some were not.
    limit(json!(10)).await;
    assert_eq!(admitted(&loyalty, "CODE").await, 2);
    for hold in &holds[5..] {
        loyalty.service.peers.say(&loyalty.failed(hold)).await;
    }
    assert_eq!(admitted(&loyalty, "CODE").await, 2);
    assert_eq!(findings(&loyalty).await, []);
    loyalty.nothing_failed().await;
}

async fn a_limit_for_each_user_counts_what_each_has_taken(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let path = path_of(&campaign);
    let (one, two) = (loyalty.service.new_user(), loyalty.service.new_user());
    for (user, uses) in [(one, 1), (two, 3)] {
        for _ in 0..uses {
            loyalty.take(&loyalty.hold(user, "CODE")).await;
        }
    }
    let over = loyalty.hold(two, "CODE");
    loyalty.ask(&over).await.held();
    loyalty.service.peers.say(&loyalty.failed(&over)).await;
    let change = json!({"max_per_user": 2});
    loyalty.admin.patch(&path, &change).await.expect(200);
    assert_eq!(findings(&loyalty).await, []);
    loyalty.take(&loyalty.hold(one, "CODE")).await;
    for user in [one, two] {
        let refused = loyalty.ask(&loyalty.hold(user, "CODE")).await.refused();
        assert_eq!(refused, [RefusalCode::UserLimitReached]);
    }
    let new = loyalty.service.new_user();
    for _ in 0..2 {
        loyalty.take(&loyalty.hold(new, "CODE")).await;
    }
    loyalty.ask(&loyalty.hold(new, "CODE")).await.refused();
    assert_eq!(
        loyalty.used("user").await,
        7,
        "two of the first, three of the second"
    );
    assert_eq!(findings(&loyalty).await, []);
}

async fn uses_before_a_limit_for_each_user_count_when_they_are_asked_for(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let (path, tariff) = (path_of(&campaign), loyalty.tariff(roubles(100)).await);
    let [returning, full, new] = [(); 3].map(|()| loyalty.service.new_user());
    let hold = async |user| {
        let hold = loyalty.hold(user, "CODE");
        loyalty.ask(&hold).await.held();
        hold
    };
    let is_full = async |user| {
        let dry = loyalty.validate(user, "CODE", tariff).await;
        let dry = dry.expect_problem(422, "promocode_refused");
        assert!(
            matches!(*crate::codes(&dry), ["user_limit_reached" | "uses_held"]),
            "{dry}"
        );
        assert!(!loyalty.admits(&loyalty.hold(user, "CODE")).await);
        assert_eq!(findings(&loyalty).await, []);
    };
    let limit = async |most: Value| {
        let change = json!({"max_per_user": most});
        loyalty.admin.patch(&path, &change).await.expect(200);
        assert_eq!(findings(&loyalty).await, []);
    };
    let early = [hold(returning).await, hold(returning).await];
    let refunded = hold(full).await;
    hold(full).await;
    loyalty.service.peers.say(&loyalty.paid(&refunded)).await;
    limit(json!(2)).await;
    // One comes back before anybody has counted.
    loyalty.service.peers.say(&loyalty.failed(&early[0])).await;
    assert_eq!(findings(&loyalty).await, []);
    loyalty.validate(returning, "CODE", tariff).await.expect(200);
    hold(returning).await;
    is_full(returning).await;
    is_full(full).await;
    // And one after that.
    loyalty.service.peers.say(&loyalty.failed(&early[1])).await;
    let again = hold(returning).await;
    is_full(returning).await;
    loyalty.service.peers.say(&loyalty.failed(&again)).await;
    // What is taken without a limit counts when there is one again, and so does what was counted
    // under the one before.
    limit(json!(null)).await;
    for user in [returning, new, new] {
        hold(user).await;
    }
    limit(json!(3)).await;
    for user in [returning, new] {
        hold(user).await;
        is_full(user).await;
    }
    limit(json!(1)).await;
    is_full(full).await;
    limit(json!(4)).await;
    hold(full).await;
    hold(full).await;
    is_full(full).await;
    loyalty.nothing_failed().await;
}

/// Holds and their failures keep coming while a limit is set, changed and taken away: on
/// PostgreSQL two replicas are at it.
async fn hold_while_it_changes(loyalty: &Loyalty, others: &[&Loyalty]) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let path = path_of(&campaign);
    let replicas: Vec<_> = std::iter::once(loyalty).chain(others.iter().copied()).collect();
    let rounds = replicas.iter().map(|replica| async move {
        for _ in 0..12 {
            let holds: Vec<_> = (0..8).map(|_| replica.hold_of_anybody("CODE")).collect();
            let peers = &replica.service.peers;
            peers.deliver(&peers.seal_all(&holds)).await;
            let failed: Vec<_> = holds[..3].iter().map(|hold| replica.failed(hold)).collect();
            let next: Vec<_> = (0..4).map(|_| replica.hold_of_anybody("CODE")).collect();
            let mut together = peers.seal_all(&failed);
            together.extend(peers.seal_all(&next));
            peers.deliver(&together).await;
        }
    });
    let changes = async {
        for (total, user) in [
            (json!(20), json!(1)),
            (json!(null), json!(null)),
            (json!(60), json!(2)),
            (json!(30), json!(null)),
            (json!(null), json!(1)),
            (json!(90), json!(1)),
        ] {
            let change = json!({"max_redemptions": total, "max_per_user": user});
            loyalty.admin.patch(&path, &change).await.expect(200);
        }
    };
    futures::join!(futures::future::join_all(rounds), changes);
    eventually("every message is applied", || async {
        let waiting = loyalty.rows("SELECT id FROM inbox WHERE status <> 'done'").await;
        waiting.is_empty().then_some(())
    })
    .await;
    assert_eq!(findings(loyalty).await, []);
    loyalty.cancel_waiting().await;
    // From here on exactly to the limit.
    let taken = loyalty.count("held").await;
    let limit = taken.max(90) + 5;
    let change = json!({"max_redemptions": limit});
    loyalty.admin.patch(&path, &change).await.expect(200);
    let more = admitted(loyalty, "CODE").await;
    assert_eq!(i64::try_from(more).unwrap(), limit - taken);
    assert_eq!(findings(loyalty).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_stays_exact_while_holds_keep_coming() {
    let embedded = Loyalty::start(TestDatabase::Sqlite).await;
    hold_while_it_changes(&embedded, &[]).await;
    let url = shared::testing::new_postgres_database().await;
    let one = Loyalty::start_on(&url).await;
    let two = Loyalty::start_on(&url).await;
    hold_while_it_changes(&one, &[&two]).await;
}

on_both_databases!(
    any_term_is_changed_and_what_is_left_out_stays,
    wrong_changes_are_refused_and_change_nothing,
    a_campaign_is_paused_resumed_and_archived_for_good,
    a_promocode_is_switched_off_and_on_alone,
    changed_terms_are_in_force_at_once_though_they_were_remembered,
    a_promocode_that_another_replica_switched_off_is_forgotten,
    a_limit_that_is_added_raised_lowered_or_taken_away_stays_exact,
    a_limit_for_each_user_counts_what_each_has_taken,
    uses_before_a_limit_for_each_user_count_when_they_are_asked_for,
);
