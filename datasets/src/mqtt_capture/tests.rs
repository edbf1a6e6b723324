//! See `tests/` of the crate for the captures themselves.

use super::*;

#[test]
fn what_is_no_capture_is_refused() {
    for bytes in [&b""[..], b"x", b"not a capture at all, whatever it is", &[0x0a, 0x0d, 0x0d, 0x0a]] {
        assert_eq!(decode(bytes, &mut |_| ()), Err(CaptureError::NotACapture), "{bytes:?}");
    }
}
