//! Pages of listings. A token names the last key that was shown and is bound to the operation and
//! the other members of the request.

use std::hash::{Hash as _, Hasher as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Members, fault::Fault, model::Model};

/// Rows of a page where the request does not say.
pub const ROWS_DEFAULT: usize = 25;
/// Rows of a page at most.
pub const ROWS_MAX: usize = 250;

/// Where a page starts and how long it is.
#[derive(Debug)]
pub struct Page {
    bound: u64,
    after: Option<String>,
    rows: usize,
    token: String,
    list: String,
}

impl Page {
    /// The page that a request of an operation with pages asks for.
    ///
    /// # Errors
    /// `InvalidRequestException` if the token is not one of ours for this request.
    pub fn of(operation: &str, members: &Members) -> Result<Self, Fault> {
        let pages = Model::get().operations.get(operation).and_then(|operation| operation.pages.as_ref());
        let (input, token, limit, list) =
            pages.ok_or_else(|| Fault::internal(format!("`{operation}` has no pages")))?;
        Self::sought(operation, members, (input, token, limit.as_deref(), list))
    }

    /// The page of an operation that has `nextToken` and `maxResults` although the model does not say that it
    /// has pages.
    ///
    /// # Errors
    /// As [`Page::of`].
    pub fn named(operation: &str, members: &Members, list: &str) -> Result<Self, Fault> {
        Self::sought(operation, members, ("nextToken", "nextToken", Some("maxResults"), list))
    }

    fn sought(
        operation: &str,
        members: &Members,
        (input, token, limit, list): (&str, &str, Option<&str>, &str),
    ) -> Result<Self, Fault> {
        let rows = limit.and_then(|name| members.get(name)).and_then(Value::as_u64);
        let rows = rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(ROWS_DEFAULT).min(ROWS_MAX);
        let mut hasher = std::hash::DefaultHasher::new();
        operation.hash(&mut hasher);
        for (name, value) in members {
            if name != input && Some(name.as_str()) != limit {
                (name, value.to_string()).hash(&mut hasher);
            }
        }
        let bound = hasher.finish();
        let sent = members.get(input).and_then(Value::as_str).filter(|sent| !sent.is_empty());
        let after = sent.map(|sent| open(sent, bound)).transpose()?;
        Ok(Self { bound, after, rows, token: token.to_owned(), list: list.to_owned() })
    }

    /// The last key of the page before.
    #[must_use]
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The answer made of rows in the order of their keys, beginning anywhere: rows up to the last key
    /// shown are skipped, and one row more than a page has tells whether there is a next.
    pub fn answer<K: AsRef<str>>(&self, rows: impl IntoIterator<Item = (K, Value)>) -> Members {
        let mut shown: Vec<(K, Value)> = rows
            .into_iter()
            .filter(|(key, _)| self.after().is_none_or(|after| key.as_ref() > after))
            .take(self.rows + 1)
            .collect();
        self.close(&mut shown)
    }

    /// As [`Page::answer`], for rows in descending order.
    pub fn answer_descending<K: AsRef<str>>(&self, rows: impl IntoIterator<Item = (K, Value)>) -> Members {
        let mut shown: Vec<(K, Value)> = rows
            .into_iter()
            .filter(|(key, _)| self.after().is_none_or(|after| key.as_ref() < after))
            .take(self.rows + 1)
            .collect();
        self.close(&mut shown)
    }

    /// As [`Page::answer`], for rows that were looked for up to the key `last` alone: if they fill no page, the
    /// next one begins there.
    pub fn answer_up_to<K: AsRef<str>>(
        &self,
        rows: impl IntoIterator<Item = (K, Value)>,
        last: &str,
    ) -> Members {
        let mut answer = self.answer(rows);
        answer.entry(self.token.clone()).or_insert_with(|| Value::String(self.seal(last)));
        answer
    }

    fn close<K: AsRef<str>>(&self, shown: &mut Vec<(K, Value)>) -> Members {
        let more = shown.len() > self.rows;
        shown.truncate(self.rows);
        let next = shown.last().filter(|_| more).map(|(key, _)| self.seal(key.as_ref()));
        let mut answer = Members::new();
        answer.insert(self.list.clone(), shown.drain(..).map(|(_, row)| row).collect());
        if let Some(next) = next {
            answer.insert(self.token.clone(), Value::String(next));
        }
        answer
    }

    fn seal(&self, key: &str) -> String {
        STANDARD.encode([&self.bound.to_be_bytes()[..], key.as_bytes()].concat())
    }
}

fn open(token: &str, bound: u64) -> Result<String, Fault> {
    let foreign = || Fault::invalid("the token of the next page does not belong to this request");
    let bytes = STANDARD.decode(token).map_err(|_| foreign())?;
    let (head, key) = bytes.split_first_chunk::<8>().ok_or_else(foreign)?;
    if u64::from_be_bytes(*head) != bound {
        return Err(foreign());
    }
    String::from_utf8(key.to_vec()).map_err(|_| foreign())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(members: Value) -> Result<Members, Fault> {
        let Value::Object(members) = members else { return Err(Fault::internal("no object")) };
        let rows = ["a", "b", "c", "d"].map(|name| (name, json!(name)));
        Ok(Page::of("ListPolicies", &members)?.answer(rows))
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let first = page(json!({"pageSize": 2})).unwrap();
        assert_eq!(first["policies"], json!(["a", "b"]));
        let second = page(json!({"pageSize": 3, "marker": first["nextMarker"]})).unwrap();
        assert_eq!(Value::Object(second), json!({"policies": ["c", "d"]}));
        assert!(!page(json!({"pageSize": 4})).unwrap().contains_key("nextMarker"));
    }

    #[test]
    fn a_token_of_another_request_is_refused() {
        let token = page(json!({"pageSize": 2})).unwrap()["nextMarker"].clone();
        for members in [
            json!({"marker": token, "ascendingOrder": true}),
            json!({"marker": "AAAA"}),
            json!({"marker": "%"}),
        ] {
            assert_eq!(page(members).unwrap_err().kind, "InvalidRequestException");
        }
    }
}
