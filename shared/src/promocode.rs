//! The normal form of promocodes: two texts are one promocode if their normal forms are equal.
//!
//! One function for all that is typed, stored or searched.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// The most characters that a promocode has, in its normal form.
pub const MAX_CODE_CHARS: usize = 64;

/// The most characters of a typed text that are looked at. A promocode that is typed letter by letter
/// and mark by mark has several times as many as its normal form.
pub const MAX_TYPED_CHARS: usize = 1_024;

/// How often the steps are repeated until nothing changes any more. Twice is enough for all that is
/// known; what still changes then is no promocode.
const ROUNDS: usize = 4;

/// Why a text is no promocode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPromocode {
    /// Nothing but space and invisible characters.
    #[error("a promocode must not be empty")]
    Empty,
    /// More than [`MAX_CODE_CHARS`] characters.
    #[error("a promocode has at most {MAX_CODE_CHARS} characters")]
    TooLong,
    /// A space inside, a control character, or one that shows nothing or has no meaning yet.
    #[error("a promocode has neither spaces nor control or invisible characters in it")]
    Unprintable,
}

/// The normal form of what was typed: Unicode NFKC, upper case, without default-ignorable code points
/// and surrounding space. The normal form of a normal form is itself.
///
/// # Errors
/// When it is empty or too long, or has something in it that can't be seen.
pub fn normal_form(typed: &str) -> Result<String, NotAPromocode> {
    // Before anything is made of it, so that an endless text costs nothing.
    if typed.trim().chars().nth(MAX_TYPED_CHARS).is_some() {
        return Err(NotAPromocode::TooLong);
    }
    let mut form = visible(typed);
    let mut is_stable = false;
    for _ in 0..ROUNDS {
        let next = fold(&form);
        is_stable = next == form;
        if is_stable {
            break;
        }
        form = next;
    }
    if form.is_empty() {
        return Err(NotAPromocode::Empty);
    }
    if form.chars().nth(MAX_CODE_CHARS).is_some() {
        return Err(NotAPromocode::TooLong);
    }
    if !is_stable || form.chars().any(is_unprintable) {
        return Err(NotAPromocode::Unprintable);
    }
    Ok(form)
}

/// What was typed, without default-ignorable code points (zero-width space and joiners, direction
/// marks, soft hyphen, byte order mark, variation selectors) and surrounding space: they make no
/// difference.
#[must_use]
pub fn visible(typed: &str) -> String {
    let seen: String = typed.chars().filter(|c| !is_ignorable(*c)).collect();
    seen.trim().to_owned()
}

fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.trim().to_ascii_uppercase();
    }
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    // Compatibility forms of visible letters may be ignorable, such as those of Hangul fillers.
    let seen = visible(&nfkc.normalize(text));
    // Lower case first: some letters (the capital sharp s, İ) reach their relatives only that way.
    let upper = seen.to_lowercase().to_uppercase();
    nfkc.normalize(&upper).trim().to_owned()
}

fn is_ignorable(c: char) -> bool {
    !c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Space, control and format characters; what looks like space; and what has no meaning yet or only
/// by agreement, so that nobody can say how it looks or what will be equal to it.
fn is_unprintable(c: char) -> bool {
    // The Braille pattern blank, the musical null notehead, and what stands for the unknown.
    const BLANK: [char; 3] = ['\u{2800}', '\u{1d159}', char::REPLACEMENT_CHARACTER];
    if c.is_ascii() {
        return !c.is_ascii_graphic();
    }
    c.is_whitespace()
        || BLANK.contains(&c)
        || matches!(
            CodePointMapData::<GeneralCategory>::new().get(c),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::PrivateUse
                | GeneralCategory::Surrogate
                | GeneralCategory::Unassigned
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(typed: &str) -> String {
        normal_form(typed).unwrap()
    }

    #[test]
    fn texts_that_look_alike_have_one_normal_form() {
        assert_eq!(form("  Summer-25\t\n"), "SUMMER-25");
        for (one, other) in [
            ("скидка", "СКИДКА"),
            ("straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΣΑΣ", "σας"),
            ("\u{212a}ELVIN", "kelvin"),
            ("caf\u{e9}", "CAFE\u{301}"),
            ("\u{439}од", "\u{418}\u{306}ОД"),
            ("\u{200b}SUM\u{200b}MER\u{feff}", "summer"),
            ("SUM\u{ad}MER", "SUMMER"),
            ("\u{200e}SUMMER\u{200f} ", "SUMMER"),
            ("\u{2764}\u{fe0f}", "\u{2764}"),
            ("ＳＵＭＭＥＲ２５", "SUMMER25"),
            ("ﬁve", "FIVE"),
            ("x\u{345}\u{200b}\u{308}", "X\u{308}\u{399}"),
            ("i\u{307}", "\u{130}"),
        ] {
            assert_eq!(form(one), form(other), "{one:?} and {other:?}");
        }
        assert_ne!(form("SUMMER"), form("SUMMER1"));
    }

    #[test]
    fn what_is_empty_too_long_or_unprintable_is_no_promocode() {
        let refused = |typed: &str| normal_form(typed).unwrap_err();
        for empty in ["", " \u{a0}\n", "\u{200b}", " \u{feff} \u{3164}"] {
            assert_eq!(refused(empty), NotAPromocode::Empty, "{empty:?}");
        }
        for unprintable in [
            "TWO WORDS",
            "NUL\0",
            "A\u{a0}B",
            "A\u{2800}B",
            "A\u{fff9}B",
            "A\u{e000}B",
            "A\u{378}B",
            "A\u{fffd}B",
            "A\u{85}B",
            "A\u{a8}B", // a diaeresis with a space below it
        ] {
            assert_eq!(
                refused(unprintable),
                NotAPromocode::Unprintable,
                "{unprintable:?}"
            );
        }
        assert_eq!(form(&"x".repeat(64)).len(), 64);
        assert_eq!(refused(&"x".repeat(65)), NotAPromocode::TooLong);
        assert_eq!(refused(&"ß".repeat(33)), NotAPromocode::TooLong);
        assert_eq!(form(&"e\u{301}\u{200b}".repeat(64)).chars().count(), 64);
        assert_eq!(refused(&"x".repeat(1_000_000)), NotAPromocode::TooLong);
    }

    #[test]
    fn every_letter_has_one_normal_form_that_reads_back_as_itself() {
        // Beyond are ideographs, which have no case, and what has no meaning.
        for c in ('\0'..='\u{2ffff}').chain('\u{e0000}'..='\u{e0fff}') {
            let Ok(normal) = normal_form(&c.to_string()) else {
                continue;
            };
            assert_eq!(normal_form(&normal).as_ref(), Ok(&normal), "{c:?}");
            assert_eq!(form(&c.to_lowercase().to_string()), normal, "{c:?}");
            assert_eq!(form(&c.to_uppercase().to_string()), normal, "{c:?}");
            let nfd = icu_normalizer::DecomposingNormalizerBorrowed::new_nfd();
            assert_eq!(form(&nfd.normalize(&c.to_string())), normal, "{c:?}");
        }
    }

    /// Letters and marks that change with their neighbours, more often than chance would have them.
    fn typed() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            'i', 'İ', 'ı', 'ß', 'ẞ', 'σ', 'ς', 'Σ', 'ΐ', 'ǰ', 'ŉ', 'ﬁ', 'ᾼ', '\u{345}', '\u{301}', '\u{307}',
            '\u{308}', '\u{323}', '\u{200b}', '\u{fe0f}', '\u{1100}', '\u{1161}', '\u{11a8}', '\u{3164}',
            '\u{ac00}', 'ﾊ', '\u{ff9e}', '\u{3099}', '\u{dcc}', ' ', 'A',
        ]);
        prop::collection::vec(prop_oneof![3 => odd, 1 => any::<char>()], 0..12)
            .prop_map(|letters| letters.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_normal_form_is_printable_short_and_its_own_normal_form(typed in typed()) {
            if let Ok(normal) = normal_form(&typed) {
                prop_assert!((1..=MAX_CODE_CHARS).contains(&normal.chars().count()));
                prop_assert!(!normal.chars().any(is_unprintable));
                prop_assert_eq!(normal_form(&normal), Ok(normal));
            }
        }

        /// So that the limit of rounds never refuses anything.
        #[test]
        fn two_rounds_are_enough(typed in typed()) {
            let twice = fold(&fold(&visible(&typed)));
            prop_assert_eq!(fold(&twice), twice);
        }

        #[test]
        fn invisible_characters_case_and_space_around_make_no_difference(
            typed in typed(), at in 0_usize..12, ignorable in prop::sample::select(vec!['\u{200b}', '\u{2060}', '\u{ad}']),
        ) {
            let mut other: Vec<char> = typed.chars().collect();
            other.insert(at.min(other.len()), ignorable);
            let other: String = other.into_iter().collect();
            prop_assert_eq!(normal_form(&format!("\n{other}\u{a0}")), normal_form(&typed));
        }
    }
}
