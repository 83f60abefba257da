//! What nobody can guess.

/// 256 random bits, in hexadecimal.
pub(crate) fn secret() -> String {
    let words: [u64; 4] = rand::random();
    words.map(|word| format!("{word:016x}")).concat()
}
