//! What the rules about TLS of several brokers share.

/// Parts of cipher names that are broken or give no secrecy (RFC 7465, RFC 9325 section 4.1).
const WEAK: [&str; 9] = ["NULL", "EXPORT", "EXP-", "RC4", "DES", "MD5", "ADH", "AECDH", "ANON"];

/// The ciphers of a list that are weak.
pub(super) fn weak_ciphers<'t>(names: impl IntoIterator<Item = &'t str>) -> Vec<&'t str> {
    let named = names.into_iter().filter(|name| !name.starts_with(['!', '-']));
    named.filter(|name| WEAK.iter().any(|part| name.to_ascii_uppercase().contains(part))).collect()
}

/// Whether the name of a version is below TLS 1.2 (RFC 8996).
pub(super) fn is_old(version: &str) -> bool {
    let version = version.trim().trim_matches(['\'', '"']).to_ascii_lowercase();
    ["tlsv1", "tlsv1.0", "tlsv1.1", "sslv2", "sslv3", "1.0", "1.1", "tls1.0", "tls1.1"]
        .contains(&version.as_str())
}
