use proptest::prelude::*;
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};

use super::{outgoing::Outgoing, packets, *};

fn taken(outgoing: &Outgoing) -> (BytesMut, usize) {
    let (mut bytes, mut publishes) = (BytesMut::new(), 0);
    let cx = Context::from_waker(std::task::Waker::noop());
    outgoing.take(&mut bytes, &mut publishes, &cx);
    (bytes, publishes)
}

fn sender(protocol: Protocol) -> (Sender, Arc<Outgoing>) {
    let outgoing = Arc::new(Outgoing::new(protocol));
    (Sender::new(Arc::clone(&outgoing)), outgoing)
}

#[test]
fn publishes_with_qos_1_wait_for_the_broker_and_ids_in_use_are_left_out() {
    let (sender, outgoing) = sender(Protocol::V5);
    for payload in [b"a", b"b", b"c"] {
        assert!(sender.publish("t", payload.to_vec(), true));
    }
    assert_eq!(taken(&outgoing).1, 0, "nothing before the broker has accepted us");
    outgoing.connected(2, None);
    assert_eq!(taken(&outgoing).1, 2);
    outgoing.confirmed(7);
    assert_eq!(taken(&outgoing).1, 0, "nothing of ours");
    outgoing.confirmed(1);
    let (mut bytes, _) = taken(&outgoing);
    let Ok(v5::Packet::Publish(publish)) = v5::Packet::read(&mut bytes, None) else { panic!("{bytes:?}") };
    assert_eq!((publish.pkid, publish.payload.as_ref()), (3, &b"c"[..]));
    outgoing.forget();
    outgoing.connected(2, None);
    assert_eq!(taken(&outgoing).1, 0, "a lost connection takes all with it");
}

#[test]
fn what_is_too_much_or_too_large_is_turned_away() {
    let (sender, outgoing) = sender(Protocol::V311);
    outgoing.connected(10, Some(100));
    assert!(!sender.publish("t", vec![0; 100], false));
    outgoing.connected(10, None);
    let mut count = 0;
    while sender.publish("t", vec![0; 1 << 20], false) {
        count += 1;
    }
    assert_eq!(count, 7);
    assert!((0..65_535).all(|packet| sender.ack(packet)), "every acknowledgement still fits");
}

proptest! {
    /// What we encode is what the codec reads.
    #[test]
    fn the_codec_reads_what_is_sent(
        topic in "[a-z/$]{1,200}", payload: Vec<u8>, longer in 0_usize..3, id in proptest::option::of(1_u16..),
    ) {
        let payload = [payload, vec![7; longer * 20_000]].concat();
        let mut bytes = BytesMut::new();
        packets::publish(Protocol::V311, &topic, id, &payload, &mut bytes);
        let len = bytes.len();
        prop_assert!(len <= packets::publish_len(Protocol::V311, &topic, &payload));
        let Ok(v4::Packet::Publish(read)) = v4::Packet::read(&mut bytes, usize::MAX) else { panic!("unread") };
        prop_assert_eq!((&read.topic, read.payload.as_ref(), read.pkid), (&topic, &payload[..], id.unwrap_or(0)));
        packets::publish(Protocol::V5, &topic, id, &payload, &mut bytes);
        let Ok(v5::Packet::Publish(read)) = v5::Packet::read(&mut bytes, None) else { panic!("unread") };
        prop_assert_eq!((read.topic.as_ref(), read.payload.as_ref()), (topic.as_bytes(), &payload[..]));
        prop_assert_eq!((read.pkid, bytes.len()), (id.unwrap_or(0), 0));
    }

    /// Bytes of a broker gone mad never panic, and decoding ends.
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
        for protocol in [Protocol::V311, Protocol::V5] {
            let mut bytes = BytesMut::from(bytes.as_slice());
            while let Ok(Some(_)) = packets::decode(protocol, &mut bytes, 1_000) {}
        }
    }
}
