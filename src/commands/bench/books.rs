//! Whether the books are right after all that.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Serialize;

use super::{say, throwaway::ThrowAway};

/// For how long what was begun may be on its way: longer than a purchase's deadline.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
/// Findings that are shown when they do not go away.
const SHOWN: usize = 10;

/// What reconciliation says.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Books {
    /// Whether nothing was found.
    pub(super) clean: bool,
    /// In its own words; some findings, and how many there are.
    pub(super) said: Vec<String>,
}

impl Books {
    /// Runs `kopeck reconcile` until it finds nothing, or what it finds has had time enough to go.
    ///
    /// # Errors
    /// When it can't be run.
    pub(super) async fn of(platform: &ThrowAway) -> anyhow::Result<Self> {
        say("Reconciling the books.");
        let start = Instant::now();
        loop {
            let output = platform
                .command()
                .args(["reconcile", "--older-than", "0"])
                .stdin(Stdio::null())
                .output()
                .await
                .context("the books can't be reconciled")?;
            let clean = output.status.success();
            if !clean && start.elapsed() < PATIENCE {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            let said = lines[lines.len().saturating_sub(SHOWN)..].to_vec();
            return Ok(Self { clean, said });
        }
    }
}
