//! Device certificates: registered, not issued.

use audits::certificate::{
    load::{self, Loaded},
    parse,
    view::Cause,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Handler,
    change::{Change, answer},
    document::{Document, Kind},
    uuid,
};
use crate::aws::{Members, fault::Fault, sigv4::hex};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("RegisterCertificateWithoutCA", register),
    ("DescribeCertificate", describe),
    ("UpdateCertificate", update),
    ("DeleteCertificate", delete),
    ("ListCertificates", list),
];

const KIND: Kind = Kind::Certificate;
const PEM: &str = "certificatePem";
const STATUS: &str = "status";
/// The states that a caller may set (`device-defender-api.md`, section 8).
const SETTABLE: [&str; 3] = ["ACTIVE", "INACTIVE", "REVOKED"];

fn settable<'a>(change: &Change<'a>, member: &str) -> Result<Option<&'a str>, Fault> {
    match change.text(member) {
        Some(status) if !SETTABLE.contains(&status) => Err(Fault::invalid(format!(
            "`{member}`: found `{status}`; allowed are `{}`",
            SETTABLE.join("`, `")
        ))),
        status => Ok(status),
    }
}

/// The DER of the one certificate in the text.
fn der(pem: &str) -> Result<Vec<u8>, Fault> {
    let refused = |what: &str| Fault::new("CertificateValidationException", format!("`{PEM}`: {what}"));
    let mut loaded = load::load(PEM, pem.as_bytes()).into_iter();
    match (loaded.next(), loaded.next()) {
        (Some(Loaded::Certificate { der, .. }), None) => Ok(der),
        (Some(Loaded::Unreadable(unreadable)), _) => {
            Err(refused(&format!("cannot be read: {}", because(&unreadable.cause))))
        }
        (None, _) => Err(refused("has no certificate in PEM")),
        (Some(_), _) => Err(refused("expected one certificate in PEM and nothing else")),
    }
}

fn because(cause: &Cause) -> String {
    match cause {
        Cause::Der(fault) => fault.to_string(),
        Cause::Pem(block) => block.to_string(),
    }
}

/// Without a status it is inactive. The id is the SHA-256 of the DER, as AWS has it.
fn register(change: &mut Change<'_>) -> Result<Members, Fault> {
    let status = settable(change, STATUS)?.unwrap_or("INACTIVE");
    let der = der(change.required(PEM)?)?;
    let read = parse::Certificate::parse(&der).map_err(|fault| {
        Fault::new("CertificateValidationException", format!("`{PEM}`: cannot be read: {fault}"))
    })?;
    let id = hex(&Sha256::digest(&der));
    if change.find(KIND, &id).is_some() {
        return Err(change.taken(KIND, &id));
    }
    let mut row = Document::new(change, &[PEM]);
    row.members.insert(STATUS.into(), json!(status));
    row.members.insert("generationId".into(), json!(uuid()));
    let validity = json!({"notBefore": read.not_before(), "notAfter": read.not_after()});
    row.members.insert("validity".into(), validity);
    change.keep(KIND, &id, row)?;
    Ok(answer([("certificateArn", json!(change.arn(KIND, &id))), ("certificateId", json!(id))]))
}

fn shown(change: &Change<'_>, id: &str, row: &Document) -> Value {
    let mut shown = row.members.clone();
    shown.extend(answer([
        ("certificateId", json!(id)),
        ("certificateArn", json!(change.arn(KIND, id))),
        ("certificateMode", json!("SNI_ONLY")),
        ("ownedBy", json!(change.names.account)),
        ("customerVersion", json!(row.version)),
        ("creationDate", row.created.clone()),
        ("lastModifiedDate", row.modified.clone()),
    ]));
    Value::Object(shown)
}

fn describe(change: &mut Change<'_>) -> Result<Members, Fault> {
    let id = change.required("certificateId")?;
    Ok(answer([("certificateDescription", shown(change, id, change.document(KIND, id)?))]))
}

fn update(change: &mut Change<'_>) -> Result<Members, Fault> {
    let id = change.required("certificateId")?;
    let mut row = change.document(KIND, id)?.clone();
    let status = settable(change, "newStatus")?;
    if row.text(STATUS) != status {
        row.members.insert(STATUS.into(), json!(status));
        row.update(change, &[]);
        change.keep(KIND, id, row)?;
    }
    Ok(Members::new())
}

fn delete(change: &mut Change<'_>) -> Result<Members, Fault> {
    let id = change.required("certificateId")?;
    let row = change.document(KIND, id)?;
    if row.text(STATUS) == Some("ACTIVE") {
        let message = "the certificate is active; make it inactive first";
        return Err(Fault::new("CertificateStateException", message));
    }
    let conflict = |message: String| Err(Fault::new("DeleteConflictException", message));
    if let Some(thing) = change.state.holders.get(id).and_then(|things| things.first()) {
        return conflict(format!("the certificate is attached to thing `{thing}`; detach it first"));
    }
    let arn = change.arn(KIND, id);
    match change.state.attached.get(&arn).and_then(|policies| policies.first()) {
        Some(policy) if !change.flag("forceDelete") => {
            return conflict(format!("policy `{policy}` is attached to the certificate; detach it first"));
        }
        _ => {}
    }
    super::policy::detach_all(change, &arn);
    change.forget(KIND, id);
    Ok(Members::new())
}

/// The newest first, unless asked for the oldest first.
fn list(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let row = |(id, row): (&String, &Document)| (row.age_key(id), shown(change, id, row));
    let mut rows: Vec<_> = change.documents(KIND).map(row).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    if change.flag("ascendingOrder") {
        Ok(page.answer(rows))
    } else {
        Ok(page.answer_descending(rows.into_iter().rev()))
    }
}
