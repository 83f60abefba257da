//! An evening at an online cinema.

use std::time::Duration;

use anyhow::Context as _;
use chrono::Duration as Days;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    money::Money,
};

use super::{ADMIN_EMAIL, ADMIN_PASSWORD, client::Client};

const PASSWORD: &str = "a long enough password";

pub(super) async fn tell(client: &Client) -> anyhow::Result<()> {
    let shop = open_the_cinema(client).await?;

    chapter("Anna signs up, tops up her wallet and buys with 15 % off");
    let anna = sign_up(client, "anna").await?;
    top_up(&anna, "Anna", 100_000).await?;
    withdraw(&anna, "Anna", 10_000).await?;
    buy(&anna, "Anna", &shop.month, Some("autumn15")).await?;

    chapter("Boris has too little money; his one-time promocode goes to Vera");
    let boris = sign_up(client, "boris").await?;
    top_up(&boris, "Boris", 5_000).await?;
    buy(&boris, "Boris", &shop.month, Some("PREMIERE-99")).await?;
    let vera = sign_up(client, "vera").await?;
    top_up(&vera, "Vera", 20_000).await?;
    buy(&vera, "Vera", &shop.month, Some("PREMIERE-99")).await?;

    chapter("Then Boris has the money, but the promocode is used; and another one is over");
    top_up(&boris, "Boris", 100_000).await?;
    buy(&boris, "Boris", &shop.month, Some("PREMIERE-99")).await?;
    buy(&boris, "Boris", &shop.month, Some("SUMMER")).await?;
    buy(&boris, "Boris", &shop.month, Some("NO-SUCH-CODE")).await?;

    chapter("Boris takes the free trial, once");
    buy(&boris, "Boris", &shop.month, Some("TRIAL")).await?;
    buy(&boris, "Boris", &shop.month, Some("TRIAL")).await?;

    chapter("What the administrator sees of the refusals: the conditions, expected and found");
    show_refusals(&shop.admin).await?;

    chapter("The letters");
    show_letters(&anna, "Anna", 4).await?;
    show_letters(&boris, "Boris", 9).await
}

struct Shop {
    admin: Client,
    month: Value,
}

async fn open_the_cinema(client: &Client) -> anyhow::Result<Shop> {
    chapter("The owner of an online cinema creates a tariff and four campaigns");
    let admin = client.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).await?;
    let tariff = json!({"name": "Cinema, one month", "price": rub(89_000), "period": "P1M"});
    let month = admin.post("/billing/v1/tariffs", &tariff).await?.expect(201)?;
    say(&format!(
        "tariff: {}, {} for {}",
        text(&month["name"]),
        money(&month["price"]),
        text(&month["period"])
    ));
    let now = SystemClock.now();
    for (what, campaign) in [
        (
            "15 % off, three uses",
            json!({"name": "Autumn", "discount": {"type": "percent", "percent": "15"},
                   "promocode": {"code": "AUTUMN15", "max_uses": 3}}),
        ),
        (
            "buy for 99.00, one-time",
            json!({"name": "Premiere", "discount": {"type": "fixed_price", "price": rub(9_900)},
                   "promocode": {"code": "PREMIERE-99", "max_uses": 1}}),
        ),
        (
            "free trial, once a user",
            json!({"name": "Trial", "discount": {"type": "free"}, "max_per_user": 1,
                   "promocode": {"code": "TRIAL"}}),
        ),
        (
            "300.00 off, until yesterday",
            json!({"name": "Summer", "discount": {"type": "amount_off", "amount": rub(30_000)},
                   "starts_at": now - Days::days(90), "ends_at": now - Days::days(1),
                   "promocode": {"code": "SUMMER"}}),
        ),
    ] {
        let created = admin
            .post("/loyalty/v1/campaigns", &campaign)
            .await?
            .expect(201)?;
        say(&format!(
            "campaign {}: {} ({what})",
            text(&created["name"]),
            text(&campaign["promocode"]["code"])
        ));
    }
    wait_until_known(&admin, &month).await?;
    Ok(Shop { admin, month })
}

/// Loyalty hears of a new tariff by a message; a validation asked for sooner finds none.
async fn wait_until_known(admin: &Client, tariff: &Value) -> anyhow::Result<()> {
    let body = json!({"promocode": "AUTUMN15", "tariff_id": tariff["id"]});
    for _ in 0..200 {
        let answer = admin.post("/loyalty/v1/promocodes/validate", &body).await?;
        if answer.status == 200 {
            let price = money(&answer.body["final_price"]);
            say(&format!(
                "validated without using it: AUTUMN15 makes the month {price}"
            ));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    anyhow::bail!("loyalty does not hear of the tariff")
}

async fn sign_up(client: &Client, name: &str) -> anyhow::Result<Client> {
    let email = format!("{name}@mail.example");
    let body = json!({"email": email, "password": PASSWORD});
    client.post("/auth/v1/register", &body).await?.expect(201)?;
    say(&format!("{email} registers and logs in"));
    client.log_in(&email, PASSWORD).await
}

async fn top_up(client: &Client, name: &str, amount: i64) -> anyhow::Result<()> {
    let answer = client
        .post("/billing/v1/balance/top-up", &rub(amount))
        .await?
        .expect(200)?;
    say(&format!(
        "{name} tops up {}; the balance is {}",
        money(&rub(amount)),
        money(&answer["balance"])
    ));
    Ok(())
}

async fn withdraw(client: &Client, name: &str, amount: i64) -> anyhow::Result<()> {
    let answer = client
        .post("/billing/v1/balance/withdraw", &rub(amount))
        .await?
        .expect(200)?;
    say(&format!(
        "{name} withdraws {}; the balance is {}",
        money(&rub(amount)),
        money(&answer["balance"])
    ));
    Ok(())
}

async fn buy(client: &Client, name: &str, tariff: &Value, promocode: Option<&str>) -> anyhow::Result<()> {
    let mut body = json!({"tariff_id": tariff["id"]});
    if let Some(promocode) = promocode {
        body["promocode"] = json!(promocode);
    }
    let answer = client.post("/billing/v1/purchases", &body).await?;
    let with = promocode.map_or_else(String::new, |code| format!(" with {code}"));
    match answer.status {
        201 => {
            let balance = client.get("/billing/v1/balance").await?;
            say(&format!(
                "{name} buys{with}: {} - {} = {}; the balance is {}",
                money(&answer.body["list_price"]),
                money(&answer.body["discount"]),
                money(&answer.body["charged"]),
                money(&balance["balance"]),
            ));
        }
        402 | 422 => {
            say(&format!(
                "{name} buys{with}: {} {}, {}",
                answer.status,
                text(&answer.body["code"]),
                text(&answer.body["title"])
            ));
            for reason in answer.body["reasons"].as_array().into_iter().flatten() {
                say(&format!(
                    "    {}: {}",
                    text(&reason["code"]),
                    text(&reason["detail"])
                ));
            }
        }
        status => anyhow::bail!("an answer nobody expected: {status} {:#}", answer.body),
    }
    Ok(())
}

async fn show_refusals(admin: &Client) -> anyhow::Result<()> {
    let page = admin.get("/loyalty/v1/refusals").await?;
    for refusal in page["items"].as_array().context("no list came")? {
        for reason in refusal["reasons"].as_array().into_iter().flatten() {
            say(&format!(
                "{}: {}, expected {}, found {}",
                text(&refusal["promocode"]),
                text(&reason["code"]),
                reason["expected"],
                reason["found"]
            ));
        }
    }
    Ok(())
}

async fn show_letters(client: &Client, name: &str, expected: usize) -> anyhow::Result<()> {
    for _ in 0..200 {
        let page = client.get("/notifications/v1/letters").await?;
        let letters = page["items"].as_array().context("no list came")?;
        if letters.len() < expected {
            tokio::time::sleep(Duration::from_millis(25)).await;
            continue;
        }
        say(&format!("to {name}:"));
        for letter in letters.iter().rev() {
            let body = text(&letter["body"]).replace('\n', "\n        ");
            say(&format!("  * {}\n        {body}", text(&letter["subject"])));
        }
        return Ok(());
    }
    anyhow::bail!("{name} has not got {expected} letters")
}

fn chapter(title: &str) {
    println!("\n{title}");
}

fn say(line: &str) {
    println!("  {line}");
}

fn rub(amount: i64) -> Value {
    json!({"amount": amount, "currency": "RUB"})
}

fn money(value: &Value) -> String {
    serde_json::from_value::<Money>(value.clone())
        .map_or_else(|_| value.to_string(), |money| money.to_string())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
