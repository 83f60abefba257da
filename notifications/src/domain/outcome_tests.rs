use chrono::Duration;
use serde_json::json;
use shared::{
    contracts::{
        Locale, MovedSubscription, PromocodeGrantedV1, PurchaseRefundedV1, WalletCreditedV1, WalletDebitedV1,
    },
    ids::{SubscriptionId, UserId},
};

use super::{
    letter::{Letter, LetterKind, Reader},
    outcome::{AccountBlocked, AccountUnblocked, Outcome, SubscriptionEnding},
    samples::{credited, debited, ending, granted, in_utc, now, paid, refunded, reset_requested},
};

/// Subject and lines, with ordinary spaces.
fn said(letter: &Letter) -> String {
    format!("{}\n{}", letter.subject, letter.body).replace('\u{a0}', " ")
}

fn data(letter: &Letter) -> serde_json::Value {
    serde_json::to_value(&letter.data).unwrap()
}

#[test]
fn a_refund_names_what_has_moved_and_when_it_runs_on_the_clocks_of_its_reader() {
    let moved = |days| MovedSubscription {
        subscription_id: SubscriptionId::new(now()),
        tariff_name: "Basic".to_owned(),
        starts_at: now() + Duration::days(days),
        ends_at: now() + Duration::days(days + 30),
    };
    let event = PurchaseRefundedV1 {
        moved: vec![moved(0), moved(30)],
        ..refunded()
    };
    let in_moscow = |locale| Reader {
        locale,
        zone: "Europe/Moscow".parse().unwrap(),
    };
    let letter = event.letter(in_moscow(Locale::En));
    let lines = [
        "What you have bought after it now runs earlier:",
        "– “Basic” from November 21, 2026, 13:30 UTC+3 until December 21, 2026, 13:30 UTC+3",
        "– “Basic” from December 21, 2026, 13:30 UTC+3 until January 20, 2027, 13:30 UTC+3",
        "Reason: asked for by telephone",
    ];
    let written = said(&letter);
    assert!(written.ends_with(&lines.join("\n")), "{written}");
    assert_eq!(data(&letter)["moved"], json!(event.moved));
    let lines = [
        "Подписки, купленные после неё, теперь действуют раньше:",
        "– «Basic» с 21 ноября 2026 г., 13:30 UTC+3 до 21 декабря 2026 г., 13:30 UTC+3",
        "– «Basic» с 21 декабря 2026 г., 13:30 UTC+3 до 20 января 2027 г., 13:30 UTC+3",
        "Причина: asked for by telephone",
    ];
    let written = said(&event.letter(in_moscow(Locale::Ru)));
    assert!(written.ends_with(&lines.join("\n")), "{written}");
}

#[test]
fn a_refund_that_has_moved_very_many_names_the_first_and_counts_the_others() {
    let moved = |number: i64| MovedSubscription {
        subscription_id: SubscriptionId::new(now()),
        tariff_name: "Day\r\n".to_owned(),
        starts_at: now() + Duration::days(number),
        ends_at: now() + Duration::days(number + 1),
    };
    let event = PurchaseRefundedV1 {
        moved: (0..100).map(moved).collect(),
        reason: None,
        ..refunded()
    };
    for (locale, last) in [
        (
            Locale::En,
            "– and others: 80, the last one until March 1, 2027, 10:30 UTC",
        ),
        (
            Locale::Ru,
            "– и другие: 80, последняя до 1 марта 2027 г., 10:30 UTC",
        ),
    ] {
        let written = said(&event.letter(in_utc(locale)));
        assert_eq!(written.lines().last(), Some(last));
        assert_eq!(written.lines().count(), 4 + 1 + 20 + 1);
    }
}

#[test]
fn letters_tell_the_time_on_the_clocks_of_their_reader() {
    let reader = Reader {
        locale: Locale::En,
        zone: "Asia/Vladivostok".parse().unwrap(),
    };
    let outcome = SubscriptionEnding {
        event: ending(),
        heard_at: now(),
    };
    for letter in [
        paid().letter(reader),
        outcome.letter(reader),
        reset_requested().letter(reader),
    ] {
        assert!(said(&letter).contains(", 20:30 UTC+10"), "{}", said(&letter));
    }
    // The last minute that is included.
    let letter = granted().letter(reader);
    assert!(said(&letter).contains(", 20:29 UTC+10"), "{}", said(&letter));
}

#[test]
fn a_refund_names_what_came_back() {
    let event = refunded();
    let letter = event.letter(in_utc(Locale::En));
    assert_eq!(
        said(&letter),
        "“Basic” was refunded: RUB 890.00\n\
         Your purchase of “Basic” was given back, and its subscription has ended.\n\
         Refunded: RUB 890.00\n\
         Balance: RUB 12,345.00\n\
         Reason: asked for by telephone"
    );
    assert_eq!(letter.kind, LetterKind::PurchaseRefunded);
    assert_eq!(letter.about, format!("purchase_refunded:{}", event.purchase_id));
    assert_eq!(
        data(&letter)["refunded"],
        json!({"amount": 89_000, "currency": "RUB"})
    );
    assert_eq!(data(&letter)["reason"], "asked for by telephone");
    assert_eq!(
        said(&event.letter(in_utc(Locale::Ru))),
        "Возврат за «Basic»: 890,00 ₽\n\
         Покупка «Basic» отменена, деньги возвращены, подписка завершена.\n\
         Возвращено: 890,00 ₽\n\
         Баланс: 12 345,00 ₽\n\
         Причина: asked for by telephone"
    );
}

#[test]
fn a_refund_that_was_said_before_reasons_were_has_its_letter() {
    let mut said_before = json!(refunded());
    said_before.as_object_mut().unwrap().remove("reason");
    let event: PurchaseRefundedV1 = serde_json::from_value(said_before).unwrap();
    let letter = event.letter(in_utc(Locale::En));
    assert!(said(&letter).ends_with("Balance: RUB 12,345.00"));
    assert!(data(&letter).get("reason").is_none(), "absent is not null");
}

#[test]
fn a_subscription_that_ends_says_when() {
    let outcome = SubscriptionEnding {
        event: ending(),
        heard_at: now(),
    };
    let letter = outcome.letter(in_utc(Locale::En));
    assert_eq!(
        said(&letter),
        "Your subscription to “Basic” ends soon\nIt ends on December 21, 2026, 10:30 UTC.\n\
         To go on, buy it again."
    );
    let subscription = outcome.event.subscription_id;
    assert_eq!(letter.about, format!("subscription_ending:{subscription}"));
    assert_eq!(letter.occurred_at, now());
    assert_eq!(data(&letter)["ends_at"], "2026-12-21T10:30:00Z");
    assert_eq!(
        said(&outcome.letter(in_utc(Locale::Ru))),
        "Подписка «Basic» скоро закончится\nОна действует до 21 декабря 2026 г., 10:30 UTC.\n\
         Чтобы продолжить, купите её снова."
    );
}

#[test]
fn a_granted_promocode_is_named_with_its_end_if_it_has_one() {
    let event = granted();
    let letter = event.letter(in_utc(Locale::En));
    assert_eq!(
        said(&letter),
        "You have got a promocode\nPromocode: LEAF-15\nCampaign: Falling prices\n\
         It can be used until December 21, 2026, 10:29 UTC."
    );
    assert_eq!(
        letter.about,
        format!("promocode_granted:{}:{}", event.grant_id, event.user_id)
    );
    assert_eq!(data(&letter)["promocode"], "LEAF-15");
    let for_ever = PromocodeGrantedV1 {
        ends_at: None,
        ..event
    };
    let letter = for_ever.letter(in_utc(Locale::Ru));
    assert_eq!(
        said(&letter),
        "Вам доступен промокод\nПромокод: LEAF-15\nАкция: Цены падают"
    );
    assert!(data(&letter).get("ends_at").is_none(), "absent is not null");
}

#[test]
fn a_granted_promocode_tells_from_when_to_when_on_its_campaign_s_clocks() {
    let at = |text: &str| Some(text.parse().unwrap());
    let event = PromocodeGrantedV1 {
        starts_at: at("2026-11-30T21:00:00Z"),
        ends_at: at("2026-12-31T21:00:00Z"),
        timezone: Some("Europe/Moscow".to_owned()),
        ..granted()
    };
    assert_eq!(
        said(&event.letter(in_utc(Locale::En))),
        "You have got a promocode\nPromocode: LEAF-15\nCampaign: Falling prices\n\
         It can be used from December 1, 2026, 00:00 UTC+3 \
         to December 31, 2026, 23:59 UTC+3."
    );
    assert_eq!(
        said(&event.letter(in_utc(Locale::Ru))),
        "Вам доступен промокод\nПромокод: LEAF-15\nАкция: Цены падают\n\
         Действует с 1 декабря 2026 г., 00:00 UTC+3 \
         по 31 декабря 2026 г., 23:59 UTC+3."
    );
    let started = PromocodeGrantedV1 {
        starts_at: Some(now()),
        ends_at: at("2026-12-31T18:29:30Z"),
        timezone: Some("Asia/Kolkata".to_owned()),
        ..event.clone()
    };
    let letter = started.letter(in_utc(Locale::En));
    assert!(
        said(&letter).ends_with("It can be used until December 31, 2026, 23:59 UTC+5:30."),
        "{letter:?}"
    );
    let endless = PromocodeGrantedV1 {
        ends_at: None,
        timezone: Some("Mars/Olympus".to_owned()),
        ..event
    };
    let letter = endless.letter(in_utc(Locale::Ru));
    assert!(
        said(&letter).ends_with("Действует с 30 ноября 2026 г., 21:00 UTC."),
        "{letter:?}"
    );
}

#[test]
fn a_campaign_s_internal_name_is_in_no_letter() {
    let named = granted();
    let untitled = PromocodeGrantedV1 {
        campaign_title: None,
        ..named.clone()
    };
    for event in [named, untitled] {
        for locale in [Locale::En, Locale::Ru] {
            let letter = event.letter(in_utc(locale));
            let all = format!("{} {}", said(&letter), data(&letter));
            assert!(!all.contains("agency X"), "{all}");
        }
    }
    // As programs before the title published it.
    let old = json!({
        "grant_id": granted().grant_id, "user_id": UserId::new(now()), "campaign_id": granted().campaign_id,
        "campaign_name": "agency X", "promocode": "LEAF-15", "granted_at": now(),
    });
    let old: PromocodeGrantedV1 = serde_json::from_value(old).unwrap();
    assert_eq!(
        said(&old.letter(in_utc(Locale::En))),
        "You have got a promocode\nPromocode: LEAF-15"
    );
}

#[test]
fn a_grant_to_a_group_has_a_letter_for_each_of_its_users() {
    let one = granted();
    let other = PromocodeGrantedV1 {
        user_id: UserId::new(now()),
        ..one.clone()
    };
    assert_ne!(
        one.letter(in_utc(Locale::En)).about,
        other.letter(in_utc(Locale::En)).about
    );
}

#[test]
fn each_block_and_each_lift_has_its_letter() {
    let (user_id, heard_at) = (UserId::new(now()), now());
    let blocked = |version| AccountBlocked {
        user_id,
        version,
        heard_at,
    };
    let first = blocked(2).letter(in_utc(Locale::En));
    assert_eq!(first.subject, "Your account was blocked");
    assert_eq!(first.about, format!("account_blocked:{user_id}:2"));
    assert_eq!(first.about, blocked(2).letter(in_utc(Locale::Ru)).about);
    assert_ne!(first.about, blocked(4).letter(in_utc(Locale::En)).about);
    let lifted = AccountUnblocked {
        user_id,
        version: 3,
        heard_at,
    };
    assert_eq!(
        lifted.letter(in_utc(Locale::Ru)).subject,
        "Ваш аккаунт разблокирован"
    );
    assert_eq!(
        lifted.letter(in_utc(Locale::En)).kind,
        LetterKind::AccountUnblocked
    );
}

#[test]
fn a_password_that_is_asked_for_is_told_without_its_link() {
    let event = reset_requested();
    let letter = event.letter(in_utc(Locale::En));
    assert_eq!(
        said(&letter),
        "A new password was asked for\n\
         Somebody, probably you, asked on November 21, 2026, 10:30 UTC to choose a new password. \
         The link is in your mail.\n\
         If it was not you, do nothing: your password stays as it is."
    );
    assert_eq!(letter.about, format!("password_reset:{}", event.mail_request_id));
    assert_eq!(
        data(&letter),
        json!({"requested_at": "2026-11-21T10:30:00Z", "expires_at": "2026-11-21T11:30:00Z"})
    );
    assert!(event.letter(in_utc(Locale::Ru)).subject.contains("пароль"));
}

#[test]
fn what_an_administrator_did_with_a_wallet_says_so_and_why() {
    let credited = WalletCreditedV1 {
        by_administrator: true,
        reason: Some("paid twice".to_owned()),
        ..credited()
    };
    let debited = WalletDebitedV1 {
        by_administrator: true,
        reason: Some("paid twice".to_owned()),
        ..debited()
    };
    for (letter, subject) in [
        (
            credited.letter(in_utc(Locale::En)),
            "An administrator put RUB 1,000.00 into your wallet",
        ),
        (
            credited.letter(in_utc(Locale::Ru)),
            "Администратор зачислил на кошелёк 1000,00 ₽",
        ),
        (
            debited.letter(in_utc(Locale::En)),
            "An administrator took RUB 100.00 out of your wallet",
        ),
        (
            debited.letter(in_utc(Locale::Ru)),
            "Администратор списал с кошелька 100,00 ₽",
        ),
    ] {
        assert_eq!(letter.subject.replace('\u{a0}', " "), subject);
        assert_eq!(data(&letter)["by_administrator"], true);
        assert_eq!(data(&letter)["reason"], "paid twice");
        let last = letter.body.lines().last().unwrap();
        assert!(
            ["Reason: paid twice", "Причина: paid twice"].contains(&last),
            "{last}"
        );
    }
}

#[test]
fn what_nobody_can_prefer_not_to_be_mailed_is_about_the_account() {
    let about_security: Vec<_> = LetterKind::ALL
        .into_iter()
        .filter(|kind| kind.is_about_security())
        .map(LetterKind::as_str)
        .collect();
    assert_eq!(
        about_security,
        ["account_blocked", "account_unblocked", "password_reset"]
    );
}
