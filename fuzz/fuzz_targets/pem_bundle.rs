//! PEM bundles: no panic, places lie in the text and rise, and what is read is read the same when it
//! is written again.
#![no_main]

use audits::certificate::pem::{Broken, blocks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    let read = blocks(text);
    let mut written = String::new();
    let mut good = Vec::new();
    for block in &read {
        match block {
            Ok(block) => {
                assert!((1..=lines).contains(&block.line) && !block.label.contains('\n'));
                written += &format!("-----BEGIN {}-----\n", block.label);
                written += &base64(&block.der);
                written += &format!("\n-----END {}-----\n", block.label);
                good.push((block.label.as_str(), block.der.as_slice()));
            }
            Err(bad) => {
                assert!((1..=lines).contains(&bad.line), "{bad}");
                assert_ne!(bad.broken, Broken::TooMany, "{bad}");
            }
        }
    }
    // A label that ends in blanks or dashes is not what it was once the line is trimmed.
    if good.iter().any(|(label, _)| label.trim() != *label || label.contains('-')) {
        return;
    }
    let again = blocks(&written);
    let again: Vec<_> = again
        .iter()
        .map(|block| block.as_ref().expect("as written"))
        .map(|block| (block.label.as_str(), block.der.as_slice()))
        .collect();
    assert_eq!(again, good);
});

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().chain([0, 0].iter()).take(3).fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}
