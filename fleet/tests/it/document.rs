//! A plain tree that keeps what a map would lose: the order of members and those given twice.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    Null,
    Bool(bool),
    Whole(u64),
    Double(f64),
    Text(String),
    List(Vec<Document>),
    Object(Vec<(String, Document)>),
}

struct Builder;

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder)
    }
}

impl<'de> Visitor<'de> for Builder {
    type Value = Document;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Document, E> {
        Ok(Document::Bool(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Document, E> {
        Ok(Document::Whole(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Document, E> {
        Ok(Document::Double(value as f64))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Document, E> {
        Ok(Document::Double(value))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Document, E> {
        Ok(Document::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Document::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Document, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Document::Object(object))
    }
}

impl Document {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Every value in the tree, this one first.
    pub(crate) fn nodes(&self) -> usize {
        1 + match self {
            Self::List(items) => items.iter().map(Self::nodes).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.nodes()).sum(),
            _ => 0,
        }
    }

    /// The value with the number `index` in the order of the text.
    pub(crate) fn node_mut(&mut self, index: usize) -> Option<&mut Self> {
        fn find<'a>(node: &'a mut Document, left: &mut usize) -> Option<&'a mut Document> {
            if *left == 0 {
                return Some(node);
            }
            *left -= 1;
            match node {
                Document::List(items) => items.iter_mut().find_map(|item| find(item, left)),
                Document::Object(members) => members.iter_mut().find_map(|(_, value)| find(value, left)),
                _ => None,
            }
        }
        find(self, &mut { index })
    }

    /// How many values lie inside one another at most.
    pub(crate) fn levels(&self) -> u32 {
        1 + match self {
            Self::List(items) => items.iter().map(Self::levels).max().unwrap_or(0),
            Self::Object(members) => members.iter().map(|(_, value)| value.levels()).max().unwrap_or(0),
            _ => 0,
        }
    }

    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Double(number) => format!("{number:e}"),
            Self::Text(text) => serde_json::to_string(text).unwrap(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_json).collect();
                format!("[{}]", items.join(" , "))
            }
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| {
                    format!("{}: {}", serde_json::to_string(name).unwrap(), value.to_json())
                };
                format!("{{{}\n}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }

    /// Writes CBOR with another implementation than ours. Each bit of `forms`, used in a
    /// circle, says whether the next list, object or text is of indefinite length.
    pub(crate) fn to_cbor(&self, forms: u64) -> Vec<u8> {
        let mut encoder = minicbor::Encoder::new(Vec::new());
        self.write_cbor(&mut encoder, &mut { forms });
        encoder.into_writer()
    }

    fn write_cbor(&self, out: &mut minicbor::Encoder<Vec<u8>>, forms: &mut u64) {
        *forms = forms.rotate_right(1);
        let indefinite = *forms & 1 == 1;
        match self {
            Self::Null if indefinite => done(out.undefined()),
            Self::Null => done(out.null()),
            Self::Bool(value) => done(out.bool(*value)),
            Self::Whole(number) => done(out.u64(*number)),
            Self::Double(number) if f64::from(*number as f32) == *number => done(out.f32(*number as f32)),
            Self::Double(number) => done(out.f64(*number)),
            Self::Text(text) => write_text(out, text, indefinite),
            Self::List(items) => {
                done(if indefinite { out.begin_array() } else { out.array(items.len() as u64) });
                items.iter().for_each(|item| item.write_cbor(out, forms));
                if indefinite {
                    done(out.end());
                }
            }
            Self::Object(members) => {
                done(if indefinite { out.begin_map() } else { out.map(members.len() as u64) });
                for (name, value) in members {
                    *forms = forms.rotate_right(1);
                    write_text(out, name, *forms & 1 == 1);
                    value.write_cbor(out, forms);
                }
                if indefinite {
                    done(out.end());
                }
            }
        }
    }
}

type Written<'a> =
    Result<&'a mut minicbor::Encoder<Vec<u8>>, minicbor::encode::Error<std::convert::Infallible>>;

fn done(written: Written<'_>) {
    written.unwrap();
}

fn write_text(out: &mut minicbor::Encoder<Vec<u8>>, text: &str, indefinite: bool) {
    if !indefinite {
        return done(out.str(text));
    }
    let middle = (0..=text.len() / 2).rev().find(|&at| text.is_char_boundary(at)).unwrap();
    done(out.begin_str());
    done(out.str(&text[..middle]));
    done(out.str(&text[middle..]));
    done(out.end());
}
