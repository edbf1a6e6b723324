//! Every file of the catalogue is there and whole; what is not is named.

use std::fs;

use datasets::{
    catalogue::{DataSet, SETS},
    folder::Folder,
    recording::{CAPTURES, Recording},
};

use crate::support;

#[test]
fn every_file_is_the_one_of_the_catalogue() {
    let folder = support::folder();
    for set in &SETS {
        for entry in set.files() {
            folder.verify(set, &entry).unwrap();
        }
    }
}

#[test]
fn every_capture_opens_and_plays_the_same_twice() {
    let folder = support::folder();
    for capture in &CAPTURES {
        let recording = Recording::open(&folder, capture).unwrap();
        let play = || {
            let (mut records, mut text) = (0_u64, 0_u64);
            recording.play(&mut |record| {
                records += 1;
                text = text.wrapping_mul(31).wrapping_add(format!("{record:?}").len() as u64);
            });
            (records, text)
        };
        let first = play();
        assert!(first.0 > 0 && first == play(), "{capture:?}");
        for truth in &recording.truths {
            assert!(truth.from <= truth.to && truth.parts > 0 && !truth.entities.is_empty(), "{truth:?}");
        }
    }
}

#[test]
fn a_missing_and_a_damaged_file_are_told_with_what_was_expected() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::new(home.path());
    let set = DataSet::named("nemea-siot-flows").unwrap();
    let sha256 = set.files().next().unwrap().sha256;
    let path = home.path().join("nemea-siot-flows/flows.csv.gz");
    assert_eq!(
        folder.read(set, "flows.csv.gz").unwrap_err().to_string(),
        format!("{}: is missing; expected are 40573 bytes with the SHA-256 {sha256}", path.display())
    );
    fs::create_dir(home.path().join("nemea-siot-flows")).unwrap();
    fs::write(&path, "abc").unwrap();
    assert_eq!(
        folder.read(set, "flows.csv.gz").unwrap_err().to_string(),
        format!(
            "{}: has 3 bytes with the SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad; \
             expected are 40573 bytes with {sha256}",
            path.display()
        )
    );
    let path = home.path().join("nemea-siot-flows/other.csv");
    assert_eq!(
        folder.read(set, "other.csv").unwrap_err().to_string(),
        format!("{}: cannot be read: the catalogue has no such file", path.display())
    );
}
