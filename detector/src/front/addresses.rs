//! Source addresses, as far as failed logins need them: who stands behind which.
//!
//! Bounded: when the table is full, an address without an open session that was not seen lately
//! makes room, found by a hand that goes round and passes each address seen again since its last
//! visit once (the "clock" of Corbató, 1968). The hand looks at [`LOOKS_MAX`] addresses at most; if it
//! finds none, the new address is not followed, and counted.

use std::net::IpAddr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::session::{Address, Members};

/// Places that the hand looks at for each newcomer.
pub(crate) const LOOKS_MAX: usize = 64;

/// Addresses by number. The number of one that is gone is used again.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    numbers: HashMap<IpAddr, u32>,
    rows: Vec<(IpAddr, Address)>,
    /// Seen since the hand came by.
    touched: Members,
    hand: usize,
    pub(crate) evicted: u64,
}

/// The addresses in a snapshot.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct AddressesState {
    rows: Vec<(IpAddr, Address)>,
    touched: Vec<u64>,
    hand: u64,
    evicted: u64,
}

impl Addresses {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Address> {
        self.rows.get(number as usize).map(|(_, address)| address)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Address> {
        self.rows.get_mut(number as usize).map(|(_, address)| address)
    }

    pub(crate) fn ip(&self, number: u32) -> Option<IpAddr> {
        self.rows.get(number as usize).map(|&(ip, _)| ip)
    }

    /// Whether any thing ever had a session from an address, as far as is known.
    pub(crate) fn had_session(&self, ip: IpAddr) -> bool {
        let number = self.numbers.get(&ip);
        number.and_then(|&number| self.get(number)).is_some_and(Address::had_session)
    }

    /// The number of an address; a new one is followed if there is or can be made room among `max`.
    pub(crate) fn number(&mut self, ip: IpAddr, max: usize) -> Option<u32> {
        if let Some(&number) = self.numbers.get(&ip) {
            self.touched.set(number, true);
            return Some(number);
        }
        let number = if self.rows.len() < max {
            let number = u32::try_from(self.rows.len()).ok()?;
            self.rows.push((ip, Address::new()));
            number
        } else {
            let number = self.victim()?;
            let row = self.rows.get_mut(number as usize)?;
            self.numbers.remove(&row.0);
            *row = (ip, Address::new());
            self.evicted += 1;
            number
        };
        self.numbers.insert(ip, number);
        // Not touched before it comes again: what comes only once goes first.
        self.touched.set(number, false);
        Some(number)
    }

    fn victim(&mut self) -> Option<u32> {
        for _ in 0..LOOKS_MAX.min(2 * self.rows.len()) {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.rows.len();
            let number = u32::try_from(at).ok()?;
            if self.touched.contains(number) {
                self.touched.set(number, false);
            } else if self.get(number).is_some_and(Address::is_idle) {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn save(&self) -> AddressesState {
        AddressesState {
            rows: self.rows.clone(),
            touched: self.touched.words().to_vec(),
            hand: self.hand as u64,
            evicted: self.evicted,
        }
    }

    pub(crate) fn restored(state: AddressesState) -> Self {
        let numbers = (0_u32..).zip(&state.rows).map(|(number, &(ip, _))| (ip, number)).collect();
        let hand = usize::try_from(state.hand).unwrap_or(0);
        let hand = if hand < state.rows.len() { hand } else { 0 };
        let touched = Members::from_words(state.touched);
        Self { numbers, rows: state.rows, touched, hand, evicted: state.evicted }
    }

    pub(crate) fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<(IpAddr, Address)>() + self.numbers.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn idle_addresses_make_room_and_busy_ones_stay() {
        let mut addresses = Addresses::default();
        let busy = addresses.number(ip(1), 4).unwrap();
        addresses.get_mut(busy).unwrap().opened(7, 10);
        for n in 2..10_000 {
            assert!(addresses.number(ip(n), 4).is_some(), "{n}");
            assert!(addresses.len() <= 4);
        }
        assert_eq!(addresses.number(ip(1), 4), Some(busy));
        assert_eq!(addresses.evicted, 9_999 - 4);
        let mut again = Addresses::restored(addresses.save());
        for n in 20_000..20_100 {
            assert_eq!(addresses.number(ip(n), 4), again.number(ip(n), 4));
        }
    }

    #[test]
    fn when_all_are_busy_a_new_one_is_not_followed() {
        let mut addresses = Addresses::default();
        for n in 0..3 {
            let number = addresses.number(ip(n), 3).unwrap();
            addresses.get_mut(number).unwrap().opened(u64::from(n), 10);
        }
        assert_eq!(addresses.number(ip(9), 3), None);
        assert!(Addresses::default().number(ip(9), 0).is_none());
    }
}
