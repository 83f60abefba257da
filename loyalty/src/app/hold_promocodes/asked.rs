//! Commands that are to be decided, with what decides them.

use std::collections::{BTreeSet, HashMap};

use iso_currency::Currency;
use shared::{
    contracts::HoldPromocodeV1,
    db::Tx,
    ids::{CampaignId, UserId},
};

use super::HoldPromocodesError;
use crate::{
    app::relations::Relations,
    domain::{
        batch::Hold,
        campaign::Campaign,
        decision::{Found, HoldRequest},
        promocode::{Promocode, PromocodeCode},
    },
    store,
};

/// A command, and what decides it.
#[derive(Clone, Copy)]
pub(in crate::app) struct Line<'a> {
    pub command: &'a HoldPromocodeV1,
    pub hold: Hold<'a>,
}

/// Commands that are to be decided, with what decides them.
pub(in crate::app) struct Asked<'a> {
    commands: Vec<&'a HoldPromocodeV1>,
    requests: Vec<HoldRequest>,
    promocodes: HashMap<PromocodeCode, Promocode>,
    campaigns: HashMap<CampaignId, Campaign>,
}

impl<'a> Asked<'a> {
    /// A query a table, however many commands there are.
    pub async fn load(
        tx: &Tx,
        commands: impl Iterator<Item = &'a HoldPromocodeV1>,
        currency: Currency,
    ) -> Result<Self, HoldPromocodesError> {
        let commands: Vec<_> = commands.collect();
        let requests = commands
            .iter()
            .map(|command| HoldRequest::from_command(command, currency))
            .collect::<Result<Vec<_>, _>>()?;
        let mut asked = Self {
            commands,
            requests,
            promocodes: HashMap::new(),
            campaigns: HashMap::new(),
        };
        if asked.commands.is_empty() {
            return Ok(asked);
        }
        // What can't be a promocode is looked up all the same: the time of a look tells nothing.
        let texts = asked
            .codes()
            .map(|code| code.map(String::from).unwrap_or_default());
        let codes: BTreeSet<String> = texts.collect();
        // Nobody changes the terms, and with them what is counted, before this is committed; nor
        // the promocodes, which are read behind that wait.
        asked.campaigns = store::campaigns::share_of_codes(tx.conn(), &codes).await?;
        let promocodes =
            store::promocodes::find_by_codes(tx.conn(), codes.iter().map(String::as_str)).await?;
        asked.promocodes = promocodes
            .into_iter()
            .map(|found| (found.code.clone(), found))
            .collect();
        Ok(asked)
    }

    /// What was typed, in its normal form; none where it can't be a promocode.
    fn codes(&self) -> impl Iterator<Item = Option<PromocodeCode>> {
        self.requests
            .iter()
            .map(|request| PromocodeCode::parse(&request.promocode).ok())
    }

    fn found(&self, code: Option<PromocodeCode>) -> Option<Found<'_>> {
        let promocode = self.promocodes.get(&code?)?;
        let campaign = self.campaigns.get(&promocode.campaign_id)?;
        Some(Found { promocode, campaign })
    }

    /// What every command asks for, as far as there is such a promocode, and its user.
    pub fn by_user(&self) -> impl Iterator<Item = (Option<Found<'_>>, UserId)> {
        let lines = self.requests.iter().zip(self.codes());
        lines.map(|(request, code)| (self.found(code), request.user_id))
    }

    /// The commands in their order, each with what decides it.
    pub fn lines(&self, relations: &Relations) -> Vec<Line<'_>> {
        let lines = self.commands.iter().zip(&self.requests).zip(self.codes());
        let lines = lines.map(|((command, request), code)| {
            let found = self.found(code);
            let relation = found.map(|found| relations.of(found, request.user_id));
            let hold = Hold {
                purchase_id: command.purchase_id,
                request,
                found,
                relation: relation.unwrap_or_default(),
            };
            Line { command, hold }
        });
        lines.collect()
    }

    /// The campaigns of the promocodes that there are, in the terms that are in force.
    pub fn campaigns(&self) -> impl Iterator<Item = &Campaign> {
        self.campaigns.values()
    }
}
