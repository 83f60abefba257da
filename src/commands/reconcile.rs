//! `kopeck reconcile`: holds every service's tables against each other, and the services against
//! one another.

use std::process::ExitCode;

use billing::{
    app::{
        reconcile::reconcile as reconcile_billing,
        report_settled::{SettledPurchase, settled_purchases},
    },
    domain::purchase::PurchaseState,
};
use chrono::Duration;
use loyalty::{SettledRedemption, domain::redemption::RedemptionStatus};
use notifications::domain::letter::LetterKind;
use shared::{
    clock::{Clock as _, SystemClock},
    config::Config,
    contracts::ServiceName,
    ids::PurchaseId,
    reconcile::Finding,
};

use super::open_up_to_date;

/// For how long after its deadline a purchase may still be on its way through the services.
const MARGIN_SECONDS: u32 = 30;

pub(super) async fn reconcile(config: &Config, older_than: Option<u32>) -> anyhow::Result<ExitCode> {
    let older_than = older_than.unwrap_or(config.billing.purchase_deadline_seconds + MARGIN_SECONDS);
    let now = SystemClock.now();
    let before = now - Duration::seconds(i64::from(older_than));

    let billing = open_up_to_date(config, ServiceName::Billing).await?;
    let loyalty = open_up_to_date(config, ServiceName::Loyalty).await?;
    let notifications = open_up_to_date(config, ServiceName::Notifications).await?;

    let mut findings = reconcile_billing(billing.reader(), now).await?;
    findings.extend(loyalty::reconcile(loyalty.reader(), before).await?);
    // Purchases first: what the others know of them is at least as new.
    let purchases = settled_purchases(billing.reader(), before).await?;
    let redemptions = loyalty::redemptions_before(loyalty.reader(), now).await?;
    let letters = notifications::letters_of_purchases(notifications.reader()).await?;
    for purchase in &purchases {
        findings.extend(redemption_follows(
            purchase,
            redemptions.get(&purchase.purchase_id),
        ));
        findings.extend(letter_follows(
            purchase,
            letters.get(&purchase.purchase_id).copied(),
        ));
    }

    for finding in &findings {
        println!("{}: {} ({})", finding.rule, finding.detail, finding.id);
    }
    let older = if older_than == 0 {
        String::new()
    } else {
        format!(" older than {older_than} s")
    };
    println!(
        "{} purchases{older} reconciled, {} findings",
        purchases.len(),
        findings.len()
    );
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn finding(rule: &'static str, id: PurchaseId, detail: String) -> Finding {
    Finding {
        rule,
        id: id.0,
        detail,
    }
}

fn redemption_follows(purchase: &SettledPurchase, redemption: Option<&SettledRedemption>) -> Option<Finding> {
    const RULE: &str = "a redemption follows its purchase";
    let id = purchase.purchase_id;
    let Some(redemption) = redemption else {
        return purchase
            .with_promocode
            .then(|| finding(RULE, id, "there is no redemption".to_owned()));
    };
    if !purchase.with_promocode {
        return Some(finding(
            RULE,
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
        PurchaseState::Refunded => {
            matches!(
                redemption.status,
                RedemptionStatus::Confirmed | RedemptionStatus::Returned
            )
        }
    };
    if !follows {
        let detail = format!(
            "the purchase is {}, the redemption {}",
            purchase.state.as_str(),
            redemption.status.as_str()
        );
        return Some(finding(RULE, id, detail));
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

fn letter_follows(purchase: &SettledPurchase, letter: Option<LetterKind>) -> Option<Finding> {
    let expected = match purchase.state {
        PurchaseState::Pending => None,
        PurchaseState::Paid | PurchaseState::Refunded => Some(LetterKind::PurchasePaid),
        PurchaseState::Failed(_) => Some(LetterKind::PurchaseFailed),
    };
    (letter != expected).then(|| {
        let found = letter.map_or("none", LetterKind::as_str);
        let detail = format!("the purchase is {}, the letter {found}", purchase.state.as_str());
        finding("every outcome has its letter", purchase.purchase_id, detail)
    })
}
