//! Columns that must not be printed: entities have to be `Debug`.

use std::fmt;

use sea_orm::DeriveValueType;

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct SecretText(pub String);

/// Bytes that are not printed.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct SecretBytes(pub Vec<u8>);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_columns_are_not_printed() {
        assert_eq!(format!("{:?}", SecretText("$argon2id$".to_owned())), "[REDACTED]");
        assert_eq!(format!("{:?}", SecretBytes(vec![1, 2, 3])), "[REDACTED]");
    }
}
