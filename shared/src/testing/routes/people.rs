//! Who may not: without a good token, without the permission, blocked, deleted, somebody else.

use reqwest::Method;
use serde_json::Value;

use super::{Call, Routes, TestService, call::By, description::Operation, permissions, tokens};
use crate::{
    contracts::{Locale, Permission, UserBlockedV1, UserDeletedV1, UserState, UserStatus},
    ids::UserId,
};

/// The people in a test of routes.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// Whoever sends a request of which it is not said who sends it.
    pub somebody: UserId,
    /// Somebody who has nothing.
    pub stranger: UserId,
    /// Somebody who is blocked.
    pub blocked: UserId,
    /// Somebody whose account is deleted.
    pub deleted: UserId,
    /// A program.
    pub program: UserId,
}

impl Cast {
    /// New people, of whom `service` has heard what auth tells of them.
    pub async fn told_by_auth(service: &TestService) -> Self {
        let cast = Self {
            somebody: service.new_user(),
            stranger: service.new_user(),
            blocked: service.new_user(),
            deleted: service.new_user(),
            program: service.new_user(),
        };
        let state = |user_id, status| UserState {
            user_id,
            version: 2,
            status,
            locale: Locale::En,
            time_zone: None,
            registered_at: service.peers.now(),
        };
        let blocked = UserBlockedV1(state(cast.blocked, UserStatus::Blocked));
        let deleted = UserDeletedV1(state(cast.deleted, UserStatus::Deleted));
        service.peers.say(&blocked).await;
        service.peers.say(&deleted).await;
        cast
    }
}

impl Routes<'_> {
    /// Sends `call` as all those who may not.
    pub(super) async fn try_people(&mut self, call: &Call, operation: &Operation) {
        if operation.public {
            return;
        }
        self.try_tokens(call, operation).await;
        self.try_status(call, operation).await;
        self.try_permissions(call, operation).await;
        let has_owner = operation.needed.is_empty() && !call.for_everybody;
        if has_owner {
            self.try_program(call, operation).await;
        }
        if has_owner && operation.parameters_in("path").next().is_some() {
            let of_another = as_user(call, self.cast.stranger);
            self.expect(&of_another, "of somebody else", 404, "not_found")
                .await;
        }
    }

    async fn try_tokens(&mut self, call: &Call, operation: &Operation) {
        let permissions = permissions(call, operation);
        let (user, now) = (self.user(call), self.service.peers.now());
        let wrong = tokens::wrong_tokens(&self.service.issuer, user, &permissions, now);
        for (what, authorization, code) in wrong {
            let answer = self.send_as(call, authorization, what).await;
            self.compare(&call.operation(), what, &answer, 401, code);
        }
        let token = format!("Bearer {}", self.service.token(user, &permissions));
        let twice = call.clone().header("authorization", &token);
        let (what, code) = ("a token that comes twice", "invalid_token");
        let answer = self.send_as(&twice, Some(token), what).await;
        self.compare(&call.operation(), what, &answer, 401, code);
    }

    async fn try_status(&mut self, call: &Call, operation: &Operation) {
        let permissions = permissions(call, operation);
        for (user, what, status, code) in [
            (self.cast.blocked, "by a blocked user", 403, "user_blocked"),
            (self.cast.deleted, "by a deleted user", 401, "invalid_token"),
        ] {
            let token = self.service.token(user, &permissions);
            let call = call.clone().token(token);
            self.expect(&call, what, status, code).await;
        }
    }

    async fn try_permissions(&mut self, call: &Call, operation: &Operation) {
        let user = self.user(call);
        for needed in &operation.needed {
            let others: Vec<_> = Permission::ALL
                .iter()
                .copied()
                .filter(|other| other != needed)
                .collect();
            let token = self.service.token(user, &others);
            let what = format!("without `{}`", needed.as_str());
            self.expect(&call.clone().token(token), &what, 403, "forbidden")
                .await;
        }
        let takes_owner = operation
            .parameters_in("query")
            .any(|parameter| parameter.name == "user_id");
        if takes_owner && !operation.sometimes_needed.is_empty() {
            let of_another = as_user(call, user).query("user_id", self.cast.stranger);
            self.expect(&of_another, "of somebody else", 403, "forbidden")
                .await;
            self.succeed(of_another.privileged()).await;
        }
    }

    /// A program owns nothing: it finds nothing under an id, and asks for nothing of its own.
    async fn try_program(&mut self, call: &Call, operation: &Operation) {
        let reads_one = call.method == Method::GET && operation.parameters_in("path").next().is_some();
        let (status, code) = if reads_one {
            (404, "not_found")
        } else {
            (403, "forbidden")
        };
        let program = self.cast.program;
        let token = self.service.token_of_program(program, &[]);
        self.expect(&call.clone().token(token), "by a program", status, code)
            .await;
        if reads_one || operation.sometimes_needed.is_empty() {
            return;
        }
        let token = self
            .service
            .token_of_program(program, &operation.sometimes_needed);
        let mut its_own = call.clone().token(token);
        its_own.query.retain(|(name, _)| name != "user_id");
        if let Some(body) = its_own.body.as_mut().and_then(Value::as_object_mut) {
            body.remove("user_id");
        }
        self.expect(&its_own, "by a program that may read all", 403, "forbidden")
            .await;
    }

    fn user(&self, call: &Call) -> UserId {
        match call.by {
            By::User { id: Some(user), .. } => user,
            _ => self.cast.somebody,
        }
    }
}

/// The same, sent by `user` with what is always needed and no more.
fn as_user(call: &Call, user: UserId) -> Call {
    let mut call = call.clone();
    call.by = By::User {
        id: Some(user),
        privileged: false,
    };
    call
}
