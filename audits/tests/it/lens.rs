//! The IoT Lens review.

mod evaluators;
mod reports;
mod review_files;

/// Compares with a file under `audits/`; with `UPDATE_GOLDEN` set it is written anew.
#[track_caller]
fn check_file(path: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "`{}` is not as written; see it with UPDATE_GOLDEN=1 and git diff",
        path.display()
    );
}
