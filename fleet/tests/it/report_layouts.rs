//! A decoder that has seen other reports says what one that has not says: the same content, the same
//! errors. And it knows reports again that are laid out as earlier ones.

use fleet::report::{JsonDecoder, LIST_ITEMS_MAX, ReportBuf, decode_json};

use crate::corpus::{ALL, LONG};

/// As agents mostly write, without white space.
fn report(tcp: &[u16], connections: usize, id: u64) -> String {
    let ports: Vec<String> =
        tcp.iter().map(|port| format!(r#"{{"interface":"eth0","port":{port}}}"#)).collect();
    let peers: Vec<String> = (0..connections)
        .map(|n| {
            format!(
                r#"{{"local_interface":"eth0","local_port":{},"remote_addr":"10.{}.{}.{}:8883"}}"#,
                40_000 + n,
                n % 256,
                n * 7 % 256,
                n * 31 % 256
            )
        })
        .collect();
    format!(
        r#"{{"header":{{"report_id":{id},"version":"1.0"}},"metrics":{{"listening_tcp_ports":{{"ports":[{}],"total":{}}},"listening_udp_ports":{{"ports":[{{"interface":"eth0","port":68}}]}},"network_stats":{{"bytes_in":{},"bytes_out":0,"packets_in":18446744073709551615,"packets_out":1.5e3}},"tcp_connections":{{"established_connections":{{"connections":[{}],"total":{connections}}}}}}}}}"#,
        ports.join(","),
        tcp.len(),
        id % 1_000_003,
        peers.join(","),
    )
}

/// Both say the same.
fn agree(decoder: &mut JsonDecoder, bytes: &[u8]) {
    let (mut out, mut expected) = (ReportBuf::default(), ReportBuf::default());
    let result = decoder.decode(bytes, &mut out);
    assert_eq!(result, decode_json(bytes, &mut expected), "{}", String::from_utf8_lossy(bytes));
    assert_eq!(out, expected, "{}", String::from_utf8_lossy(bytes));
}

/// A decoder that knows the corpus and the report above.
fn taught() -> JsonDecoder {
    let mut decoder = JsonDecoder::default();
    let own = report(&[22, 8883], 3, 1_700_000_000_000);
    for text in ALL.into_iter().chain([own.as_str()]) {
        let before = decoder.recognized();
        agree(&mut decoder, text.as_bytes());
        assert_eq!(decoder.recognized(), before, "seen for the first time: {text}");
    }
    decoder
}

#[test]
fn reports_of_other_values_and_other_lengths_are_known_again() {
    let mut decoder = taught();
    let ports: Vec<u16> = (1..=300).collect();
    for (n, id) in [1, 2, 3, 5, 50, 300].into_iter().zip([
        1,
        9,
        99_999_999,
        100_000_000,
        9_999_999_999_999_999,
        u64::MAX,
    ]) {
        let before = decoder.recognized();
        agree(&mut decoder, report(&ports[..n], n, 1 + id / 31).as_bytes());
        assert_eq!(decoder.recognized(), before + 1, "{n} items, report {id}");
    }
    // Not everything is: an item without a port counts for the length alone.
    let odd = report(&[22], 1, 5).replace(r#","port":22"#, "");
    let before = decoder.recognized();
    (0..3).for_each(|_| agree(&mut decoder, odd.as_bytes()));
    assert_eq!(decoder.recognized(), before);
}

#[test]
fn any_byte_changed_left_out_or_doubled_is_judged_alike() {
    let mut decoder = taught();
    for text in [report(&[22, 8883], 2, 1_700_000_000_123), LONG.to_owned()] {
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            for byte in *b"\"0159.:,{}[]n- \\\x00e\xc3" {
                let mut changed = bytes.to_vec();
                changed[at] = byte;
                agree(&mut decoder, &changed);
            }
            agree(&mut decoder, &[&bytes[..at], &bytes[at + 1..]].concat());
            agree(&mut decoder, &[&bytes[..=at], &bytes[at..]].concat());
            agree(&mut decoder, &bytes[..at]);
        }
    }
}

#[test]
fn any_piece_moved_elsewhere_is_judged_alike() {
    let mut decoder = taught();
    let text = report(&[22, 8883], 2, 1_700_000_000_123);
    // Between commas lie whole members and items: they come twice, or not at all, or in another order.
    let pieces: Vec<&str> = text.split(',').collect();
    for from in 0..pieces.len() {
        for to in 0..pieces.len() {
            for removed in [false, true] {
                let mut moved = pieces.clone();
                moved.insert(to, pieces[from]);
                if removed {
                    moved.remove(from + usize::from(to <= from));
                }
                agree(&mut decoder, moved.join(",").as_bytes());
            }
        }
    }
}

#[test]
fn limits_of_lists_hold_for_layouts_that_are_known() {
    let mut decoder = taught();
    for len in [LIST_ITEMS_MAX - 1, LIST_ITEMS_MAX, LIST_ITEMS_MAX + 1] {
        let ports: Vec<u16> = (0..len).map(|port| 1 + u16::try_from(port % 65_535).unwrap()).collect();
        // Short names, since a report has its limit too.
        let text = report(&ports, 1, 7).replace("\"interface\":\"eth0\",", "");
        (0..3).for_each(|_| agree(&mut decoder, text.as_bytes()));
        // Nulls count for the limit as items do.
        let nulls = text.replacen("},{", "},null,{", len / 2);
        (0..3).for_each(|_| agree(&mut decoder, nulls.as_bytes()));
    }
}

#[test]
fn reports_over_the_size_limit_are_refused_alike() {
    let mut decoder = taught();
    let text = report(&[22], 1, 7);
    for len in [128 * 1024, 128 * 1024 + 1] {
        let padded = format!("{text}{}", " ".repeat(len - text.len()));
        (0..3).for_each(|_| agree(&mut decoder, padded.as_bytes()));
    }
}
