//! Certificates of things.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Handler,
    change::Change,
    document::Kind,
    state::{Name, ThingRow},
    thing,
};
use crate::aws::{Members, fault::Fault};

pub(super) const HANDLERS: &[(&str, Handler)] = &[
    ("AttachThingPrincipal", attach),
    ("DetachThingPrincipal", detach),
    ("ListThingPrincipals", of_thing),
    ("ListThingPrincipalsV2", of_thing_v2),
    ("ListPrincipalThings", things),
    ("ListPrincipalThingsV2", things_v2),
];

/// Certificates of a thing at most, and things of a certificate: bounds the rows.
const EACH_MAX: usize = 1000;
const EXCLUSIVE: &str = "EXCLUSIVE_THING";
const SHARED: &str = "NON_EXCLUSIVE_THING";

/// The certificate that a request names by its ARN.
pub(super) fn certificate<'a>(change: &Change<'a>, member: &str) -> Result<&'a str, Fault> {
    let arn = change.required(member)?;
    let id = change.names.name_in(arn, Kind::Certificate.name()).ok_or_else(|| {
        let form = change.arn(Kind::Certificate, "ID");
        Fault::invalid(format!(
            "`{member}`: found `{arn}`; expected the ARN of a certificate, such as `{form}`"
        ))
    })?;
    change.document(Kind::Certificate, id).map(|_| id)
}

fn thing<'a>(change: &'a Change<'_>) -> Result<(&'a Name, &'a ThingRow), Fault> {
    let name = change.required("thingName")?;
    change.state.things.get_key_value(name).ok_or_else(|| Fault::missing("thing", name))
}

fn holders<'a>(change: &'a Change<'_>, id: &str) -> impl Iterator<Item = &'a Name> {
    change.state.holders.get(id).into_iter().flatten()
}

/// A certificate that is exclusive to a thing is marked so at the thing.
fn kind_of(row: &ThingRow, id: &str) -> &'static str {
    let exclusive = row.principals.iter().any(|(own, exclusive)| **own == *id && *exclusive);
    if exclusive { EXCLUSIVE } else { SHARED }
}

fn attach(change: &mut Change<'_>) -> Result<Members, Fault> {
    let id = certificate(change, "principal")?;
    let (name, row) = thing(change)?;
    let (name, mut row) = (Name::clone(name), row.clone());
    let exclusive = change.text("thingPrincipalType") == Some(EXCLUSIVE);
    if row.principals.iter().any(|(own, kind)| **own == *id && *kind == exclusive) {
        return Ok(Members::new());
    }
    let others: Vec<&Name> = holders(change, id).filter(|other| **other != name).collect();
    let taken =
        |other: &Name| change.state.things.get(other).is_some_and(|row| kind_of(row, id) == EXCLUSIVE);
    if let Some(other) = others.iter().find(|other| exclusive || taken(other)) {
        return Err(Fault::invalid(format!(
            "the certificate is attached to thing `{other}`, and one of both is exclusive"
        )));
    }
    if others.len() >= EACH_MAX || row.principals.len() >= EACH_MAX {
        return Err(Fault::invalid(format!(
            "a thing has up to {EACH_MAX} certificates and a certificate as many things"
        )));
    }
    let mut principals = row.principals.into_vec();
    principals.retain(|(own, _)| **own != *id);
    principals.push((id.into(), exclusive));
    principals.sort();
    row.principals = principals.into();
    change.state.holders.entry(id.to_owned()).or_default().insert(Name::clone(&name));
    thing::keep(change, &name, row, [])?;
    Ok(Members::new())
}

fn detach(change: &mut Change<'_>) -> Result<Members, Fault> {
    let id = certificate(change, "principal")?;
    let (name, row) = thing(change)?;
    let (name, mut row) = (Name::clone(name), row.clone());
    if !row.principals.iter().any(|(own, _)| **own == *id) {
        return Err(Fault::missing("certificate of this thing", id));
    }
    row.principals = row.principals.iter().filter(|(own, _)| **own != *id).cloned().collect();
    if let Some(things) = change.state.holders.get_mut(id) {
        things.remove(&name);
        if things.is_empty() {
            change.state.holders.remove(id);
        }
    }
    thing::keep(change, &name, row, [])?;
    Ok(Members::new())
}

fn of_thing(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let (_, row) = thing(change)?;
    Ok(page.answer(row.principals.iter().map(|(id, _)| (id, json!(change.arn(Kind::Certificate, id))))))
}

/// Whether the request wants certificates or things of that type.
fn wanted(change: &Change<'_>, kind: &str) -> bool {
    change.text("thingPrincipalType").is_none_or(|wanted| wanted == kind)
}

fn of_thing_v2(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let (_, row) = thing(change)?;
    let rows = row.principals.iter().map(|(id, _)| (id, kind_of(row, id)));
    Ok(page.answer(rows.filter(|(_, kind)| wanted(change, kind)).map(|(id, kind)| {
        (id, json!({"principal": change.arn(Kind::Certificate, id), "thingPrincipalType": kind}))
    })))
}

fn things(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let id = certificate(change, "principal")?;
    Ok(page.answer(holders(change, id).map(|name| (Name::clone(name), json!(&**name)))))
}

fn things_v2(change: &mut Change<'_>) -> Result<Members, Fault> {
    let page = change.page()?;
    let id = certificate(change, "principal")?;
    let rows: BTreeSet<(Name, &str)> = holders(change, id)
        .filter_map(|name| Some((Name::clone(name), kind_of(change.state.things.get(name)?, id))))
        .filter(|(_, kind)| wanted(change, kind))
        .collect();
    Ok(page.answer(rows.into_iter().map(|(name, kind)| {
        let row: Value = json!({"thingName": &*name, "thingPrincipalType": kind});
        (name, row)
    })))
}
