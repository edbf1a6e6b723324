//! Resources as AWS IoT writes them: `{resourceType, resourceIdentifier, additionalInfo}`, where the
//! identifiers of policies and issuers lie in an object of their own.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeStruct as _};
use serde_json::{Map, Value};

use super::ResourceRef;

/// Types whose identifier is one member that holds an object (`ResourceIdentifier` of the AWS model).
const NESTED: [(&str, &str); 2] =
    [("IOT_POLICY", "policyVersionIdentifier"), ("ISSUER_CERTIFICATE", "issuerCertificateIdentifier")];

/// Members of an identifier at most; AWS has three.
const MEMBERS_MAX: usize = 64;

type Members = Vec<(Cow<'static, str>, String)>;

impl ResourceRef {
    /// The identifier as JSON, as a suppression takes it.
    #[must_use]
    pub fn identifier_json(&self) -> Value {
        let members = object(&self.identifier);
        match NESTED.iter().find(|(name, _)| *name == self.resource_type) {
            Some((_, member)) => Value::Object(Map::from_iter([((*member).to_owned(), members)])),
            None => members,
        }
    }

    /// Members of an identifier that is written as JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn identifier_members(json: &Value) -> Result<Members, String> {
        let members = members(json)?;
        if members.is_empty() {
            return Err("found no member; expected one such as `deviceCertificateId`".into());
        }
        Ok(members)
    }
}

fn object(members: &Members) -> Value {
    Value::Object(
        members
            .iter()
            .map(|(name, value)| (name.clone().into_owned(), Value::String(value.clone())))
            .collect(),
    )
}

fn members(json: &Value) -> Result<Members, String> {
    let Value::Object(map) = json else { return Err("expected an object of names and strings".into()) };
    let mut members = Members::new();
    for (name, value) in map {
        match value {
            Value::String(text) => members.push((name.clone().into(), text.clone())),
            Value::Object(inner) if NESTED.iter().any(|(_, member)| member == name) => {
                for (name, value) in inner {
                    let text = value.as_str().ok_or_else(|| format!("`{name}` is no string"))?;
                    members.push((name.clone().into(), text.to_owned()));
                }
            }
            _ => return Err(format!("`{name}` is no string")),
        }
    }
    if members.len() > MEMBERS_MAX {
        return Err(format!("found {} members; allowed are {MEMBERS_MAX}", members.len()));
    }
    Ok(members)
}

impl Serialize for ResourceRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_info = !self.additional_info.is_empty();
        let mut out = serializer.serialize_struct("ResourceRef", 2 + usize::from(has_info))?;
        out.serialize_field("resourceType", &self.resource_type)?;
        out.serialize_field("resourceIdentifier", &self.identifier_json())?;
        if has_info {
            out.serialize_field("additionalInfo", &object(&self.additional_info))?;
        }
        out.end()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    resource_type: String,
    resource_identifier: Value,
    #[serde(default)]
    additional_info: Option<Value>,
}

impl<'de> Deserialize<'de> for ResourceRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        let info = raw.additional_info.as_ref().map(members).transpose();
        Ok(Self {
            resource_type: raw.resource_type.into(),
            identifier: members(&raw.resource_identifier)
                .map_err(|wrong| D::Error::custom(format!("resourceIdentifier: {wrong}")))?,
            additional_info: info
                .map_err(|wrong| D::Error::custom(format!("additionalInfo: {wrong}")))?
                .unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, Place, Severity};
    use super::*;

    fn check(resource: ResourceRef, expected: &str) {
        let finding = Finding {
            check: "A_CHECK".into(),
            severity: Severity::High,
            code: "CODE".into(),
            reason: "because".into(),
            resource,
            related: vec![ResourceRef::new("CLIENT_ID", [("clientId", "c\"1".into())])],
            place: Some(Place::line("f", 3)),
            remedy: "mend it".into(),
        };
        let json = serde_json::to_string(&finding).unwrap();
        assert_eq!(
            json,
            format!(
                r#"{{"checkName":"A_CHECK","severity":"HIGH","reasonForNonComplianceCode":"CODE","reasonForNonCompliance":"because","nonCompliantResource":{expected},"relatedResources":[{{"resourceType":"CLIENT_ID","resourceIdentifier":{{"clientId":"c\"1"}}}}],"place":{{"file":"f","line":3}},"remedy":"mend it"}}"#
            )
        );
        assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), finding);
    }

    #[test]
    fn a_finding_is_written_as_aws_writes_it_and_read_again() {
        let mut certificate = ResourceRef::new("DEVICE_CERTIFICATE", [("deviceCertificateId", "ab".into())]);
        certificate.additional_info.push(("EXPIRATION_TIME".into(), "7".into()));
        check(
            certificate,
            r#"{"resourceType":"DEVICE_CERTIFICATE","resourceIdentifier":{"deviceCertificateId":"ab"},"additionalInfo":{"EXPIRATION_TIME":"7"}}"#,
        );
        check(
            ResourceRef::new("IOT_POLICY", [("policyName", "p".into()), ("policyVersionId", "1".into())]),
            r#"{"resourceType":"IOT_POLICY","resourceIdentifier":{"policyVersionIdentifier":{"policyName":"p","policyVersionId":"1"}}}"#,
        );
    }

    #[test]
    fn what_is_no_resource_is_refused_with_its_place() {
        for (json, expected) in [
            (r#"{"resourceType":"A","resourceIdentifier":{"a":1}}"#, "resourceIdentifier: `a` is no string"),
            (r#"{"resourceType":"A","resourceIdentifier":[]}"#, "expected an object of names and strings"),
            (
                r#"{"resourceType":"A","resourceIdentifier":{"a":"b"},"additionalInfo":{"a":null}}"#,
                "additionalInfo: `a` is no string",
            ),
        ] {
            let error = serde_json::from_str::<ResourceRef>(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(ResourceRef::identifier_members(&Value::Object(Map::new())).is_err());
    }
}
