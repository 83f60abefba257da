//! What a letter says and what it is about.

pub mod letter;
#[cfg(test)]
mod letter_tests;
pub mod mail;
pub mod outcome;
#[cfg(test)]
mod outcome_tests;
#[cfg(test)]
mod samples;
mod wording;
