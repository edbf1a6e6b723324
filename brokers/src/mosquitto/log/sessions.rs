//! The clients of one broker that are connected now.

use hashbrown::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{line::imitates, unresolved::Peer};

/// Most sessions remembered per broker. One more is not remembered (its events are still
/// given), is counted, and the list is no longer taken to be complete.
pub(super) const SESSIONS_MAX: usize = 1 << 20;

/// A connected client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) peer: Peer,
    /// The client sent DISCONNECT (known with debug lines only).
    pub(super) said_goodbye: bool,
}

/// Sessions by client id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    by_id: HashMap<Box<str>, Session>,
    /// How many ids in `by_id` begin like a log line.
    imitators: usize,
}

impl Sessions {
    pub(super) fn get(&self, id: &str) -> Option<&Session> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.by_id.get_mut(id)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn has_imitators(&self) -> bool {
        self.imitators > 0
    }

    /// `false` if there is no room.
    pub(super) fn insert(&mut self, id: &str, session: Session) -> bool {
        if let Some(known) = self.by_id.get_mut(id) {
            *known = session;
            return true;
        }
        if self.by_id.len() >= SESSIONS_MAX {
            return false;
        }
        self.imitators += usize::from(imitates(id));
        self.by_id.insert(id.into(), session);
        true
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Session> {
        let session = self.by_id.remove(id)?;
        self.imitators -= usize::from(imitates(id));
        Some(session)
    }

    pub(super) fn clear(&mut self) {
        self.by_id.clear();
        self.imitators = 0;
    }
}

/// Written in order of ids, so that equal states are equal bytes.
impl Serialize for Sessions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries: Vec<_> = self.by_id.iter().collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
        entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sessions = Self::default();
        for (id, session) in Vec::<(Box<str>, Session)>::deserialize(deserializer)? {
            sessions.insert(&id, session);
        }
        Ok(sessions)
    }
}
