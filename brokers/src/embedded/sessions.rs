//! Which devices have a session, so that each connect has exactly one disconnect.

use std::collections::BTreeMap;

use rmqtt::types::Id;

/// Live sessions by client id. Bounded by the broker's own bound of sessions.
#[derive(Default)]
pub(super) struct Sessions {
    live: BTreeMap<String, Id>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// A session began. True if it took the place of another one: rmqtt tells the new session's
    /// begin before, or after, the old one's end, so that the end is told here, once.
    pub(super) fn begin(&mut self, id: &Id) -> bool {
        self.live.insert(id.client_id.to_string(), id.clone()).is_some()
    }

    /// A session ended. False if that is known already.
    pub(super) fn end(&mut self, id: &Id) -> bool {
        let known = self.live.get(&*id.client_id).is_some_and(|live| live == id);
        if known {
            self.live.remove(&*id.client_id);
        }
        known
    }

    pub(super) fn ids(&self) -> Vec<Id> {
        self.live.values().cloned().collect()
    }

    /// Sessions with this client id or user name.
    pub(super) fn of(&self, client: &str, user: Option<&str>) -> Vec<Id> {
        let belongs =
            |id: &&Id| &*id.client_id == client || user.is_some_and(|user| user_of(id) == Some(user));
        self.live.values().filter(belongs).cloned().collect()
    }
}

pub(super) fn user_of(id: &Id) -> Option<&str> {
    id.username.as_ref().map(|name| -> &str { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(client: &str, port: u16) -> Id {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Id::new(1, 1, None, Some(address), client.into(), Some(client.into()))
    }

    #[test]
    fn every_begin_has_one_end() {
        let mut sessions = Sessions::default();
        let (first, second) = (id("pump", 1), id("pump", 2));
        assert!(!sessions.begin(&first));
        assert!(sessions.begin(&second), "a take-over");
        assert!(!sessions.end(&first), "its end was told with the take-over");
        assert_eq!(sessions.of("x", Some("pump")), vec![second.clone()]);
        assert!(sessions.end(&second) && !sessions.end(&second));
        assert_eq!(sessions.len(), 0);
    }
}
