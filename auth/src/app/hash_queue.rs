//! The order in which waiting passwords are hashed.
//!
//! Start-time fair queueing: an entry's tag is one more than the largest tag that waits for the same
//! account or from the same place, and at least one more than that of the last entry served. The
//! smallest tag is served first, and a full queue drops the largest. So a flood, by one address or on
//! one account, waits behind itself and is refused before anything else is.

/// The account and the address that a waiting password shares its turns with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The account, by a hash of its e-mail address, where it is known.
    account: Option<String>,
    /// The network that asks.
    place: String,
}

impl Turn {
    pub(super) const fn new(account: Option<String>, place: String) -> Self {
        Self { account, place }
    }

    fn shares_with(&self, other: &Self) -> bool {
        self.place == other.place || (self.account.is_some() && self.account == other.account)
    }
}

struct Entry<W> {
    tag: u64,
    /// Among equal tags, the order in which they came.
    number: u64,
    turn: Turn,
    work: W,
}

/// Work that waits.
pub(super) struct FairQueue<W> {
    waiting: Vec<Entry<W>>,
    /// The tag of the entry that was served last.
    served: u64,
    numbers: u64,
}

impl<W> FairQueue<W> {
    pub(super) const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            served: 0,
            numbers: 0,
        }
    }

    /// Takes in `work` where at most `most` may wait. Gives back what finds no room any more: this
    /// work, or in its place one that would have been served later.
    pub(super) fn push(&mut self, turn: Turn, work: W, most: usize) -> Option<W> {
        let before = self.waiting.iter().filter(|entry| entry.turn.shares_with(&turn));
        let tag = before.map(|entry| entry.tag).fold(self.served, u64::max) + 1;
        self.numbers += 1;
        let new = Entry {
            tag,
            number: self.numbers,
            turn,
            work,
        };
        if self.waiting.len() < most {
            self.waiting.push(new);
            return None;
        }
        let last = self
            .waiting
            .iter_mut()
            .max_by_key(|entry| (entry.tag, entry.number));
        match last {
            Some(last) if last.tag > tag => Some(std::mem::replace(last, new).work),
            _ => Some(new.work),
        }
    }

    /// The work to do next.
    pub(super) fn pop(&mut self) -> Option<W> {
        let order = |(_, entry): &(usize, &Entry<W>)| (entry.tag, entry.number);
        let (place, _) = self.waiting.iter().enumerate().min_by_key(order)?;
        let next = self.waiting.swap_remove(place);
        self.served = next.tag;
        Some(next.work)
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turn(account: &str, place: &str) -> Turn {
        Turn::new(Some(account.to_owned()), place.to_owned())
    }

    fn all(queue: &mut FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn what_shares_nothing_is_served_in_the_order_in_which_it_came() {
        let mut queue = FairQueue::new();
        for name in ["a", "b", "c"] {
            assert_eq!(queue.push(turn(name, name), name, 9), None);
        }
        assert_eq!(all(&mut queue), ["a", "b", "c"]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_flood_from_one_address_waits_behind_itself() {
        let mut queue = FairQueue::new();
        for account in ["a", "b", "c"] {
            queue.push(turn(account, "flooder"), "flood", 9);
        }
        queue.push(turn("ann", "home"), "ann", 9);
        assert_eq!(all(&mut queue), ["flood", "ann", "flood", "flood"]);
    }

    #[test]
    fn a_flood_on_one_account_waits_behind_itself_from_wherever_it_comes() {
        let mut queue = FairQueue::new();
        for place in ["1", "2", "3"] {
            queue.push(turn("victim", place), "flood", 9);
        }
        queue.push(turn("ann", "home"), "ann", 9);
        assert_eq!(all(&mut queue), ["flood", "ann", "flood", "flood"]);
    }

    #[test]
    fn a_full_queue_drops_the_flood_and_never_what_comes_alone() {
        let mut queue = FairQueue::new();
        for number in 0..4 {
            queue.push(turn(&number.to_string(), "flooder"), "flood", 4);
        }
        assert_eq!(queue.push(turn("x", "flooder"), "one more", 4), Some("one more"));
        assert_eq!(queue.push(turn("ann", "home"), "ann", 4), Some("flood"));
        assert_eq!(queue.push(turn("bob", "work"), "bob", 4), Some("flood"));
        assert_eq!(all(&mut queue), ["flood", "ann", "bob", "flood"]);
    }

    #[test]
    fn where_the_account_is_not_known_the_place_alone_is_shared() {
        let mut queue = FairQueue::new();
        queue.push(Turn::new(None, "1".to_owned()), "a", 1);
        assert_eq!(
            queue.push(Turn::new(None, "2".to_owned()), "b", 1),
            Some("b"),
            "both are first"
        );
    }

    proptest! {
        /// Whatever others do: a place and account that wait for one thing at a time are refused only
        /// when so many different places wait as there is room for.
        #[test]
        fn one_who_asks_for_one_thing_at_a_time_is_not_refused(
            asked in prop::collection::vec((0..3_u8, 0..20_u8, any::<bool>()), 0..200),
        ) {
            let mut queue = FairQueue::new();
            for (place, account, pops) in asked {
                if pops {
                    queue.pop();
                }
                queue.push(turn(&format!("account {account}"), &format!("place {place}")), "flood", 8);
            }
            prop_assert_ne!(queue.push(turn("ann", "home"), "ann", 8), Some("ann"));
        }
    }
}
