//! Every certificate and CRL of the corpora, whole, cut short and with bytes changed: no crash.

use audits::certificate::crl::List;
use audits::certificate::facts::Reader;
use audits::certificate::pem;

use crate::support::ders;

#[test]
fn no_byte_of_a_certificate_makes_the_reader_panic() {
    let mut reader = Reader::default();
    let (mut read, mut refused) = (0, 0);
    for set in ["x509-houseofkeys", "x509-pkits", "x509-zlint"] {
        for (name, der) in ders(set, "certs.csv.gz") {
            match reader.read(&der) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
            for cut in [0, 1, der.len() / 3, der.len() / 2, der.len() - 1] {
                assert!(reader.read(&der[..cut]).is_err(), "{set} {name} cut to {cut}");
            }
            let mut changed = der.clone();
            for place in (0..der.len()).step_by(23) {
                changed[place] ^= 0x15;
                if let Err(fault) = reader.read(&changed) {
                    assert!(usize::try_from(fault.offset).unwrap() <= der.len(), "{fault}");
                }
                changed[place] = der[place];
            }
        }
    }
    assert_eq!((read, refused), (1379, 2));
}

#[test]
fn no_byte_of_a_crl_makes_the_reader_panic() {
    for (name, der) in ders("x509-pkits", "crls.csv.gz") {
        let list = List::parse(&der).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert!(list.this_update > 0);
        let mut changed = der.clone();
        for place in 0..der.len() {
            changed[place] ^= 0x15;
            if let Ok(list) = List::parse(&changed) {
                assert!(list.entries().len() < 100);
            }
            changed[place] = der[place];
        }
        assert!(List::parse(&der[..der.len() - 1]).is_err());
    }
}

#[test]
fn bundles_come_apart_as_they_were_put_together() {
    use base64::Engine as _;
    let mut bundle = String::new();
    let ders = ders("x509-houseofkeys", "certs.csv.gz");
    for (name, der) in &ders {
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        bundle += &format!("# {name}\n-----BEGIN CERTIFICATE-----\n");
        for line in base64.as_bytes().chunks(64) {
            bundle += std::str::from_utf8(line).unwrap();
            bundle += "\n";
        }
        bundle += "-----END CERTIFICATE-----\n";
    }
    let blocks = pem::blocks(&bundle);
    assert!(pem::is_pem(bundle.as_bytes()) && !pem::is_pem(&ders[0].1));
    assert_eq!(blocks.len(), ders.len());
    for (block, (_, der)) in blocks.iter().zip(&ders) {
        assert_eq!(&block.as_ref().unwrap().der, der);
    }
}
