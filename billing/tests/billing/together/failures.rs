//! A batch whose transaction fails.

use billing::{app::buy_tariff::BuyTariffError, domain::purchase::PurchaseState};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use shared::{ids::TariffId, testing::TestDatabase};

use super::{Counter, Outcome, asks, once, outcome, view, with_promocode, words};
use crate::DATABASES;

impl Counter {
    /// A new tariff that can't be written as bought: then the transaction fails, with `sqlstate` on
    /// PostgreSQL. What is tried is counted there too.
    async fn poisoned(&self, sqlstate: &str) -> TariffId {
        let conn = self.billing.service.db.writer();
        let sql = match conn.get_database_backend() {
            DbBackend::Sqlite => {
                "CREATE TRIGGER poison BEFORE INSERT ON purchases WHEN NEW.list_price = 666 \
                                  BEGIN SELECT RAISE(ABORT, 'poison'); END"
                    .to_owned()
            }
            _ => format!(
                "CREATE SEQUENCE tries; \
                 CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.list_price = 666 THEN PERFORM nextval('tries'); \
                 RAISE EXCEPTION 'poison' USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER poison BEFORE INSERT ON purchases FOR EACH ROW EXECUTE FUNCTION poison()"
            ),
        };
        conn.execute_unprepared(&sql).await.unwrap();
        self.billing.tariff(666).await
    }

    async fn heal(&self) {
        let conn = self.billing.service.db.writer();
        let sql = match conn.get_database_backend() {
            DbBackend::Sqlite => "DROP TRIGGER poison",
            _ => "DROP TRIGGER poison ON purchases",
        };
        conn.execute_unprepared(sql).await.unwrap();
    }

    /// How often the poison was tasted; on PostgreSQL, where that outlives a rollback.
    async fn tries(&self) -> i64 {
        let conn = self.billing.service.db.reader();
        let tries = Statement::from_string(conn.get_database_backend(), "SELECT last_value FROM tries");
        let row = conn.query_one_raw(tries).await.unwrap().unwrap();
        row.try_get("", "last_value").unwrap()
    }
}

#[tokio::test]
async fn a_purchase_over_which_the_transaction_fails_does_not_take_the_others_with_it() {
    for database in DATABASES {
        let mut counter = Counter::open(database).await;
        let tariff = counter.billing.tariff(1_000).await;
        let poisoned = counter.poisoned("23514").await;
        let (unlucky, other) = (
            counter.billing.customer_with(10_000).await,
            counter.billing.customer_with(10_000).await,
        );
        let asked = [
            once(asks(&other, tariff), "key", "this"),
            once(asks(&unlucky, poisoned), "key", "this"),
            with_promocode(asks(&other, tariff)),
            asks(&other, TariffId::new(counter.billing.service.peers.now())),
            asks(&unlucky, tariff),
        ];
        let bought = counter.buy(&asked).await;
        assert!(
            matches!(
                bought[1],
                Err(BuyTariffError::Together(_) | BuyTariffError::Store(_))
            ),
            "{bought:?}"
        );
        let others: Vec<_> = [0, 2, 3, 4].map(|number: usize| outcome(&bought[number])).into();
        let paid = Outcome::Is(PurchaseState::Paid, Some(9_000));
        let expected = [
            Outcome::Is(PurchaseState::Paid, Some(9_000)),
            Outcome::Is(PurchaseState::Pending, None),
            Outcome::NoSuchTariff,
            paid,
        ];
        assert_eq!(others, expected);
        let mut about: Vec<_> = counter.said().into_iter().map(|(_, about)| about).collect();
        about.sort_unstable();
        let mut begun: Vec<_> = bought.iter().flatten().map(|view| view.purchase.id.0).collect();
        begun.sort_unstable();
        assert_eq!(about, begun, "each said one thing, the first try nothing");
        for (customer, purchases) in [(&other, 2), (&unlucky, 1)] {
            assert_eq!(customer.balance().await, 9_000);
            assert_eq!(customer.items("purchases").await.len(), purchases);
        }

        // The key of what failed was not used up; the other was.
        counter.heal().await;
        let bought = counter.buy(&asked[..2]).await;
        assert_eq!(
            view(&bought[0]).purchase.balance_after.map(|left| left.0),
            Some(9_000)
        );
        assert_eq!((other.balance().await, unlucky.balance().await), (9_000, 8_334));
        counter.billing.finish().await;
    }
}

/// Nobody knows whether the first try has committed; without keys a second might charge twice.
#[tokio::test]
async fn a_batch_over_which_the_database_goes_away_is_not_tried_again() {
    let mut counter = Counter::open(TestDatabase::Postgres).await;
    let tariff = counter.billing.tariff(1_000).await;
    let poisoned = counter.poisoned("57P01").await;
    let (unlucky, other) = (
        counter.billing.customer_with(10_000).await,
        counter.billing.customer_with(10_000).await,
    );
    let bought = counter
        .buy(&[
            asks(&other, tariff),
            asks(&unlucky, poisoned),
            asks(&other, tariff),
        ])
        .await;
    assert!(
        bought
            .iter()
            .all(|bought| matches!(bought, Err(BuyTariffError::Together(_)))),
        "{bought:?}"
    );
    assert_eq!(counter.tries().await, 1);
    assert_eq!(words(&counter.said()), [""; 0]);
    for customer in [&other, &unlucky] {
        assert_eq!(customer.balance().await, 10_000);
        assert!(customer.items("purchases").await.is_empty());
    }
    counter.billing.finish().await;
}
