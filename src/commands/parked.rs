//! `kopeck parked`: messages that could not be applied and wait for somebody to decide.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use shared::{
    clock::Instant,
    config::Config,
    contracts::ServiceName,
    db::Db,
    ids::MessageId,
    inbox::{self, Decision, Failed, Status, Which},
};

use super::{Only, open_existing, services};

/// Characters of an error that a list shows.
const LONGEST_ERROR: usize = 300;

#[derive(Debug, Subcommand)]
pub(super) enum Parked {
    /// Show what is parked, oldest first
    List {
        /// Only this service's; may be repeated
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Only>,
        /// Also show what is still tried again by itself
        #[arg(long)]
        retrying: bool,
        /// Show at most this many
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
    /// Show a message with everything that came
    Show {
        /// The message, as `kopeck parked list` names it
        #[arg(value_parser = message_id)]
        id: MessageId,
        /// Only this service's; may be repeated
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Only>,
    },
    /// Have messages tried again at once, as if they had never failed
    Replay(Messages),
    /// Give messages up: their content is erased, and a repeat of them is not applied either
    Drop(Messages),
}

/// Which messages something is done with.
#[derive(Debug, Args)]
pub(super) struct Messages {
    /// The messages, as `kopeck parked list` names them
    #[arg(value_name = "ID", value_parser = message_id, required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<MessageId>,
    /// Everything that is parked
    #[arg(long)]
    all: bool,
    /// Only this service's; may be repeated
    #[arg(long, value_name = "SERVICE")]
    only: Vec<Only>,
}

fn message_id(text: &str) -> Result<MessageId, String> {
    text.parse()
        .map_err(|_| "a message's id is a UUID, as `kopeck parked list` shows it".to_owned())
}

pub(super) async fn parked(config: &Config, action: &Parked) -> anyhow::Result<ExitCode> {
    match action {
        Parked::List {
            only,
            retrying,
            limit,
        } => list(&open(config, only).await?, *retrying, *limit).await,
        Parked::Show { id, only } => show(&open(config, only).await?, *id).await,
        Parked::Replay(messages) => decide(config, messages, Verdict::Replay).await,
        Parked::Drop(messages) => decide(config, messages, Verdict::Drop).await,
    }
}

async fn open(config: &Config, only: &[Only]) -> anyhow::Result<Vec<Db>> {
    let mut databases = Vec::new();
    for service in services(only) {
        databases.push(open_existing(config, service).await?);
    }
    Ok(databases)
}

async fn list(databases: &[Db], retrying: bool, limit: u64) -> anyhow::Result<ExitCode> {
    let which = if retrying {
        Which::ParkedAndRetried
    } else {
        Which::Parked
    };
    let (mut messages, mut all) = (Vec::new(), 0);
    for db in databases {
        all += inbox::count_failed(db.reader(), which).await?;
        let page = inbox::failed(db.reader(), which, None, limit).await?;
        messages.extend(page.into_iter().map(|message| (db.service(), message)));
    }
    messages.sort_by_key(|(_, message)| (message.received_at, message.id));
    messages.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    for (service, message) in &messages {
        print!("{}", in_short(*service, message));
    }
    let shown = messages.len() as u64;
    let what = if retrying {
        "parked or tried again"
    } else {
        "parked"
    };
    match all.max(shown) {
        0 => println!("nothing is {what}"),
        all if all > shown => println!(
            "{all} messages are {what}; these are the oldest {shown}, `--limit {}` shows more",
            all.min(10_000)
        ),
        1 => println!("1 message is {what}"),
        all => println!("{all} messages are {what}"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(databases: &[Db], id: MessageId) -> anyhow::Result<ExitCode> {
    let mut found = false;
    for db in databases {
        let Some(message) = inbox::find_failed(db.reader(), id).await? else {
            continue;
        };
        found = true;
        print!("{}", in_short(db.service(), &message));
        match &message.body {
            Some(body) => println!("{}", readable(&pretty(body))),
            None => println!("    what came is erased"),
        }
    }
    anyhow::ensure!(found, "no message {id} has failed");
    Ok(ExitCode::SUCCESS)
}

/// What is to be done with parked messages.
#[derive(Clone, Copy)]
enum Verdict {
    Replay,
    Drop,
}

impl Verdict {
    fn done(self) -> &'static str {
        match self {
            Self::Replay => "will be tried again",
            Self::Drop => "dropped",
        }
    }

    async fn carry_out(
        self,
        db: &Db,
        ids: &[MessageId],
    ) -> Result<Vec<(MessageId, Decision)>, sea_orm::DbErr> {
        db.write(|tx| async move {
            match self {
                Self::Replay => inbox::replay(&tx, None, ids).await,
                Self::Drop => inbox::drop_parked(&tx, None, ids).await,
            }
        })
        .await
    }
}

async fn decide(config: &Config, messages: &Messages, verdict: Verdict) -> anyhow::Result<ExitCode> {
    let databases = open(config, &messages.only).await?;
    if messages.all {
        decide_all(&databases, verdict).await
    } else {
        decide_some(&databases, &messages.ids, verdict).await
    }
}

async fn decide_all(databases: &[Db], verdict: Verdict) -> anyhow::Result<ExitCode> {
    let mut done = 0;
    for db in databases {
        let ids = inbox::parked_ids(db.reader()).await?;
        for ids in ids.chunks(inbox::BATCH) {
            for (_, decision) in verdict.carry_out(db, ids).await? {
                // What is parked no longer was decided by somebody else meanwhile.
                if let Decision::Done(message) = decision {
                    println!("{}: {}", heading(db.service(), &message), verdict.done());
                    done += 1;
                }
            }
        }
    }
    match done {
        0 => println!("nothing is parked"),
        1 => println!("1 message {}", verdict.done()),
        _ => println!("{done} messages {}", verdict.done()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A message may have come to several services, and be parked in some of them only: it is enough
/// that it is so in one.
async fn decide_some(databases: &[Db], ids: &[MessageId], verdict: Verdict) -> anyhow::Result<ExitCode> {
    let mut answers: Vec<(MessageId, Vec<(ServiceName, Decision)>)> = Vec::new();
    for ids in ids.chunks(inbox::BATCH) {
        for db in databases {
            for (id, decision) in verdict.carry_out(db, ids).await? {
                let answer = (db.service(), decision);
                match answers.iter_mut().find(|(answered, _)| *answered == id) {
                    Some((_, decisions)) => decisions.push(answer),
                    None => answers.push((id, vec![answer])),
                }
            }
        }
    }
    let mut complete = true;
    for (id, decisions) in &answers {
        let mut done = false;
        for (service, decision) in decisions {
            if let Decision::Done(message) = decision {
                println!("{}: {}", heading(*service, message), verdict.done());
                done = true;
            }
        }
        if !done {
            eprintln!("kopeck: {}", why_not(*id, decisions));
            complete = false;
        }
    }
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Why nothing was done with a message.
fn why_not(id: MessageId, decisions: &[(ServiceName, Decision)]) -> String {
    let known: Vec<_> = decisions
        .iter()
        .filter_map(|(service, decision)| match decision {
            Decision::NotParked(status) => Some(format!("in {service} it {}", how_it_is(*status))),
            Decision::Done(_) | Decision::Unknown => None,
        })
        .collect();
    if known.is_empty() {
        format!("{id} is not known")
    } else {
        format!("{id} is not parked: {}", known.join(", "))
    }
}

fn how_it_is(status: Status) -> &'static str {
    match status {
        Status::Done => "was applied",
        Status::Retry => "is tried again by itself",
        Status::Parked => "is parked",
        Status::Dropped => "was dropped",
    }
}

/// One line: whose, which and what.
fn heading(service: ServiceName, message: &Failed) -> String {
    let what = message.message_type.as_deref().unwrap_or("unreadable");
    format!("{service}  {}  {}", message.id, readable(what).replace('\n', " "))
}

/// A message on two lines or three, without what it says.
fn in_short(service: ServiceName, message: &Failed) -> String {
    let mut text = heading(service, message);
    if let Some(subject) = message.subject {
        let _ = write!(text, "  about {subject}");
    }
    let at = written(message.received_at);
    let failures = failures(message.attempts);
    let _ = match (message.status, message.next_attempt_at) {
        (Status::Done | Status::Dropped, _) => {
            write!(text, "\n    {failures}, {} {at}", how_it_is(message.status))
        }
        (Status::Retry, Some(next)) => {
            write!(
                text,
                "\n    came {at}, {failures}, tried again at {}",
                written(next)
            )
        }
        (Status::Retry | Status::Parked, _) => {
            let how = how_it_is(message.status).trim_start_matches("is ");
            write!(text, "\n    came {at}, {failures}, {how}")
        }
    };
    if let Some(error) = &message.error {
        let _ = write!(text, "\n    {}", one_line(error));
    }
    text.push('\n');
    text
}

fn failures(attempts: i32) -> String {
    match attempts {
        0 => "not failed since it was replayed".to_owned(),
        1 => "failed once".to_owned(),
        times => format!("failed {times} times"),
    }
}

fn written(at: Instant) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// An envelope with an attribute a line; anything else as it is.
fn pretty(body: &str) -> String {
    serde_json::from_str::<serde_json::Value>(body)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| body.to_owned())
}

fn one_line(error: &str) -> String {
    let mut text: String = readable(error).replace('\n', " ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST_ERROR) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What came may be anything: a terminal must not act on it.
fn readable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' => '\n',
            other if other.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_came_steers_the_terminal() {
        assert_eq!(
            readable("a\u{1b}[2Jb\r\u{9b}c\nd"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\nd"
        );
        assert_eq!(one_line(&"é\n".repeat(1_000)).chars().count(), LONGEST_ERROR + 1);
    }
}
