//! The configuration language of the NATS server (`conf/lex.go`, `conf/parse.go` of 2.x).
//!
//! - `key: value`, `key = value`, `key value`; letter case of keys does not count. A key given twice
//!   has its last value, maps too: they are not merged.
//! - `#` and `//` begin comments; members are divided by ends of lines, `,` or `;`.
//! - `$NAME` is the value of a key that was set before, in this map or one around it; what the files
//!   do not set comes from the environment: nothing is known of it, which is told.
//! - `include FILE` puts the file's members here.
//! - `(` to `)` is a text of several lines.

use super::super::{
    file::ConfigFile,
    note::At,
    tree::{Cursor, DEPTH_MAX, MEMBERS_MAX, Node, Reading, Value},
};

/// The members of a file and of those it includes.
pub(super) fn read(file: &ConfigFile, reading: &mut Reading<'_, '_>) -> Node {
    let mut scopes = vec![Vec::new()];
    read_into(file, &mut scopes, 0, reading);
    let at = At { file: file.path.clone(), line: 1, column: 1 };
    Node::new(at, Value::Map(scopes.pop().unwrap_or_default()))
}

type Members = Vec<(String, Node)>;

fn read_into(file: &ConfigFile, scopes: &mut Vec<Members>, includes: usize, reading: &mut Reading<'_, '_>) {
    let text = file.text();
    let depth = scopes.len();
    let mut reader = Reader { cursor: Cursor::new(&file.path, &text), includes, scopes, reading };
    reader.blank(true);
    let braced = reader.cursor.take("{");
    loop {
        match reader.members() {
            Ok(()) if reader.cursor.peek().is_none() => break,
            Ok(()) => {
                if !(braced && reader.cursor.peek() == Some('}')) {
                    let (at, found) = (reader.cursor.at(), reader.cursor.shown());
                    reader.reading.invalid(&at, format!("found {found} without a beginning"));
                }
                reader.cursor.next();
            }
            Err(Stop) => {
                reader.cursor.skip_line();
                reader.unwind(depth);
            }
        }
    }
}

/// A mistake, which has been told.
struct Stop;

struct Reader<'t, 's, 'r, 'n, 'f> {
    cursor: Cursor<'t>,
    includes: usize,
    /// The members so far of the map that is read, and of those around it.
    scopes: &'s mut Vec<Members>,
    reading: &'r mut Reading<'n, 'f>,
}

impl Reader<'_, '_, '_, '_, '_> {
    fn stop(&mut self, what: &str) -> Stop {
        let (at, found) = (self.cursor.at(), self.cursor.shown());
        self.reading.invalid(&at, format!("found {found}; expected {what}"));
        Stop
    }

    /// What a mistake within maps left open belongs to nothing; the maps that are closed count.
    fn unwind(&mut self, depth: usize) {
        self.scopes.truncate(depth.max(1));
    }

    fn blank(&mut self, lines: bool) {
        while let Some(letter) = self.cursor.peek() {
            if letter == '#' || self.cursor.rest.starts_with("//") {
                self.cursor.skip_line();
            } else if (letter.is_whitespace() && (lines || letter != '\n'))
                || (lines && matches!(letter, ',' | ';'))
            {
                self.cursor.next();
            } else {
                return;
            }
        }
    }

    /// Members up to `}` or the end, put into the innermost map.
    fn members(&mut self) -> Result<(), Stop> {
        loop {
            self.blank(true);
            if matches!(self.cursor.peek(), None | Some('}' | ']' | ')')) {
                return Ok(());
            }
            let at = self.cursor.at();
            let quoted = matches!(self.cursor.peek(), Some('"' | '\''));
            let key = if quoted { self.quoted()? } else { self.key() };
            if key.is_empty() {
                return Err(self.stop("a key"));
            }
            let is_include = !quoted && key.eq_ignore_ascii_case("include");
            self.blank(false);
            let divided = self.cursor.take(":") || self.cursor.take("=");
            if is_include && !divided {
                self.include(&at)?;
                continue;
            }
            let value = self.value()?;
            if let Some(members) = self.scopes.last_mut() {
                if members.len() >= MEMBERS_MAX {
                    self.reading.bound(&at, &format!("{MEMBERS_MAX} keys in a map"));
                    return Err(Stop);
                }
                members.retain(|(name, _)| !name.eq_ignore_ascii_case(&key));
                members.push((key, value));
            }
        }
    }

    fn key(&mut self) -> String {
        let is = |c: char| !c.is_whitespace() && !matches!(c, ':' | '=' | '{' | '[' | '}' | ']' | ',' | ';');
        self.cursor.take_while(is).to_owned()
    }

    fn include(&mut self, at: &At) -> Result<(), Stop> {
        let path = match self.cursor.peek() {
            Some('"' | '\'') => self.quoted()?,
            _ => self.cursor.take_while(|c| !c.is_whitespace() && !matches!(c, ',' | ';' | '}')).to_owned(),
        };
        if path.is_empty() {
            return Err(self.stop("the name of a file"));
        }
        if let Some(file) = self.reading.include(at, &path, self.includes) {
            read_into(file, self.scopes, self.includes + 1, self.reading);
        }
        Ok(())
    }

    fn quoted(&mut self) -> Result<String, Stop> {
        let quote = self.cursor.next().unwrap_or('"');
        let mut text = String::new();
        while let Some(letter) = self.cursor.next() {
            match letter {
                '\\' if quote == '"' => text.extend(self.cursor.next()),
                letter if letter == quote => return Ok(text),
                letter => text.push(letter),
            }
        }
        Err(self.stop(&format!("`{quote}` at the end of a text")))
    }

    fn value(&mut self) -> Result<Node, Stop> {
        self.blank(true);
        let at = self.cursor.at();
        if self.scopes.len() > DEPTH_MAX {
            self.reading.bound(&at, &format!("{DEPTH_MAX} values within each other"));
            return Err(Stop);
        }
        if !self.reading.room(&at, 1) {
            return Err(Stop);
        }
        let value = match self.cursor.peek() {
            Some('{') => {
                self.cursor.next();
                self.scopes.push(Vec::new());
                self.members()?;
                self.close("}")?;
                Value::Map(self.scopes.pop().unwrap_or_default())
            }
            Some('[') => Value::List(self.list()?),
            Some('"' | '\'') => Value::Text(self.quoted()?),
            Some('(') => {
                self.cursor.next();
                let text = self.cursor.take_while(|letter| letter != ')').trim().to_owned();
                self.close(")")?;
                Value::Text(text)
            }
            _ => {
                let is = |c: char| !c.is_whitespace() && !matches!(c, ',' | ';' | '}' | ']');
                let text = self.cursor.take_while(is);
                if text.is_empty() {
                    return Err(self.stop("a value"));
                }
                self.bare(&at, text)
            }
        };
        Ok(Node::new(at, value))
    }

    /// A word, or the value that it stands for; a hash of bcrypt begins with `$2` and stands for itself.
    fn bare(&mut self, at: &At, text: &str) -> Value {
        let Some(name) = text.strip_prefix('$').filter(|name| !name.starts_with('2')) else {
            return Value::Text(text.to_owned());
        };
        if self.reading.is_full() {
            return Value::Unresolved(name.to_owned());
        }
        let mut members = self.scopes.iter().rev().flat_map(|members| members.iter().rev());
        let found = members.find(|(key, _)| key == name).map(|(_, node)| node.clone());
        match found {
            Some(node) if self.reading.room(at, node.size()) => node.value,
            Some(_) => Value::Unresolved(name.to_owned()),
            None => {
                self.reading.unresolved(at, text);
                Value::Unresolved(name.to_owned())
            }
        }
    }

    fn list(&mut self) -> Result<Vec<Node>, Stop> {
        self.cursor.take("[");
        // A list counts as a map for the depth; nothing is set in it.
        self.scopes.push(Vec::new());
        let mut list = Vec::new();
        loop {
            self.blank(true);
            if matches!(self.cursor.peek(), None | Some(']' | '}')) {
                self.close("]")?;
                self.scopes.pop();
                return Ok(list);
            }
            list.push(self.value()?);
        }
    }

    fn close(&mut self, wanted: &str) -> Result<(), Stop> {
        if self.cursor.take(wanted) { Ok(()) } else { Err(self.stop(&format!("`{wanted}`"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broker::note::Notes, broker::rule::System, finding::Finding};

    fn parsed(files: &[(&str, &str)]) -> (Node, Vec<Finding>) {
        let files: Vec<ConfigFile> = files
            .iter()
            .map(|(path, text)| ConfigFile {
                path: (*path).into(),
                bytes: (*text).into(),
                ..ConfigFile::default()
            })
            .collect();
        let mut notes = Notes::default();
        let root = read(&files[0], &mut Reading::new(&files, &mut notes, System::Nats));
        (root, notes.finish())
    }

    #[test]
    fn members_lists_and_the_last_value() {
        let text = "port: 4222 # c\nhost = \"0.0.0.0\"; name n1 // c\ncluster { a: 1, b: 2 }\nCluster { c: 3 }\n\
                    urls = [nats://a:1, 'b'\n c]\npass: $2a$11$abc\ntext (\n one\n two\n)\nmax 8MB\n";
        let (root, found) = parsed(&[("f", text)]);
        assert_eq!(found, []);
        let all = ["port", "host", "name", "pass", "text", "max"].map(|key| root.text_of(key).unwrap());
        assert_eq!(all, ["4222", "0.0.0.0", "n1", "$2a$11$abc", "one\n two", "8MB"]);
        assert_eq!((root.text_of("cluster.a"), root.text_of("cluster.c")), (None, Some("3")), "not merged");
        assert_eq!(root.get("urls").unwrap().texts(), ["nats://a:1", "b", "c"]);
        assert_eq!((root.get("name").unwrap().at.line, root.get("name").unwrap().at.column), (2, 24));
    }

    #[test]
    fn variables_and_includes() {
        let (root, found) = parsed(&[
            ("nats.conf", "P = 1883\nmqtt { port: $P }\ninclude ./auth.conf\nx: $HOME\ninclude 'no.conf'\n"),
            ("auth.conf", "authorization { token: t }\n"),
        ]);
        assert_eq!(
            (root.text_of("mqtt.port"), root.text_of("authorization.token")),
            (Some("1883"), Some("t"))
        );
        assert!(root.get("x").unwrap().is_unresolved());
        let seen: Vec<_> = found.iter().map(|finding| (&*finding.check, finding.line())).collect();
        assert_eq!(seen, [("BROKER_VALUE_UNRESOLVED_CHECK", 4), ("BROKER_INCLUDE_MISSING_CHECK", 5)]);
    }

    #[test]
    fn what_is_too_much_is_told() {
        let doubled: String = (0..30).map(|i| format!("a{} = [$a{i}, $a{i}]\n", i + 1)).collect();
        for text in [format!("a0 = [1, 2]\n{doubled}"), format!("a = {}", "[".repeat(40))] {
            let (_, found) = parsed(&[("f", &text)]);
            assert!(found.iter().any(|finding| finding.check == "BROKER_BOUND_CHECK"), "{found:?}");
        }
    }

    #[test]
    fn mistakes_are_told_and_the_rest_counts() {
        let (root, found) = parsed(&[("f", "port: 1\n}\nx: [1\n}\ny: 2\n")]);
        assert_eq!(found.iter().map(Finding::line).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((root.text_of("port"), root.text_of("y")), (Some("1"), Some("2")));
    }
}
