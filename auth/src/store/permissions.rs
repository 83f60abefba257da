//! Permissions in a column: a JSON array of their names.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::contracts::Permission;

/// What stands there. A permission that this program does not know (a newer one gave it) allows
/// nothing.
pub(super) fn read(text: &str) -> BTreeSet<Permission> {
    let names: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| serde_json::from_value(name).ok())
        .collect()
}

/// What is to stand there.
pub(super) fn write(permissions: &BTreeSet<Permission>) -> String {
    let names: Vec<_> = permissions.iter().map(|permission| permission.as_str()).collect();
    Value::from(names).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_back_and_unknown_ones_left_out() {
        let all: BTreeSet<_> = Permission::ALL.iter().copied().collect();
        assert_eq!(read(&write(&all)), all);
        assert_eq!(
            read(r#"["users.read","rockets.launch",7]"#),
            BTreeSet::from([Permission::UsersRead])
        );
        assert!(read("nonsense").is_empty());
    }
}
