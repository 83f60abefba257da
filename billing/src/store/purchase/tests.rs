use std::sync::Arc;

use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{FailureReason, ServiceName},
    db::{Db, url_of_file},
    ids::TariffId,
};

use super::*;

fn pending() -> Purchase {
    let now = SystemClock.now();
    Purchase {
        id: PurchaseId::new(now),
        version: 1,
        user_id: UserId::new(now),
        tariff_id: TariffId::new(now),
        tariff_version: 1,
        tariff_name: "Month".to_owned(),
        list_price: Amount(100),
        discount: Amount::ZERO,
        period: "P1M".parse().unwrap(),
        promocode: Some("TEN".to_owned()),
        expected_price: None,
        state: PurchaseState::Pending,
        refusal_reasons: Vec::new(),
        requested_at: now,
        deadline: now,
        settled_at: None,
        balance_after: None,
        refund: None,
    }
}

fn ended(pending: &Purchase, state: PurchaseState) -> Settled {
    Settled {
        read_version: pending.version,
        purchase: Purchase {
            version: pending.version + 1,
            state,
            settled_at: Some(pending.requested_at),
            balance_after: Some(Amount::ZERO),
            ..pending.clone()
        },
    }
}

/// Two decided from the same version, as nobody does who locks first: the second must not win.
#[tokio::test]
async fn what_was_decided_on_an_older_version_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_of_file(&folder.path().join("billing.db"));
    let (db, _) = Db::connect(ServiceName::Billing, &url, Arc::new(SystemClock))
        .await
        .unwrap();
    migration::up(ServiceName::Billing, db.writer()).await.unwrap();
    let begun = pending();
    insert(db.writer(), std::slice::from_ref(&begun)).await.unwrap();
    let paid = ended(&begun, PurchaseState::Paid);
    settle(db.writer(), std::slice::from_ref(&paid)).await.unwrap();

    let failed = ended(&begun, PurchaseState::Failed(FailureReason::TimedOut));
    let late = settle(db.writer(), &[failed]).await;

    assert_eq!(late, Err(DbErr::RecordNotUpdated));
    let kept = find(db.reader(), begun.id).await.unwrap().unwrap();
    assert_eq!(kept.state, PurchaseState::Paid);
    assert_eq!(kept.version, paid.purchase.version);
}
