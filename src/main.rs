//! The command line.

use std::process::ExitCode;

use clap::Parser as _;
use kopeck::{
    commands::{self, CommandLine},
    output,
};

#[tokio::main]
async fn main() -> ExitCode {
    match commands::execute(CommandLine::parse()).await {
        Ok(code) if !output::is_incomplete() => code,
        Ok(_) => fail("standard output can't be written to"),
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn fail(why: &str) -> ExitCode {
    output::complain(format_args!("kopeck: {why}\n"));
    ExitCode::FAILURE
}
