//! `kopeck reconcile`: holds every service's tables against each other, and the services against
//! one another; with `--repair` it has the owners announce again what others lack.

mod replicas;

use std::{
    collections::{BTreeSet, HashSet},
    process::ExitCode,
    time::Duration,
};

use billing::{
    app::{
        read_purchase::{read_ended, read_purchase},
        reconcile::reconcile as reconcile_billing,
        report_settled::{SettledPurchase, settled_among, settled_page},
    },
    domain::purchase::PurchaseState,
};
use loyalty::{SettledRedemption, domain::redemption::RedemptionStatus};
use notifications::domain::letter::LetterKind;
use shared::{
    clock::Instant,
    config::Config,
    contracts::ServiceName,
    db::Db,
    facts::{self, Purpose},
    ids::PurchaseId,
    reconcile::Finding,
};

use self::replicas::Replicas;
use super::open_existing;

/// For how long after its deadline a purchase may still be on its way through the services.
const MARGIN_SECONDS: u32 = 30;

/// What is held against each other at once.
const PAGE: u64 = 1_000;

/// For how long, in seconds, what has just changed at its owner may be on its way to a replica.
const ON_ITS_WAY: u32 = 5;
/// The same at least: a message of a command that has ended is published by a service, which leaves it to
/// its own process for a second.
const LEFT_BEHIND: u32 = 3;

const REDEMPTION_FOLLOWS: &str = "a redemption follows its purchase";
const OUTCOME_HAS_LETTER: &str = "every outcome has its letter";
const REFUND_HAS_LETTER: &str = "every refund has its letter";

/// Looks at nothing that is younger than `older_than` seconds. Reads only, but for what `repair` has
/// announced again.
pub(super) async fn reconcile(
    config: &Config,
    older_than: Option<u32>,
    repair: bool,
) -> anyhow::Result<ExitCode> {
    let older_than = older_than.unwrap_or(config.billing.purchase_deadline_seconds + MARGIN_SECONDS);
    let auth = open_existing(config, ServiceName::Auth).await?;
    let billing = open_existing(config, ServiceName::Billing).await?;
    let now = billing.now();
    let before = now - chrono::Duration::seconds(i64::from(older_than));
    let books = Books {
        billing,
        loyalty: open_existing(config, ServiceName::Loyalty).await?,
        notifications: open_existing(config, ServiceName::Notifications).await?,
        before,
    };
    let databases = [&auth, &books.loyalty, &books.billing, &books.notifications];
    facts::agree(&databases, config.currency, Purpose::Command).await?;
    let replicas = Replicas {
        auth: &auth,
        loyalty: &books.loyalty,
        billing: &books.billing,
        notifications: &books.notifications,
    };

    let mut findings = reconcile_billing(books.billing.reader(), now).await?;
    findings.extend(loyalty::reconcile(books.loyalty.reader(), before).await?);
    let purchases = books.purchases(&mut findings).await?;
    books.redemptions_without_purchase(&mut findings).await?;
    books.letters_without_purchase(&mut findings).await?;
    let pause = Duration::from_secs(u64::from(older_than.clamp(LEFT_BEHIND, ON_ITS_WAY)));
    findings.extend(replicas.compare(before, pause).await?);

    for finding in &findings {
        println!("{}: {} ({})", finding.rule, finding.detail, finding.id);
    }
    if repair {
        let of_purchases = [REDEMPTION_FOLLOWS, OUTCOME_HAS_LETTER, REFUND_HAS_LETTER];
        let announced = replicas.announce_again(&findings, &of_purchases, config).await?;
        println!("{announced} announced again; reconcile once more to see what is left");
    }
    let older = if older_than == 0 {
        String::new()
    } else {
        format!(" older than {older_than} s")
    };
    println!(
        "{purchases} purchases{older} reconciled, {} findings",
        findings.len()
    );
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The services' databases.
struct Books {
    billing: Db,
    loyalty: Db,
    notifications: Db,
    /// What is younger may still be on its way.
    before: Instant,
}

impl Books {
    /// Holds what became of each purchase against its redemption and its letter, and says how many
    /// purchases there are.
    async fn purchases(&self, findings: &mut Vec<Finding>) -> anyhow::Result<usize> {
        let (mut after, mut purchases) = (None, 0);
        loop {
            let page = settled_page(self.billing.reader(), self.before, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(purchases);
            };
            after = Some(last.purchase_id);
            purchases += page.len();
            let looks_wrong = self.compare(&page).await?;
            findings.extend(self.look_again(&looks_wrong).await?);
        }
    }

    /// What is wrong with these purchases, as the others' databases are now.
    async fn compare(&self, purchases: &[SettledPurchase]) -> anyhow::Result<Vec<Finding>> {
        let ids: Vec<_> = purchases.iter().map(|purchase| purchase.purchase_id).collect();
        let redemptions = loyalty::redemptions_of(self.loyalty.reader(), &ids).await?;
        let letters = notifications::letters_of_purchases(self.notifications.reader(), &ids).await?;
        let refunds = notifications::refunds_with_a_letter(self.notifications.reader(), &ids).await?;
        let mut findings = Vec::new();
        for purchase in purchases {
            let id = purchase.purchase_id;
            findings.extend(redemption_follows(purchase, redemptions.get(&id)));
            findings.extend(letter_follows(purchase, letters.get(&id).copied()));
            findings.extend(refund_letter_follows(purchase, refunds.contains(&id)));
        }
        Ok(findings)
    }

    /// Which of `findings` stand. No moment is the same in three databases: a purchase that is given
    /// back between two reads looks wrong, and is on its way. So each is read once more, between two
    /// reads of its purchase that find it the same, and still older than what is left out.
    async fn look_again(&self, findings: &[Finding]) -> anyhow::Result<Vec<Finding>> {
        let ids: BTreeSet<_> = findings.iter().map(|finding| PurchaseId(finding.id)).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let purchases = settled_among(self.billing.reader(), self.before, &ids).await?;
        let mut findings = self.compare(&purchases).await?;
        let afterwards = settled_among(self.billing.reader(), self.before, &ids).await?;
        let stayed: HashSet<_> = purchases
            .iter()
            .filter(|purchase| afterwards.contains(purchase))
            .map(|purchase| purchase.purchase_id.0)
            .collect();
        findings.retain(|finding| stayed.contains(&finding.id));
        Ok(findings)
    }

    /// Finds uses that are taken for purchases that billing does not have.
    async fn redemptions_without_purchase(&self, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = loyalty::purchases_with_a_use(self.loyalty.reader(), self.before, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(*last);
            for id in self.unknown_to_billing(page).await? {
                let detail = "a use is taken, and billing has no such purchase".to_owned();
                findings.push(finding("a redemption has its purchase", id, detail));
            }
        }
    }

    /// The same of letters.
    async fn letters_without_purchase(&self, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page =
                notifications::purchases_with_a_letter(self.notifications.reader(), self.before, after, PAGE)
                    .await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(*last);
            let purchases = page.into_iter().map(|(_, purchase)| purchase).collect();
            for id in self.unknown_to_billing(purchases).await? {
                let detail = "a letter, and billing has no such purchase".to_owned();
                findings.push(finding("a letter has its purchase", id, detail));
            }
        }
    }

    /// Those that billing does not have. Nobody else hears of a purchase before billing has it.
    async fn unknown_to_billing(&self, ids: Vec<PurchaseId>) -> anyhow::Result<Vec<PurchaseId>> {
        let ended = read_ended(self.billing.reader(), ids.clone()).await?;
        let ended: HashSet<_> = ended.into_iter().map(|view| view.purchase.id).collect();
        let mut unknown = Vec::new();
        // Few are pending at any time.
        for id in ids.into_iter().filter(|id| !ended.contains(id)) {
            if read_purchase(self.billing.reader(), id).await?.is_none() {
                unknown.push(id);
            }
        }
        Ok(unknown)
    }
}

fn finding(rule: &'static str, id: PurchaseId, detail: String) -> Finding {
    Finding {
        rule,
        id: id.0,
        detail,
    }
}

fn redemption_follows(purchase: &SettledPurchase, redemption: Option<&SettledRedemption>) -> Option<Finding> {
    let id = purchase.purchase_id;
    let Some(redemption) = redemption else {
        return purchase
            .with_promocode
            .then(|| finding(REDEMPTION_FOLLOWS, id, "there is no redemption".to_owned()));
    };
    if !purchase.with_promocode {
        return Some(finding(
            REDEMPTION_FOLLOWS,
            id,
            "a redemption of a purchase without a promocode".to_owned(),
        ));
    }
    let follows = match purchase.state {
        PurchaseState::Pending => false,
        PurchaseState::Paid => redemption.status == RedemptionStatus::Confirmed,
        PurchaseState::Failed(_) => {
            matches!(
                redemption.status,
                RedemptionStatus::Cancelled | RedemptionStatus::Refused
            )
        }
        PurchaseState::Refunded => follows_refund(redemption),
    };
    if !follows {
        let detail = format!(
            "the purchase is {}, the redemption {}",
            purchase.state.as_str(),
            redemption.status.as_str()
        );
        return Some(finding(REDEMPTION_FOLLOWS, id, detail));
    }
    let paid = matches!(purchase.state, PurchaseState::Paid | PurchaseState::Refunded);
    (paid && redemption.final_price != Some(purchase.charged)).then(|| {
        let held = redemption
            .final_price
            .map_or_else(|| "nothing".to_owned(), |price| price.0.to_string());
        finding(
            "a purchase costs what was held for it",
            id,
            format!("charged {}, held {held}", purchase.charged.0),
        )
    })
}

/// As the terms say that priced it.
fn follows_refund(redemption: &SettledRedemption) -> bool {
    redemption.status
        == if redemption.returns_use {
            RedemptionStatus::Returned
        } else {
            RedemptionStatus::Confirmed
        }
}

fn letter_follows(purchase: &SettledPurchase, letter: Option<LetterKind>) -> Option<Finding> {
    let expected = match purchase.state {
        PurchaseState::Pending => None,
        PurchaseState::Paid | PurchaseState::Refunded => Some(LetterKind::PurchasePaid),
        PurchaseState::Failed(_) => Some(LetterKind::PurchaseFailed),
    };
    (letter != expected).then(|| {
        let found = letter.map_or("none", LetterKind::as_str);
        let detail = format!("the purchase is {}, the letter {found}", purchase.state.as_str());
        finding(OUTCOME_HAS_LETTER, purchase.purchase_id, detail)
    })
}

/// A refund has a letter of its own, beside that of the payment before it.
fn refund_letter_follows(purchase: &SettledPurchase, has_letter: bool) -> Option<Finding> {
    let expected = purchase.state == PurchaseState::Refunded;
    (has_letter != expected).then(|| {
        let found = if has_letter { "a letter" } else { "no letter" };
        let detail = format!(
            "the purchase is {}, and there is {found} about a refund",
            purchase.state.as_str()
        );
        finding(REFUND_HAS_LETTER, purchase.purchase_id, detail)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use std::{path::Path, sync::Arc};

    use sea_orm::ConnectionTrait as _;
    use shared::{
        clock::{Clock as _, SystemClock},
        db::url_of_file,
    };

    use super::*;

    async fn database(folder: &Path, service: ServiceName) -> Db {
        let url = url_of_file(&folder.join(format!("{service}.db")));
        let (db, _) = Db::connect(service, &url, Arc::new(SystemClock)).await.unwrap();
        migration::up(service, db.writer()).await.unwrap();
        db
    }

    async fn books(folder: &Path) -> Books {
        Books {
            billing: database(folder, ServiceName::Billing).await,
            loyalty: database(folder, ServiceName::Loyalty).await,
            notifications: database(folder, ServiceName::Notifications).await,
            before: SystemClock.now(),
        }
    }

    /// A use that is taken and a letter, about a purchase that nobody made.
    async fn make_orphans(books: &Books, purchase: PurchaseId, created_at: Instant) {
        let (id, at) = (purchase.0.simple(), created_at.to_rfc3339());
        let use_taken = format!(
            "INSERT INTO redemptions (purchase_id, status, user_id, tariff_id, promocode_id, campaign_id, \
             campaign_version, list_price, discount, final_price, purchase_version, counted_campaign, \
             counted_promocode, counted_user, reports, created_at, updated_at) VALUES \
             (x'{id}', 'confirmed', x'{id}', x'{id}', x'{id}', x'{id}', 1, 1, 0, 1, 2, 0, 0, 0, 0, '{at}', '{at}')"
        );
        books
            .loyalty
            .writer()
            .execute_unprepared(&use_taken)
            .await
            .unwrap();
        let letter = format!(
            "INSERT INTO letters (id, user_id, kind, about, subject, body, data, occurred_at, created_at) \
             VALUES (x'{id}', x'{id}', 'purchase_failed', 'purchase_ended:{purchase}', 'S', 'B', '{{}}', \
             '{at}', '{at}')"
        );
        books
            .notifications
            .writer()
            .execute_unprepared(&letter)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn uses_and_letters_of_purchases_that_billing_does_not_have_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let books = books(folder.path()).await;
        let (before, second) = (books.before, chrono::Duration::seconds(1));
        let old = PurchaseId::new(before - second);
        make_orphans(&books, old, before - second).await;
        // May still be on its way.
        make_orphans(&books, PurchaseId::new(before + second), before + second).await;

        let mut findings = Vec::new();
        books.redemptions_without_purchase(&mut findings).await.unwrap();
        books.letters_without_purchase(&mut findings).await.unwrap();
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.rule, finding.id))
            .collect();
        assert_eq!(
            found,
            [
                ("a redemption has its purchase", old.0),
                ("a letter has its purchase", old.0)
            ]
        );
        assert_eq!(books.purchases(&mut findings).await.unwrap(), 0);
    }

    /// A purchase without a promocode, and without the letters that it should have.
    async fn make_purchase(books: &Books, id: PurchaseId, settled_at: Instant) {
        let (key, at) = (id.0.simple(), settled_at.to_rfc3339());
        let paid = format!(
            "INSERT INTO purchases (id, version, user_id, tariff_id, tariff_version, tariff_name, list_price, discount, \
             charged, period, state, requested_at, deadline, settled_at, balance_after) VALUES \
             (x'{key}', 2, x'{key}', x'{key}', 1, 'Basic', 1, 0, 1, 'P1M', 'paid', '{at}', '{at}', '{at}', 0)"
        );
        books.billing.writer().execute_unprepared(&paid).await.unwrap();
    }

    #[tokio::test]
    async fn a_purchase_that_changes_while_it_is_held_against_the_others_is_no_finding() {
        let folder = tempfile::tempdir().unwrap();
        let books = books(folder.path()).await;
        let old = books.before - chrono::Duration::hours(1);
        let (wrong, refunded) = (PurchaseId::new(old), PurchaseId::new(old));
        for id in [wrong, refunded] {
            make_purchase(&books, id, old).await;
        }
        let page = settled_page(books.billing.reader(), books.before, None, PAGE)
            .await
            .unwrap();
        let look_wrong = books.compare(&page).await.unwrap();
        assert_eq!(look_wrong.len(), 2);
        // Given back since that was read, a moment ago.
        let sql = format!(
            "UPDATE purchases SET version = 3, state = 'refunded', refunded_at = '{}', refund_reason = 'x', \
             refund_balance_after = 1 WHERE id = x'{}'",
            SystemClock.now().to_rfc3339(),
            refunded.0.simple()
        );
        books.billing.writer().execute_unprepared(&sql).await.unwrap();
        let stand = books.look_again(&look_wrong).await.unwrap();
        let found: Vec<_> = stand.iter().map(|finding| (finding.rule, finding.id)).collect();
        assert_eq!(found, [("every outcome has its letter", wrong.0)]);
    }

    #[test]
    fn a_refunded_purchase_has_its_use_returned_or_kept_as_its_terms_say() {
        for (status, returns_use, follows) in [
            (RedemptionStatus::Returned, true, true),
            (RedemptionStatus::Confirmed, false, true),
            (RedemptionStatus::Returned, false, false),
            (RedemptionStatus::Confirmed, true, false),
            (RedemptionStatus::Held, true, false),
        ] {
            let redemption = SettledRedemption {
                status,
                final_price: None,
                returns_use,
            };
            assert_eq!(follows_refund(&redemption), follows, "{status:?} {returns_use}");
        }
    }

    #[tokio::test]
    async fn reconciling_nothing_makes_no_databases() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            data: folder.path().join("data"),
            ..Config::default()
        };
        assert!(reconcile(&config, None, false).await.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
