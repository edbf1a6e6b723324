//! HOCON as far as EMQX 5 reads it (`emqx/hocon`, `docs/hocon.md`).
//!
//! - A key is a path: `a.b = 1` is `a { b = 1 }`. Maps of the same key are merged, everything else is
//!   replaced by the last; `+=` adds to a list.
//! - Values that stand beside each other on a line are joined.
//! - `include "FILE"` puts the file's members here.
//! - `${a.b}` is the value of that path of the files; what they do not hold comes from elsewhere
//!   (`${?a.b}` may be nowhere): nothing is known of it, which is told.

use super::super::{
    file::ConfigFile,
    note::At,
    tree::{Cursor, DEPTH_MAX, MEMBERS_MAX, Node, Reading, Value},
};

/// References that lead to references at most.
const REFERENCES_MAX: usize = 8;
/// Beginnings of what is no value without quotes.
const ENDS: [char; 7] = [',', '}', ']', '{', '[', '"', '#'];

/// The members of files and of those they include; what a later file sets overrides.
pub(super) fn read(files: &[&ConfigFile], reading: &mut Reading<'_, '_>) -> Node {
    let path = files.first().map(|file| file.path.clone()).unwrap_or_default();
    let mut root = Node::new(At { file: path, line: 1, column: 1 }, Value::default());
    files.iter().for_each(|file| read_into(file, &mut root, 0, reading));
    let known = root.clone();
    resolve(&mut root, &known, REFERENCES_MAX, reading);
    root
}

/// Puts a file's members into a map.
fn read_into(file: &ConfigFile, root: &mut Node, includes: usize, reading: &mut Reading<'_, '_>) {
    let text = file.text();
    let mut reader = Reader { cursor: Cursor::new(&file.path, &text), includes, reading };
    reader.blank(true);
    let braced = reader.cursor.take("{");
    loop {
        match reader.members(root, 0) {
            Ok(()) if reader.cursor.peek().is_none() => break,
            Ok(()) => {
                let end = braced && reader.cursor.peek() == Some('}');
                if !end {
                    let (at, found) = (reader.cursor.at(), reader.cursor.shown());
                    reader.reading.invalid(&at, format!("found {found} without a beginning"));
                }
                reader.cursor.next();
            }
            Err(Stop) => reader.cursor.skip_line(),
        }
    }
}

/// A mistake, which has been told.
struct Stop;

struct Reader<'t, 'r, 'n, 'f> {
    cursor: Cursor<'t>,
    includes: usize,
    reading: &'r mut Reading<'n, 'f>,
}

impl Reader<'_, '_, '_, '_> {
    fn stop(&mut self, what: &str) -> Stop {
        let found = self.cursor.shown();
        let at = self.cursor.at();
        self.reading.invalid(&at, format!("found {found}; expected {what}"));
        Stop
    }

    fn is_comment(&self) -> bool {
        self.cursor.rest.starts_with('#') || self.cursor.rest.starts_with("//")
    }

    /// Blanks and comments; ends of lines too, and commas, where they mean nothing.
    fn blank(&mut self, lines: bool) {
        while let Some(letter) = self.cursor.peek() {
            if self.is_comment() {
                self.cursor.skip_line();
            } else if (letter.is_whitespace() && (lines || letter != '\n')) || (lines && letter == ',') {
                self.cursor.next();
            } else {
                return;
            }
        }
    }

    /// Members up to `}` or the end, put into `map`.
    fn members(&mut self, map: &mut Node, depth: usize) -> Result<(), Stop> {
        loop {
            self.blank(true);
            if matches!(self.cursor.peek(), None | Some('}' | ']')) {
                return Ok(());
            }
            let at = self.cursor.at();
            if self.cursor.rest.starts_with("include ") || self.cursor.rest.starts_with("include\t") {
                self.include(&at, map)?;
                continue;
            }
            let path = self.path()?;
            self.blank(false);
            let adds = self.cursor.take("+=");
            if !adds && !self.cursor.take("=") && !self.cursor.take(":") && self.cursor.peek() != Some('{') {
                return Err(self.stop("`=`, `:` or `{` after a key"));
            }
            let value = self.value(depth)?;
            if path.len() + depth > DEPTH_MAX {
                self.reading.bound(&at, &format!("{DEPTH_MAX} values within each other"));
                return Err(Stop);
            }
            if !put(map, &path, value, adds) {
                self.reading.bound(&at, &format!("{MEMBERS_MAX} keys in a map"));
                return Err(Stop);
            }
        }
    }

    fn include(&mut self, at: &At, map: &mut Node) -> Result<(), Stop> {
        self.cursor.take_while(|letter| letter.is_ascii_alphabetic());
        self.blank(false);
        self.cursor.take("required(");
        self.cursor.take("file(");
        if self.cursor.peek() != Some('"') {
            return Err(self.stop("the name of a file between `\"`"));
        }
        let path = self.quoted()?;
        self.cursor.take_while(|letter| letter == ')' || letter == ' ');
        if let Some(file) = self.reading.include(at, &path, self.includes) {
            read_into(file, map, self.includes + 1, self.reading);
        }
        Ok(())
    }

    /// A key: words or texts, divided by dots.
    fn path(&mut self) -> Result<Vec<String>, Stop> {
        let mut parts = Vec::new();
        loop {
            let part = if self.cursor.peek() == Some('"') {
                self.quoted()?
            } else {
                let is =
                    |c: char| !c.is_whitespace() && !ENDS.contains(&c) && !matches!(c, '.' | ':' | '=' | '+');
                self.cursor.take_while(is).to_owned()
            };
            if part.is_empty() {
                return Err(self.stop("a key"));
            }
            parts.push(part);
            if !self.cursor.take(".") {
                return Ok(parts);
            }
        }
    }

    fn quoted(&mut self) -> Result<String, Stop> {
        if self.cursor.take("\"\"\"") {
            let mut text = String::new();
            while !self.cursor.rest.is_empty() {
                if self.cursor.take("\"\"\"") {
                    return Ok(text);
                }
                text.extend(self.cursor.next());
            }
            return Err(self.stop("`\"\"\"`"));
        }
        self.cursor.take("\"");
        let mut text = String::new();
        while let Some(letter) = self.cursor.peek().filter(|&letter| letter != '\n') {
            self.cursor.next();
            match letter {
                '"' => return Ok(text),
                '\\' => text.extend(self.cursor.next()),
                letter => text.push(letter),
            }
        }
        Err(self.stop("`\"` at the end of a text"))
    }

    /// All values that stand beside each other, as one.
    fn value(&mut self, depth: usize) -> Result<Node, Stop> {
        self.blank(true);
        let at = self.cursor.at();
        if depth > DEPTH_MAX {
            self.reading.bound(&at, &format!("{DEPTH_MAX} values within each other"));
            return Err(Stop);
        }
        if !self.reading.room(&at, 1) {
            return Err(Stop);
        }
        let mut whole: Option<Node> = None;
        loop {
            let space = self.cursor.take_while(|letter| letter.is_whitespace() && letter != '\n');
            let here = self.cursor.at();
            let part = match self.cursor.peek() {
                None | Some('\n' | ',' | '}' | ']') => break,
                _ if self.is_comment() => break,
                Some('{') => {
                    self.cursor.next();
                    let mut map = Node::new(here, Value::default());
                    self.members(&mut map, depth + 1)?;
                    self.close("}")?;
                    map
                }
                Some('[') => Node::new(here, Value::List(self.list(depth)?)),
                Some('"') => Node::new(here, Value::Text(self.quoted()?)),
                Some('$') if self.cursor.rest.starts_with("${") => self.reference(here)?,
                Some(_) => {
                    let is = |c: char| !c.is_whitespace() && !ENDS.contains(&c);
                    let text = self.cursor.take_while(is).to_owned();
                    Node::new(here, Value::Text(text))
                }
            };
            whole = Some(match whole {
                None => part,
                Some(before) => join(before, part, space),
            });
        }
        whole.ok_or_else(|| self.stop("a value"))
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Stop> {
        self.cursor.take("[");
        let mut list = Vec::new();
        loop {
            self.blank(true);
            if matches!(self.cursor.peek(), None | Some(']' | '}')) {
                self.close("]")?;
                return Ok(list);
            }
            list.push(self.value(depth + 1)?);
        }
    }

    fn reference(&mut self, at: At) -> Result<Node, Stop> {
        self.cursor.take("${");
        let name = self.cursor.take_while(|letter| letter != '}' && letter != '\n').to_owned();
        self.close("}")?;
        Ok(Node::new(at, Value::Unresolved(name)))
    }

    fn close(&mut self, wanted: &str) -> Result<(), Stop> {
        if self.cursor.take(wanted) { Ok(()) } else { Err(self.stop(&format!("`{wanted}`"))) }
    }
}

/// Two values beside each other: texts are joined, lists too, maps merged; of others the last counts.
fn join(before: Node, after: Node, space: &str) -> Node {
    let value = match (before.value, after.value) {
        (Value::Text(a), Value::Text(b)) => Value::Text(format!("{a}{space}{b}")),
        (Value::List(mut a), Value::List(b)) => {
            a.extend(b);
            Value::List(a)
        }
        (Value::Map(a), Value::Map(b)) => {
            let mut map = Node::new(before.at.clone(), Value::Map(a));
            for (key, node) in b {
                put(&mut map, &[key], node, false);
            }
            return map;
        }
        (Value::Unresolved(name), _) | (_, Value::Unresolved(name)) => Value::Unresolved(name),
        (_, value) => value,
    };
    Node::new(before.at, value)
}

/// Sets the value of a path: maps are merged, all else is replaced. False if a map is full.
fn put(map: &mut Node, path: &[String], value: Node, adds: bool) -> bool {
    let Some((key, rest)) = path.split_first() else { return true };
    if !map.is_map() {
        map.value = Value::default();
    }
    let Value::Map(members) = &mut map.value else { return false };
    let found = members.iter().position(|(name, _)| name == key);
    if found.is_none() && members.len() >= MEMBERS_MAX {
        return false;
    }
    let index = found.unwrap_or_else(|| {
        members.push((key.clone(), Node::new(value.at.clone(), Value::default())));
        members.len() - 1
    });
    let Some((_, old)) = members.get_mut(index) else { return false };
    if !rest.is_empty() {
        return put(old, rest, value, adds);
    }
    match (&mut old.value, value.value) {
        (Value::Map(_), Value::Map(new)) if found.is_some() => {
            return new.into_iter().all(|(key, node)| put(old, &[key], node, false));
        }
        (Value::List(list), Value::List(new)) if adds => list.extend(new),
        (Value::List(list), new) if adds => list.push(Node::new(value.at, new)),
        (_, new) => *old = Node::new(value.at, new),
    }
    true
}

/// Puts values in the place of references to them.
fn resolve(node: &mut Node, root: &Node, left: usize, reading: &mut Reading<'_, '_>) {
    match &mut node.value {
        Value::Text(_) => {}
        Value::List(list) => list.iter_mut().for_each(|node| resolve(node, root, left, reading)),
        Value::Map(members) => members.iter_mut().for_each(|(_, node)| resolve(node, root, left, reading)),
        Value::Unresolved(_) if reading.is_full() => {}
        Value::Unresolved(name) => {
            let Some(target) = root.get(name.trim_start_matches('?')) else {
                let name = format!("${{{name}}}");
                return reading.unresolved(&node.at, &name);
            };
            if left == 0 {
                let what = format!("{REFERENCES_MAX} references that lead to references");
                reading.bound(&node.at, &what);
            } else if reading.room(&node.at, target.size()) {
                node.value = target.value.clone();
                resolve(node, root, left - 1, reading);
            }
        }
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
        let root = read(&[&files[0]], &mut Reading::new(&files, &mut notes, System::Emqx));
        (root, notes.finish())
    }

    #[test]
    fn paths_merge_and_the_last_value_counts() {
        let text = "a.b = 1\na { c: two words , b = 3 } # c\na.l = [1, 2\n 3] // c\na.l += 4\n\"x.y\".z = \"q \\\" \"\n\
                    u = \"http://h:1/p\"\nv = 0.0.0.0:1883\nm = {k: 1} {n: 2}\nn = {} \n t = \"\"\"x\ny\"\"\"\n";
        let (root, found) = parsed(&[("f", text)]);
        assert_eq!(found, []);
        assert_eq!((root.text_of("a.b"), root.text_of("a.c")), (Some("3"), Some("two words")));
        assert_eq!(root.get("a.l").unwrap().texts(), ["1", "2", "3", "4"]);
        assert_eq!(root.member("x.y").unwrap().text_of("z"), Some("q \" "));
        assert_eq!((root.text_of("u"), root.text_of("v")), (Some("http://h:1/p"), Some("0.0.0.0:1883")));
        assert_eq!(
            (root.text_of("m.k"), root.text_of("m.n"), root.text_of("t")),
            (Some("1"), Some("2"), Some("x\ny"))
        );
        let at = &root.get("a.b").unwrap().at;
        assert_eq!((at.line, at.column), (2, 24));
    }

    #[test]
    fn includes_and_references() {
        let (root, found) = parsed(&[
            ("e/emqx.conf", "include \"b.conf\"\nx = ${y.z}\nw = ${HOME}\ninclude \"no.conf\"\n"),
            ("e/b.conf", "y.z = 5\n"),
        ]);
        assert_eq!(root.text_of("x"), Some("5"));
        assert!(root.get("w").unwrap().is_unresolved());
        let seen: Vec<_> = found.iter().map(|finding| (&*finding.check, finding.line())).collect();
        assert_eq!(seen, [("BROKER_VALUE_UNRESOLVED_CHECK", 3), ("BROKER_INCLUDE_MISSING_CHECK", 4)]);
    }

    #[test]
    fn what_is_too_much_is_told() {
        let doubled: String = (0..30).map(|i| format!("a{} = [${{a{i}}}, ${{a{i}}}]\n", i + 1)).collect();
        let deep = format!("a = {}", "[".repeat(40));
        let round = "a = ${b}\nb = ${a}\n";
        for text in [format!("a0 = [1, 2]\n{doubled}").as_str(), deep.as_str(), round] {
            let (_, found) = parsed(&[("f", text)]);
            assert!(found.iter().any(|finding| finding.check == "BROKER_BOUND_CHECK"), "{found:?}");
        }
    }

    #[test]
    fn mistakes_are_told_and_the_rest_counts() {
        let (root, found) = parsed(&[("f", "a\nb = 1\n}\nc = \"x\nd = 2\n")]);
        let lines: Vec<usize> = found.iter().map(Finding::line).collect();
        assert_eq!(lines, [1, 3, 4]);
        assert_eq!((root.text_of("b"), root.text_of("d")), (Some("1"), Some("2")));
    }
}
