//! What a platform still knows: all of its databases, their files, the cache, the broker, logs and
//! metrics, searched for given texts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Statement};
use shared::{contracts::ServiceName, db::Db, testing::server_variable};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::{broker::Broker, platform::Platform};

/// Places, each with what is there.
pub type Found = BTreeMap<String, BTreeSet<&'static str>>;

/// What is searched for.
#[derive(Default)]
pub struct Traces {
    /// What it is, and how it may be spelt, in lower case.
    sought: Vec<(&'static str, Vec<String>)>,
    /// What messages carry, so that whoever keeps all of them has it.
    said: BTreeSet<&'static str>,
}

impl Traces {
    pub fn add(&mut self, what: &'static str, text: &str) {
        assert!(text.len() >= 8, "{what} is found by chance: {text:?}");
        self.sought.push((what, spellings(text)));
    }

    /// The same of what messages carry.
    pub fn add_said(&mut self, what: &'static str, text: &str) {
        self.add(what, text);
        self.said.insert(what);
    }

    fn within(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let is_there = |spellings: &[String]| spellings.iter().any(|spelling| text.contains(spelling));
        let found = self.sought.iter().filter(|(_, spellings)| is_there(spellings));
        found.map(|(what, _)| *what).collect()
    }

    /// Everywhere.
    pub async fn find(&self, platform: &Platform) -> Found {
        let mut places = Vec::new();
        for service in ServiceName::ALL {
            let db = platform.database(service).await;
            places.extend(cells(&db).await);
            db.close().await;
        }
        for file in platform.logs().into_iter().chain(platform.database_files()) {
            let name = file.file_name().unwrap().display().to_string();
            places.push((name, std::fs::read(&file).unwrap_or_default()));
        }
        for process in platform.processes() {
            let metrics = process.request(reqwest::Method::GET, "/metrics").send().await;
            let text = metrics.unwrap().text().await.unwrap();
            assert!(text.contains("kopeck_http_requests_total"), "{text}");
            places.push(("metrics".to_owned(), text.into_bytes()));
        }
        if platform.virtual_host().is_some() {
            let broker = Broker::of(platform);
            for queue in broker.queues().await {
                let messages = broker.messages_in(&queue).await;
                places.push((format!("queue {queue}"), format!("{messages:?}").into_bytes()));
            }
            places.push(("redis".to_owned(), cached(platform).await));
        }
        let mut found = Found::new();
        for (place, bytes) in places {
            let mut here = self.within(&bytes);
            if place == "queue spy" {
                here.retain(|what| !self.said.contains(what));
            }
            if !here.is_empty() {
                found.entry(place).or_default().extend(here);
            }
        }
        found
    }

    /// Waits until nothing of it is to be found.
    pub async fn are_gone(&self, platform: &Platform) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.find(platform).await;
            if found.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "still there: {found:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Files are tidied up every ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// As it is, as in a URL, and as within something in base64, wherever that begins.
fn spellings(text: &str) -> Vec<String> {
    let plain = text.to_ascii_lowercase();
    let mut in_url = String::new();
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            in_url.push(char::from(byte));
        } else {
            in_url.push_str(&format!("%{byte:02x}"));
        }
    }
    let mut all = vec![in_url];
    for (before, text) in (0..3).flat_map(|before| [(before, text), (before, plain.as_str())]) {
        let encoded = BASE64_STANDARD_NO_PAD.encode([&vec![b' '; before], text.as_bytes()].concat());
        // Characters that also have bits of what stands before and behind it.
        let within = &encoded[[0, 2, 3][before]..encoded.len() - 1];
        all.push(within.to_ascii_lowercase());
        all.push(within.replace('+', "-").replace('/', "_").to_ascii_lowercase());
    }
    all.push(plain);
    all
}

/// Every value of every table, as bytes.
async fn cells(db: &Db) -> Vec<(String, Vec<u8>)> {
    let (conn, service) = (db.reader(), db.service());
    let backend = conn.get_database_backend();
    let columns = match backend {
        DbBackend::Postgres => {
            "SELECT table_name AS t, column_name AS c, data_type AS d FROM information_schema.columns \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        }
        _ => {
            "SELECT m.name AS t, c.name AS c, c.type AS d FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table'"
        }
    };
    let query = |sql: String| async move {
        conn.query_all_raw(Statement::from_string(backend, sql))
            .await
            .unwrap()
    };
    let text = |row: &QueryResult, name: &str| row.try_get::<String>("", name).unwrap();
    let mut found = Vec::new();
    for column in query(columns.to_owned()).await {
        let (table, name) = (text(&column, "t"), text(&column, "c"));
        let hex = match backend {
            DbBackend::Postgres if text(&column, "d") == "bytea" => format!("encode(\"{name}\", 'hex')"),
            DbBackend::Postgres => format!("encode(convert_to(\"{name}\"::text, 'UTF8'), 'hex')"),
            _ => format!("hex(CAST(\"{name}\" AS BLOB))"),
        };
        let mut bytes = Vec::new();
        for row in query(format!("SELECT {hex} AS cell FROM \"{table}\"")).await {
            if let Some(cell) = row.try_get::<Option<String>>("", "cell").unwrap() {
                bytes.extend(unhex(&cell));
                bytes.push(b'\n');
            }
        }
        found.push((format!("{service}.{table}.{name}"), bytes));
    }
    assert!(found.len() > 20, "{service} has tables: {}", found.len());
    found
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Every key of the platform in Redis, with its value.
async fn cached(platform: &Platform) -> Vec<u8> {
    let namespace = platform.value_of("KOPECK_CACHE__NAMESPACE").unwrap();
    let all = format!(
        "local all = {{}} for _, key in ipairs(redis.call('KEYS', '{namespace}*')) do \
         all[#all + 1] = key .. ' ' .. (redis.call('GET', key) or '') end return table.concat(all, ' ')"
    );
    let url = server_variable("TEST_REDIS_URL");
    let address = url.trim_start_matches("redis://").trim_end_matches("/0");
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let command = format!("*3\r\n$4\r\nEVAL\r\n${}\r\n{all}\r\n$1\r\n0\r\n", all.len());
    stream.write_all(command.as_bytes()).await.unwrap();
    let mut length = String::new();
    stream.read_line(&mut length).await.unwrap();
    let length = length.trim().strip_prefix('$').expect("a text").parse().unwrap();
    let mut value = vec![0; length];
    stream.read_exact(&mut value).await.unwrap();
    value
}

#[test]
fn whatever_its_spelling_it_is_found() {
    let mut traces = Traces::default();
    traces.add("address", "Zebedee.Q@vorpal.example");
    for text in [
        "to zebedee.q@VORPAL.example.",
        "?email=Zebedee.Q%40vorpal.example&x",
        &BASE64_STANDARD_NO_PAD.encode("{\"e\":\"Zebedee.Q@vorpal.example\"}"),
        &BASE64_STANDARD_NO_PAD.encode("12Zebedee.Q@vorpal.example34"),
        &BASE64_STANDARD_NO_PAD.encode("1Zebedee.Q@vorpal.example"),
    ] {
        assert_eq!(
            traces.within(text.as_bytes()),
            BTreeSet::from(["address"]),
            "{text}"
        );
    }
    assert!(traces.within(b"zebedee at vorpal.example").is_empty());
}
