//! The command line.

use std::process::ExitCode;

use clap::Parser as _;
use kopeck::commands::{self, CommandLine};

#[tokio::main]
async fn main() -> ExitCode {
    match commands::execute(CommandLine::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kopeck: {error:#}");
            ExitCode::FAILURE
        }
    }
}
