//! Each reason for a "no": alone, with each other that it can meet, and with all of them; told to the
//! customer as far as they may know, and to an administrator whole.

use std::{collections::BTreeSet, time::Duration as StdDuration};

use chrono::Duration;
use serde_json::{Value, json};
use shared::{
    clock::Instant,
    contracts::{HoldPromocodeV1, RefusalCode, UserBlockedV1, UserRegisteredV1, UserState, UserStatus},
    ids::{GrantId, PromocodeId, TariffId, UserId},
    testing::TestDatabase,
};

use crate::{Heard, Loyalty, kopecks, noon, roubles, with};

/// In the order in which they are listed.
const CODES: [RefusalCode; 14] = [
    RefusalCode::UserBlocked,
    RefusalCode::UnknownPromocode,
    RefusalCode::NotGranted,
    RefusalCode::PromocodeDisabled,
    RefusalCode::CampaignNotStarted,
    RefusalCode::CampaignEnded,
    RefusalCode::CampaignPaused,
    RefusalCode::UsesExhausted,
    RefusalCode::UserLimitReached,
    RefusalCode::TariffNotEligible,
    RefusalCode::PriceBelowMinimum,
    RefusalCode::NoDiscount,
    RefusalCode::NotFirstPurchase,
    RefusalCode::NotNewUser,
];

/// Whether the code is one of this table's; a new one has to be put somewhere.
const fn is_here(code: RefusalCode) -> bool {
    match code {
        RefusalCode::UserBlocked
        | RefusalCode::UnknownPromocode
        | RefusalCode::NotGranted
        | RefusalCode::PromocodeDisabled
        | RefusalCode::CampaignNotStarted
        | RefusalCode::CampaignEnded
        | RefusalCode::CampaignPaused
        | RefusalCode::UsesExhausted
        | RefusalCode::UserLimitReached
        | RefusalCode::TariffNotEligible
        | RefusalCode::PriceBelowMinimum
        | RefusalCode::NoDiscount
        | RefusalCode::NotFirstPurchase
        | RefusalCode::NotNewUser => true,
        RefusalCode::BudgetExhausted
        | RefusalCode::PeriodLimitReached
        | RefusalCode::TooManyAttempts
        | RefusalCode::UsesHeld => false,
    }
}

type Codes = BTreeSet<RefusalCode>;

/// Whether there is a promocode and a purchase of which all of `codes` are true at once.
fn can_meet(codes: &Codes) -> bool {
    let has = |code| codes.contains(&code);
    // Of what does not exist, nothing more is known.
    let unknown = !has(RefusalCode::UnknownPromocode)
        || codes
            .iter()
            .all(|code| matches!(code, RefusalCode::UnknownPromocode | RefusalCode::UserBlocked));
    // A campaign that has not started can be over only by being archived, and is not paused then.
    let times = [
        RefusalCode::CampaignNotStarted,
        RefusalCode::CampaignEnded,
        RefusalCode::CampaignPaused,
    ];
    unknown && !times.into_iter().all(has)
}

/// Each alone, each pair that can meet, and as many as can meet.
fn combinations() -> Vec<Codes> {
    let mut combinations: Vec<Codes> = CODES.iter().map(|code| Codes::from([*code])).collect();
    for (number, one) in CODES.iter().enumerate() {
        combinations.extend(CODES[..number].iter().map(|other| Codes::from([*one, *other])));
    }
    for left_out in [RefusalCode::CampaignNotStarted, RefusalCode::CampaignPaused] {
        let left_out = [left_out, RefusalCode::UnknownPromocode];
        let rest = CODES.into_iter().filter(|code| !left_out.contains(code));
        combinations.push(rest.collect());
    }
    combinations.retain(can_meet);
    combinations
}

/// What a reason says: its code, what was expected, what was found.
type Fact = (RefusalCode, Value, Value);

fn facts(reasons: &Value) -> Vec<Fact> {
    let fact = |reason: &Value| {
        assert!(reason["detail"].as_str().unwrap().ends_with('.'), "{reason}");
        let code = serde_json::from_value(reason["code"].clone()).unwrap();
        (code, reason["expected"].clone(), reason["found"].clone())
    };
    reasons.as_array().unwrap().iter().map(fact).collect()
}

/// A promocode and somebody who asks for it, of whom exactly `codes` are true.
struct Case<'a> {
    loyalty: &'a Loyalty,
    codes: &'a Codes,
    promocode: String,
    user: UserId,
    tariff: TariffId,
    /// For which the promocode is, if it is not for all.
    other_tariff: TariffId,
}

impl<'a> Case<'a> {
    async fn arrange(loyalty: &'a Loyalty, codes: &'a Codes, number: usize) -> Self {
        let case = Self {
            loyalty,
            codes,
            promocode: format!("CASE-{number}"),
            user: loyalty.service.new_user(),
            tariff: loyalty.tariff(roubles(100)).await,
            other_tariff: TariffId::new(loyalty.now()),
        };
        if !case.has(RefusalCode::UnknownPromocode) {
            let campaign = case.make_campaign().await;
            case.take_uses().await;
            case.close(&campaign).await;
        }
        case.tell_of_user().await;
        case
    }

    fn has(&self, code: RefusalCode) -> bool {
        self.codes.contains(&code)
    }

    fn starts_at(&self) -> Instant {
        self.loyalty.now() + Duration::days(1)
    }

    fn ends_at(&self) -> Instant {
        self.loyalty.now() - Duration::days(1)
    }

    fn registered_at(&self) -> Instant {
        self.loyalty.now() - Duration::days(60)
    }

    /// It is over by its end, or archived if it has not even started.
    fn is_archived(&self) -> bool {
        self.has(RefusalCode::CampaignEnded) && self.has(RefusalCode::CampaignNotStarted)
    }

    async fn make_campaign(&self) -> Value {
        let mut terms = json!({"name": "Case", "discount": {"type": "free"}});
        let mut eligibility = json!({});
        let set = |terms: &mut Value, code, name: &str, value: Value| {
            if self.has(code) {
                terms[name] = value;
            }
        };
        set(
            &mut terms,
            RefusalCode::CampaignNotStarted,
            "starts_at",
            json!(self.starts_at()),
        );
        if !self.is_archived() {
            set(
                &mut terms,
                RefusalCode::CampaignEnded,
                "ends_at",
                json!(self.ends_at()),
            );
        }
        let at_its_price = json!({"type": "fixed_price", "price": kopecks(10_000)});
        set(&mut terms, RefusalCode::NoDiscount, "discount", at_its_price);
        set(&mut terms, RefusalCode::NotGranted, "requires_grant", json!(true));
        set(
            &mut terms,
            RefusalCode::UserLimitReached,
            "max_per_user",
            json!(1),
        );
        let named = &mut eligibility;
        set(
            named,
            RefusalCode::TariffNotEligible,
            "tariffs",
            json!([self.other_tariff]),
        );
        set(
            named,
            RefusalCode::PriceBelowMinimum,
            "min_price",
            kopecks(10_001),
        );
        set(
            named,
            RefusalCode::NotFirstPurchase,
            "first_purchase",
            json!(true),
        );
        let within = json!({"registered_within": "P30D"});
        set(named, RefusalCode::NotNewUser, "new_users", within);
        let terms = with(terms, &json!({"eligibility": eligibility}));
        let uses = self.has(RefusalCode::UsesExhausted).then_some(1);
        self.loyalty.campaign(&terms, &self.promocode, uses).await
    }

    /// As it was granted before its campaign was over.
    async fn grant_behind_its_back(&self, to: UserId) -> GrantId {
        let id = GrantId::new(self.loyalty.now());
        let find = format!("SELECT id FROM promocodes WHERE code = '{}'", self.promocode);
        let promocode: PromocodeId = self.loyalty.rows(&find).await[0].try_get("", "id").unwrap();
        let row = [
            ("id", id.0.into()),
            ("promocode_id", promocode.0.into()),
            ("user_id", to.0.into()),
            ("granted_by", to.0.into()),
            ("granted_at", self.loyalty.now().into()),
        ];
        crate::old_codes::insert(self.loyalty.service.db.writer(), "grants", row).await;
        id
    }

    /// Takes the uses that there are, while nothing else is in the way.
    async fn take_uses(&self) {
        if !self.has(RefusalCode::UsesExhausted) && !self.has(RefusalCode::UserLimitReached) {
            return;
        }
        let of_user = self.has(RefusalCode::UserLimitReached);
        let by = if of_user {
            self.user
        } else {
            self.loyalty.service.new_user()
        };
        let admin = &self.loyalty.admin;
        let grant = self.grant_behind_its_back(by).await;
        let requested_at = if self.has(RefusalCode::CampaignNotStarted) {
            self.starts_at()
        } else if self.has(RefusalCode::CampaignEnded) {
            self.ends_at() - Duration::hours(1)
        } else {
            self.loyalty.now()
        };
        let hold = HoldPromocodeV1 {
            tariff_id: self.other_tariff,
            requested_at,
            ..self.loyalty.hold(by, &self.promocode)
        };
        self.loyalty.take(&hold).await;
        let path = format!("/loyalty/v1/grants/{grant}");
        crate::call(admin, reqwest::Method::DELETE, &path)
            .await
            .expect(204);
    }

    /// Switches off what is to be off.
    async fn close(&self, campaign: &Value) {
        let admin = &self.loyalty.admin;
        let path = format!("/loyalty/v1/campaigns/{}", campaign["id"].as_str().unwrap());
        if self.has(RefusalCode::PromocodeDisabled) {
            let path = format!("{path}/promocodes/{}", self.promocode);
            admin
                .patch(&path, &json!({"status": "disabled"}))
                .await
                .expect(200);
        }
        if self.has(RefusalCode::CampaignPaused) {
            admin
                .post(&format!("{path}/pause"), &Value::Null)
                .await
                .expect(200);
        }
        if self.is_archived() {
            admin
                .post(&format!("{path}/archive"), &Value::Null)
                .await
                .expect(200);
        }
    }

    /// Says of the user what auth and billing would.
    async fn tell_of_user(&self) {
        let peers = &self.loyalty.service.peers;
        let state = |version, status| UserState {
            registered_at: if self.has(RefusalCode::NotNewUser) {
                self.registered_at()
            } else {
                self.loyalty.now()
            },
            ..self.loyalty.user_state(self.user, version, status)
        };
        peers.say(&UserRegisteredV1(state(1, UserStatus::Active))).await;
        if self.has(RefusalCode::NotFirstPurchase) {
            let before = self.loyalty.hold(self.user, "");
            peers.say(&self.loyalty.paid(&before)).await;
        }
        if self.has(RefusalCode::UserBlocked) {
            peers.say(&UserBlockedV1(state(2, UserStatus::Blocked))).await;
        }
    }

    /// All that is to be told of it, in the order of [`CODES`].
    fn whole(&self) -> Vec<Fact> {
        let codes = CODES.into_iter().filter(|code| self.has(*code));
        codes.map(|code| self.fact(code)).collect()
    }

    /// What is to be told of one condition.
    fn fact(&self, code: RefusalCode) -> Fact {
        let now = self.loyalty.now();
        let (expected, found) = match code {
            RefusalCode::UserBlocked => (json!("active"), json!("blocked")),
            RefusalCode::UnknownPromocode => (json!("a promocode that exists"), json!(self.promocode)),
            RefusalCode::NotGranted => (json!("a grant"), json!("none")),
            RefusalCode::PromocodeDisabled => (json!("enabled"), json!("disabled")),
            RefusalCode::CampaignNotStarted => (json!(self.starts_at()), json!(now)),
            RefusalCode::CampaignEnded if self.is_archived() => (json!("active"), json!("archived")),
            RefusalCode::CampaignEnded => (json!(self.ends_at()), json!(now)),
            RefusalCode::CampaignPaused => (json!("active"), json!("paused")),
            RefusalCode::UsesExhausted | RefusalCode::UserLimitReached => (json!(1), json!(1)),
            RefusalCode::TariffNotEligible => {
                let named = json!({"count": 1, "tariffs": [self.other_tariff]});
                (named, json!(self.tariff))
            }
            RefusalCode::PriceBelowMinimum => (kopecks(10_001), kopecks(10_000)),
            RefusalCode::NoDiscount => (json!("a price that the promocode lowers"), json!(10_000)),
            RefusalCode::NotFirstPurchase => (json!("no purchase before"), json!("a purchase before")),
            RefusalCode::NotNewUser => {
                let since = now - Duration::days(30);
                let expected = json!({"registered_within": "P30D", "registered_since": since});
                (expected, json!(self.registered_at()))
            }
            RefusalCode::BudgetExhausted
            | RefusalCode::PeriodLimitReached
            | RefusalCode::TooManyAttempts
            | RefusalCode::UsesHeld => {
                unreachable!("none of this table")
            }
        };
        (code, expected, found)
    }

    /// The customer's copy: what is for others reads as if there were no such thing, and nothing
    /// else is told of it.
    fn masked(&self, mut whole: Vec<Fact>) -> Vec<Fact> {
        if self.has(RefusalCode::NotGranted) {
            whole.retain(|(code, ..)| *code == RefusalCode::UserBlocked);
            whole.push(self.fact(RefusalCode::UnknownPromocode));
        }
        whole
    }

    /// Tries it dry: the customer's copy, and the whole one.
    async fn try_dry(&self) {
        let body = json!({"promocode": self.promocode, "tariff_id": self.tariff, "user_id": self.user});
        // Who is blocked can ask nothing; an administrator asks in their place.
        let asks = if self.has(RefusalCode::UserBlocked) {
            self.loyalty.admin.clone()
        } else {
            self.loyalty.service.api_of(self.user)
        };
        let answer = asks.post("/loyalty/v1/promocodes/validate", &body).await;
        let told = answer.expect_problem(422, "promocode_refused");
        let codes = self.codes;
        assert_eq!(facts(&told["reasons"]), self.masked(self.whole()), "{codes:?}");
        assert_eq!(self.kept("validation").await, self.whole(), "{codes:?}");
    }

    /// Buys with it: the same, but that billing alone judges whether its user may buy.
    async fn try_to_buy(&self) {
        let mut whole = self.whole();
        whole.retain(|(code, ..)| *code != RefusalCode::UserBlocked);
        let hold = HoldPromocodeV1 {
            tariff_id: self.tariff,
            price: roubles(100),
            user_registered_at: self.has(RefusalCode::NotNewUser).then(|| self.registered_at()),
            has_purchased: self.has(RefusalCode::NotFirstPurchase),
            ..self.loyalty.hold(self.user, &self.promocode)
        };
        let codes = self.codes;
        match self.loyalty.ask(&hold).await {
            Heard::Held(_) => assert!(whole.is_empty(), "{codes:?}"),
            Heard::NotHeld(not_held) => panic!("{codes:?}: {not_held:?}"),
            Heard::Refused(refused) => {
                let told = facts(&json!(refused.reasons));
                assert_eq!(told, self.masked(whole.clone()), "{codes:?}");
                assert_eq!(self.kept("hold").await, whole, "{codes:?}");
            }
        }
    }

    /// What an administrator finds.
    async fn kept(&self, source: &str) -> Vec<Fact> {
        let path = format!("/loyalty/v1/refusals?user_id={}&source={source}", self.user);
        let found = self.loyalty.admin.get(&path).await.expect(200);
        let items = found["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{found}");
        assert_eq!(items[0]["promocode"], self.promocode);
        facts(&items[0]["reasons"])
    }
}

async fn every_reason_is_told_alone_and_with_the_others(database: TestDatabase) {
    let loyalty = Loyalty::start_at(database, noon()).await;
    for (number, codes) in combinations().iter().enumerate() {
        let case = Case::arrange(&loyalty, codes, number).await;
        case.try_dry().await;
        case.try_to_buy().await;
        // A clock that stands still would hide what was taken from the wrong one.
        loyalty.advance(StdDuration::from_secs(1));
    }
    loyalty.nothing_failed().await;
}

#[tokio::test]
async fn every_reason_is_told_alone_and_with_the_others_on_sqlite() {
    every_reason_is_told_alone_and_with_the_others(TestDatabase::Sqlite).await;
}

#[tokio::test]
async fn every_reason_is_told_alone_and_with_the_others_on_postgres() {
    every_reason_is_told_alone_and_with_the_others(TestDatabase::Postgres).await;
}

#[test]
fn every_code_is_in_the_table_or_said_not_to_be() {
    let schema = serde_json::to_value(<RefusalCode as utoipa::PartialSchema>::schema()).unwrap();
    for name in schema["enum"].as_array().unwrap() {
        let code: RefusalCode = serde_json::from_value(name.clone()).unwrap();
        assert_eq!(CODES.contains(&code), is_here(code), "{name}");
    }
    let all: Vec<_> = combinations()
        .into_iter()
        .filter(|codes| codes.len() > 2)
        .collect();
    assert_eq!(all.iter().map(BTreeSet::len).collect::<Vec<_>>(), [12, 12]);
}
