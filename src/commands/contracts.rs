//! `kopeck contracts FOLDER`: the machine-readable contracts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use serde_json::Value;
use shared::{
    clock::SystemClock,
    config::Config,
    contracts::{ServiceName, asyncapi, message_schemas},
    host,
};

use crate::definitions;

/// Where the JSON Schemas are, one file a message.
const MESSAGES: &str = "messages";

pub(super) async fn contracts(folder: &Path) -> anyhow::Result<ExitCode> {
    let documents = generate().await?;
    let messages = folder.join(MESSAGES);
    fs::create_dir_all(&messages).with_context(|| format!("{} can't be made", messages.display()))?;
    forget_others(&messages, &documents)?;
    for (name, document) in &documents {
        let path = folder.join(name);
        let text = serde_json::to_string_pretty(document)? + "\n";
        fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    println!("{} documents in {}", documents.len(), folder.display());
    Ok(ExitCode::SUCCESS)
}

/// Every document with its name.
async fn generate() -> anyhow::Result<BTreeMap<PathBuf, Value>> {
    let mut documents = BTreeMap::new();
    for schema in message_schemas() {
        let name = format!("{}.json", schema.message_type);
        documents.insert(Path::new(MESSAGES).join(name), schema.document());
    }
    documents.insert(PathBuf::from("asyncapi.json"), asyncapi::document());

    // The services themselves tell what they serve, on a throw-away platform.
    let folder = tempfile::tempdir().context("a temporary folder can't be made")?;
    let mut config = Config {
        data: folder.path().to_path_buf(),
        ..Config::default()
    };
    config.listen = ([127, 0, 0, 1], 0).into();
    let running = host::start(config, &definitions(), Arc::new(SystemClock)).await?;
    let described = describe(&format!("http://{}", running.address())).await;
    running.stop().await;
    documents.extend(described?);
    Ok(documents)
}

async fn describe(base: &str) -> anyhow::Result<Vec<(PathBuf, Value)>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut described = Vec::new();
    let services = ServiceName::ALL.map(|service| {
        (
            format!("openapi-{service}.json"),
            format!("{base}/{service}/openapi.json"),
        )
    });
    let all = ("openapi.json".to_owned(), format!("{base}/openapi.json"));
    for (name, url) in services.into_iter().chain([all]) {
        let answer = http.get(url).send().await?.error_for_status()?;
        described.push((PathBuf::from(name), answer.json().await?));
    }
    Ok(described)
}

/// Removes what describes a message that is no more.
fn forget_others(messages: &Path, documents: &BTreeMap<PathBuf, Value>) -> anyhow::Result<()> {
    for entry in fs::read_dir(messages)? {
        let entry = entry?;
        let is_schema = entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "json");
        if is_schema && !documents.contains_key(&Path::new(MESSAGES).join(entry.file_name())) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
