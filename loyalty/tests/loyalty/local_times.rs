//! Start and end, as administrators write them, over HTTP: whatever is said of it, a promocode is
//! judged by that.

use serde_json::json;
use shared::testing::TestDatabase;

use crate::{Loyalty, ten_percent_off, with};

#[tokio::test]
async fn a_promocode_is_taken_from_the_first_to_the_last_microsecond_of_its_days() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let loyalty = Loyalty::start(database).await;
        for (number, (zone, from, to, first, behind)) in [
            (
                "Europe/Berlin",
                "2026-12-31",
                "2026-12-31",
                "2026-12-30T23:00:00Z",
                "2026-12-31T23:00:00Z",
            ),
            (
                "America/New_York",
                "2026-12-31",
                "2027-01-01",
                "2026-12-31T05:00:00Z",
                "2027-01-02T05:00:00Z",
            ),
            (
                "Asia/Kolkata",
                "2028-02-29",
                "2028-02-29",
                "2028-02-28T18:30:00Z",
                "2028-02-29T18:30:00Z",
            ),
            (
                "Pacific/Kiritimati",
                "2027-01-01",
                "2027-01-01",
                "2026-12-31T10:00:00Z",
                "2027-01-01T10:00:00Z",
            ),
            (
                "Pacific/Niue",
                "2026-12-31",
                "2026-12-31",
                "2026-12-31T11:00:00Z",
                "2027-01-01T11:00:00Z",
            ),
            // Jumps: left out, and twice.
            (
                "Europe/Berlin",
                "2026-03-29T02:30",
                "2026-03-29T03:30",
                "2026-03-29T01:00:00Z",
                "2026-03-29T01:30:00Z",
            ),
            (
                "Europe/Berlin",
                "2026-10-25T02:30",
                "2026-10-25T02:30:00",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
            ),
            (
                "America/New_York",
                "2026-11-01",
                "2026-11-01",
                "2026-11-01T04:00:00Z",
                "2026-11-02T05:00:00Z",
            ),
            (
                "Asia/Tehran",
                "2022-03-22",
                "2022-03-22",
                "2022-03-21T20:30:00Z",
                "2022-03-22T19:30:00Z",
            ),
            (
                "Africa/Casablanca",
                "2026-02-15",
                "2026-03-22",
                "2026-02-14T23:00:00Z",
                "2026-03-22T23:00:00Z",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let code = format!("DAYS-{number}");
            let terms = json!({"timezone": zone, "starts_at": from, "ends_at": to});
            let made = loyalty
                .campaign(&with(ten_percent_off(), &terms), &code, None)
                .await;
            assert_eq!(
                (&made["starts_at"], &made["ends_at"]),
                (&json!(first), &json!(behind)),
                "{zone} {from}"
            );
            let tick = chrono::Duration::microseconds(1);
            let first: shared::clock::Instant = first.parse().unwrap();
            let behind: shared::clock::Instant = behind.parse().unwrap();
            for (at, is_taken) in [
                (first - tick, false),
                (first, true),
                (behind - tick, true),
                (behind, false),
            ] {
                let mut hold = loyalty.hold_of_anybody(&code);
                hold.requested_at = at;
                let answer = loyalty.ask(&hold).await;
                assert_eq!(matches!(answer, crate::Heard::Held(_)), is_taken, "{zone} {at}");
            }
        }
        // Without a zone it is UTC; and a zone that is changed alone moves nothing.
        let terms = json!({"starts_at": "2026-01-01", "ends_at": "2026-01-31T18:00"});
        let made = loyalty
            .campaign(&with(ten_percent_off(), &terms), "UTC", None)
            .await;
        assert_eq!(made["starts_at"], "2026-01-01T00:00:00Z");
        assert_eq!(made["ends_at"], "2026-01-31T18:00:00Z");
        let path = format!("/loyalty/v1/campaigns/{}", made["id"].as_str().unwrap());
        let zone = json!({"timezone": "Asia/Kolkata"});
        let moved = loyalty.admin.patch(&path, &zone).await.expect(200);
        assert_eq!(moved["starts_at"], made["starts_at"]);
        let day = json!({"starts_at": "2026-01-01"});
        let moved = loyalty.admin.patch(&path, &day).await.expect(200);
        assert_eq!(
            moved["starts_at"], "2025-12-31T18:30:00Z",
            "in the zone that it has by now"
        );
    }
}
