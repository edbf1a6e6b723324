//! The decoders against the slow reference, and against anything at all.

use std::cell::RefCell;

use fleet::report::{CustomValue, JsonDecoder, ReportBuf, decode_cbor, decode_json, fuzz_cbor, fuzz_json};
use proptest::prelude::*;

use crate::{
    corpus::{ALL, CBOR_HEX, hex},
    document::Document,
    reference::{Form, read},
};

/// Pieces that make a report odd, valid or not.
const PIECES: [&str; 34] = [
    "null",
    "true",
    "0",
    "1",
    "-1",
    "65535",
    "65536",
    "1.0",
    "1e2",
    "1.5",
    "18446744073709551615",
    "18446744073709551616",
    "1e-1",
    "-0",
    "\"\"",
    "\"22\"",
    "\"x\"",
    "\"1.0\"",
    "\"2.0\"",
    "\"10.0.0.1:80\"",
    "\"[::1]:80\"",
    "\"::ffff:1.2.3.4\"",
    "\"\\u0031.0\"",
    "[]",
    "{}",
    "[null]",
    "[{}]",
    "[1,2]",
    "[{\"port\":0}]",
    "[{\"number\":1}]",
    "[{\"ip_list\":[\"::1\"]}]",
    "{\"total\":3}",
    "{\"report_id\":5,\"version\":\"1.0\"}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
];

const NAMES: [&str; 14] = [
    "header",
    "hed",
    "metrics",
    "met",
    "total",
    "t",
    "port",
    "pt",
    "remote_addr",
    "custom_metrics",
    "number",
    "unknown",
    "li",
    "rid",
];

/// Changes one place of the tree, in a way that `how` chooses.
fn change(document: &mut Document, place: usize, how: usize, piece: usize) {
    let nodes = document.nodes();
    let Some(node) = document.node_mut(place % nodes) else { return };
    let fresh = Document::parse(PIECES[piece % PIECES.len()].as_bytes()).unwrap();
    let name = NAMES[piece % NAMES.len()];
    match (how % 6, node) {
        (0 | 1, node) => *node = fresh,
        (2, Document::Object(members)) if !members.is_empty() => {
            let at = piece % members.len();
            members[at].0 = name.into();
        }
        (3, Document::Object(members)) if !members.is_empty() => {
            members.remove(piece % members.len());
        }
        (4, Document::Object(members)) => members.push((name.into(), fresh)),
        (5, Document::Object(members)) if !members.is_empty() => {
            members.push(members[piece % members.len()].clone())
        }
        (_, Document::List(items)) => items.push(fresh),
        _ => {}
    }
}

fn changed() -> impl Strategy<Value = Document> {
    let changes = prop::collection::vec((any::<usize>(), any::<usize>(), any::<usize>()), 0..5);
    (0..ALL.len(), changes).prop_map(|(base, changes)| {
        let mut document = Document::parse(ALL[base].as_bytes()).unwrap();
        for (place, how, piece) in changes {
            change(&mut document, place, how, piece);
        }
        document
    })
}

/// Takes over the reference's doubles where they are next to ours: `serde_json` reads a
/// double quickly and may miss the nearest one by a unit.
fn snap(out: &mut ReportBuf, expected: &ReportBuf) {
    let near = |ours: &mut f64, theirs: f64| {
        if (*ours - theirs).abs() <= theirs.abs() * 4e-16 {
            *ours = theirs;
        }
    };
    out.numbers.iter_mut().zip(&expected.numbers).for_each(|(ours, &theirs)| near(ours, theirs));
    for (ours, theirs) in out.custom.iter_mut().zip(&expected.custom) {
        if let (CustomValue::Number(ours), CustomValue::Number(theirs)) = (&mut ours.value, &theirs.value) {
            near(ours, *theirs);
        }
    }
}

thread_local! {
    /// One that has seen all reports of the thread's cases before.
    static DECODER: RefCell<JsonDecoder> = RefCell::default();
}

/// Decoders that have seen other reports, and this one, say the same to the letter.
fn check_decoder(bytes: &[u8], base: &str) {
    let mut fresh = JsonDecoder::default();
    fresh.decode(base.as_bytes(), &mut ReportBuf::default()).unwrap();
    let mut expected = ReportBuf::default();
    let verdict = decode_json(bytes, &mut expected);
    for _ in 0..2 {
        let mut out = ReportBuf::default();
        assert_eq!(fresh.decode(bytes, &mut out), verdict);
        assert_eq!(out, expected);
        let result = DECODER.with_borrow_mut(|decoder| decoder.decode(bytes, &mut out));
        assert_eq!(result, verdict);
        assert_eq!(out, expected);
    }
}

/// Both agree on whether the report is accepted, and on what it says.
fn check_json(bytes: &[u8]) {
    let mut out = ReportBuf::default();
    let result = decode_json(bytes, &mut out);
    let document = serde_json::from_slice::<Document>(bytes);
    if document.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range")) {
        // The tree has no place for such a number, though a member that is ignored may hold one.
        return;
    }
    let expected = document.ok().and_then(|document| read(&document, Form::Json));
    match (&result, expected) {
        (Ok(()), Some(expected)) => {
            snap(&mut out, &expected);
            assert_eq!(out, expected);
        }
        (Err(_), None) => assert_eq!(out, ReportBuf::default()),
        (_, expected) => panic!("{}\n{result:?}\n{expected:?}", String::from_utf8_lossy(bytes)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_is_read_as_the_reference_reads_it(document in changed()) {
        let text = document.to_json();
        check_json(text.as_bytes());
        ALL.iter().for_each(|base| check_decoder(text.as_bytes(), base));
    }

    #[test]
    fn cbor_is_read_as_the_reference_reads_it(document in changed(), forms: u64) {
        let mut out = ReportBuf::default();
        let result = decode_cbor(&document.to_cbor(forms), &mut out);
        match (&result, read(&document, Form::Cbor)) {
            (Ok(()), Some(expected)) => prop_assert_eq!(&out, &expected),
            (Err(_), None) => prop_assert_eq!(&out, &ReportBuf::default()),
            (_, expected) => prop_assert!(false, "{:?}\n{:?}", result, expected),
        }
    }

    #[test]
    fn cut_and_spliced_json_is_read_as_the_reference_reads_it(
        base in 0..ALL.len(), at: prop::sample::Index, cut in 0_usize..4, piece in 0..PIECES.len() * 2
    ) {
        let mut text = ALL[base].as_bytes().to_vec();
        let at = at.index(text.len());
        let piece = PIECES.get(piece).map_or(&b",:{}[]\"\\\x00 \xff"[piece % 11..][..1], |piece| piece.as_bytes());
        text.splice(at..text.len().min(at + cut), piece.iter().copied());
        check_json(&text);
        check_decoder(&text, ALL[base]);
    }

    #[test]
    fn changed_bytes_of_json_are_read_as_the_reference_reads_them(
        base in 0..ALL.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut text = ALL[base].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        check_json(&text);
        check_decoder(&text, ALL[base]);
    }

    #[test]
    fn changed_and_cut_bytes_of_cbor_never_panic(
        base in 0..ALL.len(), forms: u64,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), keep: prop::sample::Index
    ) {
        let mut bytes = Document::parse(ALL[base].as_bytes()).unwrap().to_cbor(forms);
        fuzz_cbor(&bytes[..keep.index(bytes.len())]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fuzz_cbor(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_json(&bytes);
        fuzz_cbor(&bytes);
    }
}

#[test]
fn a_report_cut_anywhere_is_refused() {
    for text in ALL {
        for end in 0..text.len() {
            let mut out = ReportBuf::default();
            assert!(decode_json(&text.as_bytes()[..end], &mut out).is_err(), "{}", &text[..end]);
        }
    }
    let bytes = hex(CBOR_HEX);
    for end in 0..bytes.len() {
        let error = decode_cbor(&bytes[..end], &mut ReportBuf::default()).unwrap_err();
        assert_eq!(error.reason, "truncated", "{end}");
    }
}

/// The reference itself accepts the corpus, so that the comparison is not one of refusals only.
#[test]
fn the_corpus_is_accepted_in_both_encodings() {
    let mut out = ReportBuf::default();
    for text in ALL {
        decode_json(text.as_bytes(), &mut out).unwrap();
        let document = Document::parse(text.as_bytes()).unwrap();
        for forms in [0, u64::MAX, 0x5555_5555_5555_5555] {
            let mut again = ReportBuf::default();
            decode_cbor(&document.to_cbor(forms), &mut again).unwrap();
            assert_eq!(again, out, "{text}");
        }
    }
}
