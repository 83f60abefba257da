//! What a database records of itself, so that no program takes it for another one.

use sea_orm_migration::{prelude::*, schema, sea_orm::Statement};
use serde_json::Value;
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::ServiceName,
    ids::new_uuid,
};

/// The table of facts, with those that are true of a database from the beginning: whose it is and
/// which one it is. A filled one also records the currency that its rows show.
pub(crate) struct PlatformFacts(pub(crate) ServiceName);

impl MigrationName for PlatformFacts {
    fn name(&self) -> &'static str {
        "m20261201_000080_platform_facts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for PlatformFacts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("platform_facts")
            .col(schema::text("name").primary_key())
            .col(schema::text("value"))
            .col(schema::timestamp_with_time_zone("recorded_at"))
            .to_owned();
        manager.create_table(table).await?;
        let now = SystemClock.now();
        let new_id = || new_uuid(now).to_string();
        let mut facts = vec![("service", self.0.to_string()), ("database", new_id())];
        // Users and their tokens come from auth: it names the platform.
        if self.0 == ServiceName::Auth {
            facts.push(("platform", new_id()));
        }
        let conn = manager.get_connection();
        if let Some(currency) = shown_currency(conn, self.0).await? {
            facts.push(("currency", currency));
        }
        for (name, value) in facts {
            let insert = Query::insert()
                .into_table("platform_facts")
                .columns(["name", "value", "recorded_at"])
                .values_panic([name.into(), value.into(), now.into()])
                .to_owned();
            conn.execute(&insert).await?;
        }
        Ok(())
    }
}

/// Where rows of a service show amounts with their currency, as JSON.
const fn shows_money(service: ServiceName) -> &'static [(&'static str, &'static str)] {
    match service {
        ServiceName::Auth => &[],
        ServiceName::Loyalty => &[
            ("campaign_versions", "terms"),
            ("refusals", "reasons"),
            ("outbox", "body"),
        ],
        ServiceName::Billing => &[
            ("outbox", "body"),
            ("audit", "details"),
            ("purchases", "refusal_reasons"),
        ],
        ServiceName::Notifications => &[("letters", "data")],
    }
}

/// The currency of the first amount that is found.
async fn shown_currency(conn: &impl ConnectionTrait, service: ServiceName) -> Result<Option<String>, DbErr> {
    for (table, column) in shows_money(service) {
        let select =
            format!("SELECT {column} AS shown FROM {table} WHERE {column} LIKE '%\"currency\":%' LIMIT 1");
        let statement = Statement::from_string(conn.get_database_backend(), select);
        let row = conn.query_one_raw(statement).await?;
        let shown = row.map(|row| row.try_get::<String>("", "shown")).transpose()?;
        let currency = shown.and_then(|json| currency_in(&serde_json::from_str(&json).ok()?));
        if currency.is_some() {
            return Ok(currency);
        }
    }
    Ok(None)
}

/// The currency of the first amount in `value`.
fn currency_in(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => items.iter().find_map(currency_in),
        Value::Object(fields) => match (fields.get("amount"), fields.get("currency")) {
            (Some(Value::Number(_)), Some(Value::String(currency))) => Some(currency.clone()),
            _ => fields.values().find_map(currency_in),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_currency_of_an_amount_is_found_wherever_it_is() {
        let money = json!({"amount": 5, "currency": "EUR"});
        for value in [
            money.clone(),
            json!({"data": {"price": money}}),
            json!([{"code": "x", "found": money}]),
        ] {
            assert_eq!(currency_in(&value).as_deref(), Some("EUR"), "{value}");
        }
        for value in [
            json!({"reason": "{\"currency\":\"EUR\"}"}),
            json!({"currency": "EUR"}),
            json!(null),
        ] {
            assert_eq!(currency_in(&value), None, "{value}");
        }
    }
}
