//! Which operation a request is: by method and path alone.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use super::{
    fault::Fault,
    model::{Model, Operation},
};

/// A request's operation and the labels of its path, decoded.
#[derive(Debug)]
pub struct Routed {
    /// Name of the operation.
    pub name: &'static str,
    /// The operation.
    pub operation: &'static Operation,
    /// Labels of the path by their names.
    pub labels: Vec<(&'static str, String)>,
}

type Candidates = Vec<(Vec<&'static str>, &'static str, &'static Operation)>;

/// Operations by method and number of segments, those with more fixed segments first, so that
/// `/thing-groups/addThingToThingGroup` is not taken for a group of that name.
static ROUTES: LazyLock<BTreeMap<(&'static str, usize), Candidates>> = LazyLock::new(|| {
    let mut routes: BTreeMap<_, Candidates> = BTreeMap::new();
    for (name, operation) in &Model::get().operations {
        let segments: Vec<_> = operation.path.split('/').skip(1).collect();
        let key = (operation.method.as_str(), segments.len());
        routes.entry(key).or_default().push((segments, name.as_str(), operation));
    }
    for candidates in routes.values_mut() {
        candidates.sort_by_key(|(segments, name, _)| {
            (segments.iter().map(|segment| segment.starts_with('{')).collect::<Vec<_>>(), *name)
        });
    }
    routes
});

/// Finds the operation. Labels are decoded once, after the path is split.
///
/// # Errors
/// `UnknownOperationException` if there is none, `InvalidRequestException` if a label cannot be decoded.
pub fn route(method: &str, path: &str) -> Result<Routed, Fault> {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let candidates = ROUTES.iter().find(|((own, len), _)| *own == method && *len == segments.len());
    let candidates = candidates.map_or(&[][..], |(_, candidates)| candidates);
    for (template, name, operation) in candidates {
        if let Some(labels) = labels(template, &segments) {
            let decoded: Result<_, Fault> =
                labels.into_iter().map(|(label, text)| Ok((label, decode(text)?.into_owned()))).collect();
            return Ok(Routed { name, operation, labels: decoded? });
        }
    }
    Err(Fault::new("UnknownOperationException", format!("no operation is `{method}` of this path")))
}

fn labels<'p>(template: &[&'static str], segments: &[&'p str]) -> Option<Vec<(&'static str, &'p str)>> {
    let mut labels = Vec::new();
    for (part, segment) in template.iter().zip(segments) {
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(label) if !segment.is_empty() => labels.push((label, *segment)),
            None if part == segment => {}
            Some(_) | None => return None,
        }
    }
    Some(labels)
}

/// Percent-decodes; `+` stays.
///
/// # Errors
/// `InvalidRequestException` for a broken escape or text that is not UTF-8.
pub fn decode(text: &str) -> Result<Cow<'_, str>, Fault> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let decoded =
            if byte == b'%' { hex(rest.next()).zip(hex(rest.next())) } else { Some((byte >> 4, byte & 15)) };
        let (high, low) = decoded
            .ok_or_else(|| Fault::invalid("a `%` in the address is not followed by two hex digits"))?;
        bytes.push(high << 4 | low);
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Fault::invalid("the address is not UTF-8 when decoded"))?;
    Ok(Cow::Owned(text))
}

fn hex(digit: Option<u8>) -> Option<u8> {
    char::from(digit?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_a_path_of_its_own() {
        for (name, operation) in &Model::get().operations {
            let path = operation.path.replace(['{', '}'], "");
            assert_eq!(route(&operation.method, &path).unwrap().name, name, "{path}");
        }
    }

    #[test]
    fn labels_are_split_first_and_decoded_once() {
        let cases = [
            ("/things/a%2Fb", "thingName", "a/b"),
            ("/things/a%253Ab", "thingName", "a%3Ab"),
            ("/things/a+b", "thingName", "a+b"),
        ];
        for (path, label, text) in cases {
            assert_eq!(route("GET", path).unwrap().labels, [(label, text.to_owned())]);
        }
        for (method, path, kind) in [
            ("GET", "/things/a%2", "InvalidRequestException"),
            ("GET", "/things/%ff", "InvalidRequestException"),
            ("GET", "/things/", "UnknownOperationException"),
            ("PUT", "/things/a", "UnknownOperationException"),
            ("GET", "/nowhere", "UnknownOperationException"),
        ] {
            assert_eq!(route(method, path).unwrap_err().kind, kind, "{path}");
        }
    }
}
