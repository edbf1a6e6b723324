"""Drives the control plane with unmodified boto3, as its users do.

    control_plane.py suite ENDPOINT CA BACKED     every backed operation; BACKED is a JSON list of names
    control_plane.py PHASE ENDPOINT CA            one step of a story; see PHASES

Keys come from FLEETWARD_USERS, a JSON object of roles to keys and secrets.
"""

import datetime
import json
import os
import sys
import time

import boto3
import botocore.config
import botocore.exceptions

REGION = "us-east-1"
ACCOUNT = "123456789012"
USERS = json.loads(os.environ["FLEETWARD_USERS"])
# Errors of which every operation that declares one must be seen to raise it.
TYPED = """ResourceNotFoundException ResourceAlreadyExistsException VersionConflictException DeleteConflictException
    CertificateStateException MalformedPolicyException VersionsLimitExceededException
    CertificateValidationException""".split()

# Errors that the model declares and that cannot come up here, each with its reason.
NEVER = {
    ("DeleteThing", "ResourceNotFoundException"): "deleting a thing that is not there succeeds, as AWS documents it",
    ("ListActiveViolations", "ResourceNotFoundException"): "a thing need not be registered to be watched",
    ("ListMetricValues", "ResourceNotFoundException"): "a thing need not be registered to have values",
    ("ListSecurityProfiles", "ResourceNotFoundException"): "a filter that nothing passes gives an empty list",
    ("RegisterCertificateWithoutCA", "CertificateStateException"): "a status that cannot be set is an invalid request",
    ("UpdateCertificate", "CertificateStateException"): "a status that cannot be set is an invalid request",
    ("AttachSecurityProfile", "VersionConflictException"): "attaching has no expected version",
}

# Operations that cannot succeed in the time of this suite, and where they do.
ELSEWHERE = {"DeleteThingType": "five minutes after deprecation: api/src/plane/tests.rs, with a clock of its own"}


class Seen:
    """What was called and how it was answered."""

    def __init__(self):
        self.done, self.errors = set(), set()

    def watch(self, client):
        client.meta.events.register("after-call.iot", self.after)
        return client

    def after(self, http_response, parsed, model, **_):
        if http_response.status_code == model.http.get("responseCode", 200):
            self.done.add(model.name)
        else:
            self.errors.add((model.name, parsed.get("Error", {}).get("Code")))


SEEN = Seen()


def client(role="administrator", secret=None, key=None, check=True, endpoint=None):
    own_key, own_secret = USERS[role]
    return SEEN.watch(boto3.client(
        "iot", endpoint_url=endpoint or sys.argv[2], verify=sys.argv[3], region_name=REGION,
        aws_access_key_id=key or own_key, aws_secret_access_key=secret or own_secret,
        config=botocore.config.Config(retries={"total_max_attempts": 1}, parameter_validation=check),
    ))


def refused(code, call, **members):
    try:
        answer = call(**members)
    except botocore.exceptions.ClientError as error:
        found = error.response["Error"]
        assert found["Code"] == code, (code, found, members)
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error
    raise AssertionError(f"expected {code} of {call.__name__} {members}, got {answer}")


def arn(resource):
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:{resource}"


def without_meta(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


BEHAVIORS = [{
    "name": "shouts", "metric": "aws:message-byte-size",
    "criteria": {"comparisonOperator": "less-than", "value": {"count": 4000},
                 "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1},
}]
ROLE = "arn:aws:iam::123456789012:role/fleetward"
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "iot:Connect", "Resource": arn("client/${iot:Connection.Thing.ThingName}")}]})


def things(iot):
    made = iot.create_thing(thingName="pump-1", attributePayload={"attributes": {"site": "north", "rack": "7"}})
    assert made["thingArn"] == arn("thing/pump-1"), made
    again = iot.create_thing(thingName="pump-1", attributePayload={"attributes": {"site": "north", "rack": "7"}})
    assert again["thingId"] == made["thingId"]
    error = refused("ResourceAlreadyExistsException", iot.create_thing, thingName="pump-1")
    assert error.response["resourceArn"] == made["thingArn"], error.response
    refused("ResourceNotFoundException", iot.create_thing, thingName="x", thingTypeName="none")
    refused("InvalidRequestException", iot.create_thing, thingName="x",
            attributePayload={"attributes": {name: "1" for name in "abcd"}})
    iot.create_thing(thingName="pump-2", attributePayload={"attributes": {"site": "northwest"}})
    iot.create_thing(thingName="valve-1")
    shown = iot.describe_thing(thingName="pump-1")
    assert shown["attributes"] == {"site": "north", "rack": "7"} and shown["version"] == 1, shown
    refused("ResourceNotFoundException", iot.describe_thing, thingName="none")
    iot.update_thing(thingName="pump-1", expectedVersion=1,
                     attributePayload={"attributes": {"rack": "", "floor": "2"}, "merge": True})
    assert iot.describe_thing(thingName="pump-1")["attributes"] == {"site": "north", "floor": "2"}
    refused("VersionConflictException", iot.update_thing, thingName="pump-1", expectedVersion=1)
    refused("ResourceNotFoundException", iot.update_thing, thingName="none")
    names = lambda **wanted: [thing["thingName"] for thing in iot.list_things(**wanted)["things"]]
    assert names() == ["pump-1", "pump-2", "valve-1"]
    assert names(attributeName="site", attributeValue="north") == ["pump-1"]
    assert names(attributeName="site", attributeValue="north", usePrefixAttributeValue=True) == ["pump-1", "pump-2"]
    refused("InvalidRequestException", iot.list_things, attributeValue="north")
    iot.create_thing(thingName="gone")
    refused("VersionConflictException", iot.delete_thing, thingName="gone", expectedVersion=7)
    for _ in range(2):
        iot.delete_thing(thingName="gone")
    refused("ResourceNotFoundException", iot.describe_thing, thingName="gone")


def thing_types(iot):
    properties = {"thingTypeDescription": "pumps", "searchableAttributes": ["site"]}
    made = iot.create_thing_type(thingTypeName="pump", thingTypeProperties=properties)
    assert iot.create_thing_type(thingTypeName="pump", thingTypeProperties=properties)["thingTypeId"] == made["thingTypeId"]
    refused("ResourceAlreadyExistsException", iot.create_thing_type, thingTypeName="pump")
    iot.create_thing_type(thingTypeName="valve")
    shown = iot.describe_thing_type(thingTypeName="pump")
    assert shown["thingTypeProperties"] == properties and not shown["thingTypeMetadata"]["deprecated"], shown
    refused("ResourceNotFoundException", iot.describe_thing_type, thingTypeName="none")
    iot.update_thing_type(thingTypeName="pump", thingTypeProperties={"thingTypeDescription": "all pumps"})
    shown = iot.describe_thing_type(thingTypeName="pump")["thingTypeProperties"]
    assert shown == {"thingTypeDescription": "all pumps", "searchableAttributes": ["site"]}, shown
    refused("ResourceNotFoundException", iot.update_thing_type, thingTypeName="none")
    assert [row["thingTypeName"] for row in iot.list_thing_types(thingTypeName="valve")["thingTypes"]] == ["valve"]
    iot.update_thing(thingName="pump-2", thingTypeName="pump")
    assert iot.describe_thing(thingName="pump-2")["thingTypeName"] == "pump"
    assert [row["thingName"] for row in iot.list_things(thingTypeName="pump")["things"]] == ["pump-2"]
    refused("InvalidRequestException", iot.delete_thing_type, thingTypeName="pump")
    iot.deprecate_thing_type(thingTypeName="pump")
    refused("InvalidRequestException", iot.create_thing, thingName="x", thingTypeName="pump")
    refused("InvalidRequestException", iot.delete_thing_type, thingTypeName="pump")
    refused("ResourceNotFoundException", iot.deprecate_thing_type, thingTypeName="none")
    refused("ResourceNotFoundException", iot.delete_thing_type, thingTypeName="none")
    iot.deprecate_thing_type(thingTypeName="pump", undoDeprecate=True)
    refused("InvalidRequestException", iot.update_thing, thingName="pump-2", thingTypeName="pump", removeThingType=True)
    iot.update_thing(thingName="pump-2", removeThingType=True)
    assert "thingTypeName" not in iot.describe_thing(thingName="pump-2")


def groups(iot):
    properties = {"thingGroupDescription": "all", "attributePayload": {"attributes": {"a": "1"}}}
    made = iot.create_thing_group(thingGroupName="plant", thingGroupProperties=properties)
    again = iot.create_thing_group(thingGroupName="plant", thingGroupProperties=properties)
    assert made["thingGroupId"] == again["thingGroupId"]
    refused("ResourceAlreadyExistsException", iot.create_thing_group, thingGroupName="plant")
    iot.create_thing_group(thingGroupName="pumps", parentGroupName="plant")
    iot.create_thing_group(thingGroupName="lab")
    shown = iot.describe_thing_group(thingGroupName="pumps")["thingGroupMetadata"]
    assert shown["parentGroupName"] == "plant", shown
    assert [row["groupName"] for row in shown["rootToParentThingGroups"]] == ["plant"], shown
    refused("ResourceNotFoundException", iot.describe_thing_group, thingGroupName="none")
    assert iot.update_thing_group(thingGroupName="plant", expectedVersion=1, thingGroupProperties={
        "attributePayload": {"attributes": {"b": "2"}, "merge": True}})["version"] == 2
    shown = iot.describe_thing_group(thingGroupName="plant")["thingGroupProperties"]
    assert shown["attributePayload"]["attributes"] == {"a": "1", "b": "2"}, shown
    refused("VersionConflictException", iot.update_thing_group, thingGroupName="plant", expectedVersion=1,
            thingGroupProperties={})
    refused("ResourceNotFoundException", iot.update_thing_group, thingGroupName="none", thingGroupProperties={})
    names = lambda **wanted: [row["groupName"] for row in iot.list_thing_groups(**wanted)["thingGroups"]]
    assert names() == ["lab", "plant", "pumps"] and names(recursive=False) == ["lab", "plant"]
    assert names(parentGroup="plant") == ["pumps"] and names(namePrefixFilter="pu") == ["pumps"]
    refused("ResourceNotFoundException", iot.list_thing_groups, parentGroup="none")
    for _ in range(2):
        iot.add_thing_to_thing_group(thingGroupName="pumps", thingName="pump-1")
    refused("InvalidRequestException", iot.add_thing_to_thing_group, thingGroupName="plant", thingName="pump-1")
    refused("ResourceNotFoundException", iot.add_thing_to_thing_group, thingGroupName="pumps", thingName="none")
    iot.add_thing_to_thing_group(thingGroupArn=arn("thinggroup/lab"), thingArn=arn("thing/pump-1"))
    assert iot.list_things_in_thing_group(thingGroupName="plant")["things"] == []
    assert iot.list_things_in_thing_group(thingGroupName="plant", recursive=True)["things"] == ["pump-1"]
    refused("ResourceNotFoundException", iot.list_things_in_thing_group, thingGroupName="none")
    of = lambda: [row["groupName"] for row in iot.list_thing_groups_for_thing(thingName="pump-1")["thingGroups"]]
    assert of() == ["lab", "pumps"]
    refused("ResourceNotFoundException", iot.list_thing_groups_for_thing, thingName="none")
    iot.update_thing_groups_for_thing(thingName="pump-1", thingGroupsToRemove=["pumps"], thingGroupsToAdd=["plant"])
    assert of() == ["lab", "plant"]
    refused("ResourceNotFoundException", iot.update_thing_groups_for_thing, thingName="none")
    for _ in range(2):
        iot.remove_thing_from_thing_group(thingGroupName="lab", thingName="pump-1")
    assert of() == ["plant"]
    refused("ResourceNotFoundException", iot.remove_thing_from_thing_group, thingGroupName="lab", thingName="none")
    refused("InvalidRequestException", iot.delete_thing_group, thingGroupName="plant")
    refused("VersionConflictException", iot.delete_thing_group, thingGroupName="lab", expectedVersion=9)
    iot.create_thing_group(thingGroupName="gone")
    for _ in range(2):
        iot.delete_thing_group(thingGroupName="gone")


def certificates(iot):
    pem, other_pem = json.loads(os.environ["FLEETWARD_CERTIFICATES"])
    made = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    own, name = made["certificateId"], made["certificateArn"]
    assert name == arn(f"cert/{own}") and len(own) == 64
    refused("ResourceAlreadyExistsException", iot.register_certificate_without_ca, certificatePem=pem)
    refused("CertificateValidationException", iot.register_certificate_without_ca, certificatePem="no certificate")
    refused("InvalidRequestException", iot.register_certificate_without_ca, certificatePem=pem, status="PENDING_TRANSFER")
    other = iot.register_certificate_without_ca(certificatePem=other_pem)
    shown = iot.describe_certificate(certificateId=own)["certificateDescription"]
    assert shown["status"] == "ACTIVE" and shown["certificatePem"] == pem, shown
    assert shown["validity"]["notAfter"] > datetime.datetime.now(datetime.timezone.utc), shown
    none = "0" * 64
    refused("ResourceNotFoundException", iot.describe_certificate, certificateId=none)
    listed = lambda **how: [row["certificateId"] for row in iot.list_certificates(**how)["certificates"]]
    assert listed(ascendingOrder=True) == [own, other["certificateId"]] == listed()[::-1]

    iot.attach_thing_principal(thingName="pump-1", principal=name)
    iot.attach_thing_principal(thingName="pump-1", principal=name)
    iot.attach_thing_principal(thingName="pump-2", principal=name)
    refused("InvalidRequestException", iot.attach_thing_principal, thingName="valve-1", principal=name,
            thingPrincipalType="EXCLUSIVE_THING")
    refused("ResourceNotFoundException", iot.attach_thing_principal, thingName="none", principal=name)
    refused("InvalidRequestException", iot.attach_thing_principal, thingName="pump-1", principal="someone")
    assert iot.list_thing_principals(thingName="pump-1")["principals"] == [name]
    refused("ResourceNotFoundException", iot.list_thing_principals, thingName="none")
    assert iot.list_principal_things(principal=name)["things"] == ["pump-1", "pump-2"]
    refused("ResourceNotFoundException", iot.list_principal_things, principal=arn(f"cert/{none}"))
    row = {"principal": name, "thingPrincipalType": "NON_EXCLUSIVE_THING"}
    assert iot.list_thing_principals_v2(thingName="pump-1")["thingPrincipalObjects"] == [row]
    assert iot.list_thing_principals_v2(thingName="pump-1", thingPrincipalType="EXCLUSIVE_THING")["thingPrincipalObjects"] == []
    refused("ResourceNotFoundException", iot.list_thing_principals_v2, thingName="none")
    rows = iot.list_principal_things_v2(principal=name)["principalThingObjects"]
    assert [row["thingName"] for row in rows] == ["pump-1", "pump-2"], rows
    refused("ResourceNotFoundException", iot.list_principal_things_v2, principal=arn(f"cert/{none}"))
    refused("InvalidRequestException", iot.delete_thing, thingName="pump-2")
    refused("CertificateStateException", iot.delete_certificate, certificateId=own)
    iot.update_certificate(certificateId=own, newStatus="INACTIVE")
    refused("ResourceNotFoundException", iot.update_certificate, certificateId=none, newStatus="INACTIVE")
    refused("InvalidRequestException", iot.update_certificate, certificateId=own, newStatus="PENDING_ACTIVATION")
    refused("DeleteConflictException", iot.delete_certificate, certificateId=own)
    for thing in ["pump-1", "pump-2"]:
        iot.detach_thing_principal(thingName=thing, principal=name)
    refused("ResourceNotFoundException", iot.detach_thing_principal, thingName="pump-1", principal=name)
    iot.delete_certificate(certificateId=own)
    refused("ResourceNotFoundException", iot.delete_certificate, certificateId=own)
    return other


def policies(iot, held):
    iot.create_policy(policyName="connect", policyDocument=POLICY)
    refused("ResourceAlreadyExistsException", iot.create_policy, policyName="connect", policyDocument=POLICY)
    refused("MalformedPolicyException", iot.create_policy, policyName="x", policyDocument="{}")
    iot.create_policy(policyName="other", policyDocument=POLICY)
    shown = iot.get_policy(policyName="connect")
    assert shown["policyDocument"] == POLICY and shown["defaultVersionId"] == "1", shown
    refused("ResourceNotFoundException", iot.get_policy, policyName="none")
    listed = lambda **how: [row["policyName"] for row in iot.list_policies(**how)["policies"]]
    assert sorted(listed()) == ["connect", "other"] and listed(ascendingOrder=True) == listed()[::-1]
    for version in range(2, 6):
        made = iot.create_policy_version(policyName="connect", policyDocument=POLICY, setAsDefault=version == 3)
        assert made["policyVersionId"] == str(version), made
    refused("VersionsLimitExceededException", iot.create_policy_version, policyName="connect", policyDocument=POLICY)
    refused("MalformedPolicyException", iot.create_policy_version, policyName="other", policyDocument="[")
    refused("ResourceNotFoundException", iot.create_policy_version, policyName="none", policyDocument=POLICY)
    rows = iot.list_policy_versions(policyName="connect")["policyVersions"]
    assert [row["versionId"] for row in rows if row["isDefaultVersion"]] == ["3"] and len(rows) == 5, rows
    refused("ResourceNotFoundException", iot.list_policy_versions, policyName="none")
    assert not iot.get_policy_version(policyName="connect", policyVersionId="1")["isDefaultVersion"]
    refused("ResourceNotFoundException", iot.get_policy_version, policyName="connect", policyVersionId="9")
    iot.set_default_policy_version(policyName="connect", policyVersionId="5")
    assert iot.get_policy(policyName="connect")["defaultVersionId"] == "5"
    refused("ResourceNotFoundException", iot.set_default_policy_version, policyName="connect", policyVersionId="9")
    refused("DeleteConflictException", iot.delete_policy_version, policyName="connect", policyVersionId="5")
    refused("ResourceNotFoundException", iot.delete_policy_version, policyName="connect", policyVersionId="9")
    refused("DeleteConflictException", iot.delete_policy, policyName="connect")
    for version in "1234":
        iot.delete_policy_version(policyName="connect", policyVersionId=version)
    assert iot.create_policy_version(policyName="connect", policyDocument=POLICY)["policyVersionId"] == "6"
    iot.delete_policy_version(policyName="connect", policyVersionId="6")

    certificate, none = held["certificateArn"], arn(f"cert/{'0' * 64}")
    for _ in range(2):
        iot.attach_policy(policyName="connect", target=certificate)
    iot.attach_policy(policyName="other", target=arn("thinggroup/plant"))
    iot.attach_principal_policy(policyName="other", principal=certificate)
    refused("ResourceNotFoundException", iot.attach_policy, policyName="none", target=certificate)
    refused("ResourceNotFoundException", iot.attach_principal_policy, policyName="other", principal=none)
    refused("InvalidRequestException", iot.attach_policy, policyName="other", target="someone")
    names = lambda answer: [row["policyName"] for row in answer["policies"]]
    assert names(iot.list_attached_policies(target=certificate)) == ["connect", "other"]
    assert names(iot.list_attached_policies(target=arn("thinggroup/pumps"), recursive=True)) == ["other"]
    assert names(iot.list_attached_policies(target=arn("thinggroup/pumps"))) == []
    assert names(iot.list_principal_policies(principal=certificate)) == ["connect", "other"]
    refused("ResourceNotFoundException", iot.list_attached_policies, target=none)
    refused("ResourceNotFoundException", iot.list_principal_policies, principal=none)
    assert iot.list_targets_for_policy(policyName="other")["targets"] == [certificate, arn("thinggroup/plant")]
    assert iot.list_policy_principals(policyName="connect")["principals"] == [certificate]
    refused("ResourceNotFoundException", iot.list_targets_for_policy, policyName="none")
    refused("ResourceNotFoundException", iot.list_policy_principals, policyName="none")
    refused("DeleteConflictException", iot.delete_policy, policyName="connect")
    refused("DeleteConflictException", iot.delete_certificate, certificateId=held["certificateId"])
    for _ in range(2):
        iot.detach_policy(policyName="connect", target=certificate)
    iot.detach_principal_policy(policyName="other", principal=certificate)
    refused("ResourceNotFoundException", iot.detach_principal_policy, policyName="none", principal=certificate)
    iot.delete_policy(policyName="connect")
    refused("ResourceNotFoundException", iot.delete_policy, policyName="connect")


def profiles(iot):
    assert iot.validate_security_profile_behaviors(behaviors=BEHAVIORS)["valid"]
    wrong = [{"name": "a", "metric": "aws:nothing", "criteria": {}}]
    answer = iot.validate_security_profile_behaviors(behaviors=wrong)
    assert not answer["valid"] and answer["validationErrors"][0]["errorMessage"], answer
    dimension = dict(name="admin", type="TOPIC_FILTER", stringValues=["admin/#"], clientRequestToken="t1")
    for _ in range(2):
        made = iot.create_dimension(**dimension)
    assert made["arn"] == arn("dimension/admin")
    refused("ResourceAlreadyExistsException", iot.create_dimension, **{**dimension, "clientRequestToken": "t2"})
    iot.create_dimension(name="lab", type="TOPIC_FILTER", stringValues=["lab/#"])
    assert iot.describe_dimension(name="admin")["stringValues"] == ["admin/#"]
    refused("ResourceNotFoundException", iot.describe_dimension, name="none")
    assert iot.update_dimension(name="admin", stringValues=["admin/+"])["stringValues"] == ["admin/+"]
    refused("ResourceNotFoundException", iot.update_dimension, name="none", stringValues=["a"])
    assert iot.list_dimensions()["dimensionNames"] == ["admin", "lab"]
    metric = dict(metricName="battery", metricType="number", displayName="b", clientRequestToken="t1")
    for _ in range(2):
        iot.create_custom_metric(**metric)
    refused("ResourceAlreadyExistsException", iot.create_custom_metric, **{**metric, "clientRequestToken": "t2"})
    refused("InvalidRequestException", iot.create_custom_metric, metricName="aws:x", metricType="number")
    iot.create_custom_metric(metricName="heat", metricType="number")
    assert iot.update_custom_metric(metricName="battery", displayName="charge")["displayName"] == "charge"
    assert iot.describe_custom_metric(metricName="battery")["displayName"] == "charge"
    for call in [iot.describe_custom_metric, iot.update_custom_metric]:
        refused("ResourceNotFoundException", call, metricName="none",
                **({"displayName": "x"} if call == iot.update_custom_metric else {}))
    assert iot.list_custom_metrics()["metricNames"] == ["battery", "heat"]

    behaviors = BEHAVIORS + [
        {"name": "low", "metric": "battery", "criteria": {"comparisonOperator": "greater-than", "value": {"number": 5.0},
         "durationSeconds": 300, "consecutiveDatapointsToAlarm": 2, "consecutiveDatapointsToClear": 2}},
        {"name": "admin", "metric": "aws:num-messages-sent", "metricDimension": {"dimensionName": "admin", "operator": "IN"},
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300}}]
    given = dict(securityProfileName="pumps", securityProfileDescription="d", behaviors=behaviors,
                 tags=[{"Key": "team", "Value": "a"}])
    for _ in range(2):
        made = iot.create_security_profile(**given)
    assert made["securityProfileArn"] == arn("securityprofile/pumps")
    refused("ResourceAlreadyExistsException", iot.create_security_profile, **{**given, "behaviors": []})
    refused("InvalidRequestException", iot.create_security_profile, securityProfileName="x", behaviors=wrong)
    refused("ResourceNotFoundException", iot.describe_security_profile, securityProfileName="x")
    shown = iot.describe_security_profile(securityProfileName="pumps")
    assert shown["behaviors"] == behaviors and shown["version"] == 1, shown
    iot.create_security_profile(securityProfileName="empty")
    changed = iot.update_security_profile(securityProfileName="pumps", expectedVersion=1, securityProfileDescription="e")
    assert changed["version"] == 2 and changed["behaviors"] == behaviors, changed
    refused("VersionConflictException", iot.update_security_profile, securityProfileName="pumps", expectedVersion=1)
    refused("ResourceNotFoundException", iot.update_security_profile, securityProfileName="none")
    refused("InvalidRequestException", iot.update_security_profile, securityProfileName="pumps",
            behaviors=BEHAVIORS, deleteBehaviors=True)
    names = lambda **how: [row["name"] for row in iot.list_security_profiles(**how)["securityProfileIdentifiers"]]
    assert names() == ["empty", "pumps"]
    assert names(dimensionName="admin") == names(metricName="battery") == ["pumps"] and names(metricName="none") == []
    refused("InvalidRequestException", iot.list_security_profiles, dimensionName="a", metricName="b")
    refused("InvalidRequestException", iot.delete_dimension, name="admin")
    refused("InvalidRequestException", iot.delete_custom_metric, metricName="battery")

    plant = arn("thinggroup/plant")
    for _ in range(2):
        iot.attach_security_profile(securityProfileName="pumps", securityProfileTargetArn=plant)
    iot.attach_security_profile(securityProfileName="pumps", securityProfileTargetArn=arn("all/registered-things"))
    refused("ResourceNotFoundException", iot.attach_security_profile, securityProfileName="none", securityProfileTargetArn=plant)
    refused("ResourceNotFoundException", iot.attach_security_profile, securityProfileName="pumps",
            securityProfileTargetArn=arn("thinggroup/none"))
    refused("InvalidRequestException", iot.attach_security_profile, securityProfileName="pumps",
            securityProfileTargetArn="arn:aws:iot:eu-west-1:123456789012:all/things")
    targets = lambda: [row["arn"] for row in iot.list_targets_for_security_profile(securityProfileName="pumps")["securityProfileTargets"]]
    assert targets() == [arn("all/registered-things"), plant]
    refused("ResourceNotFoundException", iot.list_targets_for_security_profile, securityProfileName="none")
    of = lambda **how: [row["securityProfileIdentifier"]["name"] for row in
                        iot.list_security_profiles_for_target(**how)["securityProfileTargetMappings"]]
    assert of(securityProfileTargetArn=plant) == ["pumps"] and of(securityProfileTargetArn=arn("thinggroup/pumps")) == []
    assert of(securityProfileTargetArn=arn("thinggroup/pumps"), recursive=True) == ["pumps"]
    refused("ResourceNotFoundException", iot.list_security_profiles_for_target, securityProfileTargetArn=arn("thinggroup/none"))
    for number in range(5):
        iot.create_security_profile(securityProfileName=f"p{number}")
        attach = dict(securityProfileName=f"p{number}", securityProfileTargetArn=plant)
        iot.attach_security_profile(**attach) if number < 4 else refused(
            "LimitExceededException", iot.attach_security_profile, **attach)
    for number in range(5):
        iot.delete_security_profile(securityProfileName=f"p{number}")
    for _ in range(2):
        iot.detach_security_profile(securityProfileName="pumps", securityProfileTargetArn=plant)
    assert targets() == [arn("all/registered-things")]
    refused("ResourceNotFoundException", iot.detach_security_profile, securityProfileName="none", securityProfileTargetArn=plant)
    refused("VersionConflictException", iot.delete_security_profile, securityProfileName="empty", expectedVersion=5)
    for _ in range(2):
        iot.delete_security_profile(securityProfileName="empty")
        iot.delete_dimension(name="lab")
        iot.delete_custom_metric(metricName="heat")
    assert iot.list_dimensions()["dimensionNames"] == ["admin"]
    # A group that goes takes its attachments with it.
    iot.create_thing_group(thingGroupName="short")
    iot.attach_security_profile(securityProfileName="pumps", securityProfileTargetArn=arn("thinggroup/short"))
    iot.delete_thing_group(thingGroupName="short")
    assert targets() == [arn("all/registered-things")]


def tags(iot):
    name = arn("securityprofile/pumps")
    listed = lambda: {row["Key"]: row["Value"] for row in iot.list_tags_for_resource(resourceArn=name)["tags"]}
    assert listed() == {"team": "a"}
    iot.tag_resource(resourceArn=name, tags=[{"Key": "team", "Value": "b"}, {"Key": "x", "Value": ""}])
    assert listed() == {"team": "b", "x": ""}
    refused("InvalidRequestException", iot.tag_resource, resourceArn=name,
            tags=[{"Key": f"k{number}", "Value": ""} for number in range(49)])
    iot.untag_resource(resourceArn=name, tagKeys=["x", "never"])
    assert listed() == {"team": "b"}
    none = arn("securityprofile/none")
    refused("ResourceNotFoundException", iot.tag_resource, resourceArn=none, tags=[])
    refused("ResourceNotFoundException", iot.untag_resource, resourceArn=none, tagKeys=[])
    refused("ResourceNotFoundException", iot.list_tags_for_resource, resourceArn=none)


def actions(iot):
    params = {"addThingsToThingGroupParams": {"thingGroupNames": ["lab"], "overrideDynamicGroups": True}}
    made = iot.create_mitigation_action(actionName="isolate", roleArn=ROLE, actionParams=params)
    refused("ResourceAlreadyExistsException", iot.create_mitigation_action, actionName="isolate", roleArn=ROLE, actionParams=params)
    two = {**params, "publishFindingToSnsParams": {"topicArn": "arn:aws:sns:us-east-1:123456789012:t"}}
    for wrong in [{}, two]:
        refused("InvalidRequestException", iot.create_mitigation_action, actionName="x", roleArn=ROLE, actionParams=wrong)
    iot.create_mitigation_action(actionName="tell", roleArn=ROLE, actionParams={"publishFindingToSnsParams": two["publishFindingToSnsParams"]})
    shown = iot.describe_mitigation_action(actionName="isolate")
    assert shown["actionParams"] == params and shown["actionType"] == "ADD_THINGS_TO_THING_GROUP", shown
    refused("ResourceNotFoundException", iot.describe_mitigation_action, actionName="none")
    changed = {"addThingsToThingGroupParams": {"thingGroupNames": ["plant"], "overrideDynamicGroups": False}}
    assert iot.update_mitigation_action(actionName="isolate", actionParams=changed)["actionId"] == made["actionId"]
    assert iot.describe_mitigation_action(actionName="isolate")["actionParams"] == changed
    refused("ResourceNotFoundException", iot.update_mitigation_action, actionName="none")
    names = lambda **how: [row["actionName"] for row in iot.list_mitigation_actions(**how)["actionIdentifiers"]]
    assert names() == ["isolate", "tell"] and names(actionType="PUBLISH_FINDING_TO_SNS") == ["tell"]
    for _ in range(2):
        iot.delete_mitigation_action(actionName="tell")
    assert names() == ["isolate"]


def audits(iot):
    checks = iot.describe_account_audit_configuration()["auditCheckConfigurations"]
    assert len(checks) > 10 and not any(check["enabled"] for check in checks.values()), checks
    expiring = "DEVICE_CERTIFICATE_EXPIRING_CHECK"
    refused("ResourceNotFoundException", iot.delete_account_audit_configuration)
    refused("InvalidRequestException", iot.update_account_audit_configuration, roleArn=ROLE)
    refused("InvalidRequestException", iot.update_account_audit_configuration, roleArn=ROLE,
            auditCheckConfigurations={"NO_CHECK": {"enabled": True}})
    on = {expiring: {"enabled": True, "configuration": {"CERT_EXPIRATION_THRESHOLD_IN_DAYS": "45"}}}
    iot.update_account_audit_configuration(roleArn=ROLE, auditCheckConfigurations=on)
    wrong = {expiring: {"enabled": True, "configuration": {"CERT_EXPIRATION_THRESHOLD_IN_DAYS": "many"}}}
    refused("InvalidRequestException", iot.update_account_audit_configuration, auditCheckConfigurations=wrong)
    iot.update_account_audit_configuration(auditCheckConfigurations={"LOGGING_DISABLED_CHECK": {"enabled": True}})
    checks = iot.describe_account_audit_configuration()["auditCheckConfigurations"]
    assert checks[expiring] == on[expiring] and checks["LOGGING_DISABLED_CHECK"]["enabled"], checks

    given = dict(scheduledAuditName="nightly", frequency="DAILY", targetCheckNames=[expiring])
    assert iot.create_scheduled_audit(**given)["scheduledAuditArn"] == arn("scheduledaudit/nightly")
    refused("ResourceAlreadyExistsException", iot.create_scheduled_audit, **given)
    refused("InvalidRequestException", iot.create_scheduled_audit, **{**given, "scheduledAuditName": "x", "frequency": "WEEKLY"})
    refused("InvalidRequestException", iot.create_scheduled_audit,
            **{**given, "scheduledAuditName": "x", "targetCheckNames": ["DEVICE_CERTIFICATE_SHARED_CHECK"]})
    iot.create_scheduled_audit(scheduledAuditName="weekly", frequency="WEEKLY", dayOfWeek="MON", targetCheckNames=[expiring])
    refused("ResourceNotFoundException", iot.describe_scheduled_audit, scheduledAuditName="none")
    iot.update_scheduled_audit(scheduledAuditName="nightly", frequency="MONTHLY", dayOfMonth="LAST")
    shown = iot.describe_scheduled_audit(scheduledAuditName="nightly")
    assert (shown["frequency"], shown["dayOfMonth"], shown["targetCheckNames"]) == ("MONTHLY", "LAST", [expiring]), shown
    refused("ResourceNotFoundException", iot.update_scheduled_audit, scheduledAuditName="none")
    refused("InvalidRequestException", iot.update_account_audit_configuration, auditCheckConfigurations={expiring: {"enabled": False}})
    assert [row["scheduledAuditName"] for row in iot.list_scheduled_audits()["scheduledAudits"]] == ["nightly", "weekly"]
    iot.delete_scheduled_audit(scheduledAuditName="weekly")
    refused("ResourceNotFoundException", iot.delete_scheduled_audit, scheduledAuditName="weekly")

    key = dict(checkName=expiring, resourceIdentifier={"deviceCertificateId": "a" * 64})
    given = dict(**key, suppressIndefinitely=True, description="old", clientRequestToken="t1")
    for _ in range(2):
        iot.create_audit_suppression(**given)
    refused("ResourceAlreadyExistsException", iot.create_audit_suppression, **{**given, "clientRequestToken": "t2"})
    other = dict(checkName="LOGGING_DISABLED_CHECK", resourceIdentifier={"account": ACCOUNT})
    refused("InvalidRequestException", iot.create_audit_suppression, **other)
    refused("InvalidRequestException", iot.create_audit_suppression, **other, suppressIndefinitely=True, clientRequestToken="t1")
    refused("InvalidRequestException", iot.create_audit_suppression, **other, expirationDate=1)
    soon = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=3)
    iot.create_audit_suppression(**other, expirationDate=soon)
    assert iot.describe_audit_suppression(**other)["expirationDate"] == soon
    refused("ResourceNotFoundException", iot.describe_audit_suppression, checkName=expiring, resourceIdentifier={"account": ACCOUNT})
    iot.update_audit_suppression(**key, description="older")
    assert iot.describe_audit_suppression(**key)["description"] == "older"
    refused("ResourceNotFoundException", iot.update_audit_suppression, checkName=expiring, resourceIdentifier={"account": ACCOUNT})
    names = lambda **how: [row["checkName"] for row in iot.list_audit_suppressions(**how)["suppressions"]]
    assert names() == ["LOGGING_DISABLED_CHECK", expiring] == names(ascendingOrder=False)[::-1]
    assert names(resourceIdentifier={"account": ACCOUNT}) == ["LOGGING_DISABLED_CHECK"] and names(checkName=expiring) == [expiring]
    pages(iot)
    for _ in range(2):
        iot.delete_audit_suppression(**key)
    refused("InvalidRequestException", iot.delete_account_audit_configuration)
    iot.delete_account_audit_configuration(deleteScheduledAudits=True)
    assert iot.list_scheduled_audits()["scheduledAudits"] == []


def pages(iot):
    """Every listing that botocore can page, in pages of one row, is the listing."""
    now = datetime.datetime.now(datetime.timezone.utc)
    own = {
        "list_attached_policies": dict(target=arn("thinggroup/plant")), "list_policy_principals": dict(policyName="other"),
        "list_principal_things": dict(principal=first(iot)), "list_principal_policies": dict(principal=first(iot)),
        "list_principal_things_v2": dict(principal=first(iot)),
        "list_security_profiles_for_target": dict(securityProfileTargetArn=arn("all/registered-things")),
        "list_targets_for_policy": dict(policyName="other"),
        "list_targets_for_security_profile": dict(securityProfileName="pumps"),
        "list_thing_groups_for_thing": dict(thingName="pump-1"), "list_thing_principals": dict(thingName="pump-1"),
        "list_thing_principals_v2": dict(thingName="pump-1"),
        "list_things_in_thing_group": dict(thingGroupName="plant", recursive=True),
        "list_violation_events": dict(startTime=now - datetime.timedelta(days=1), endTime=now),
        "list_metric_values": dict(thingName="pump-1", metricName="aws:num-messages-sent",
                                   startTime=now - datetime.timedelta(days=1), endTime=now),
    }
    backed = {boto(name) for name in json.loads(sys.argv[4])}
    paged = 0
    for name in sorted(backed):
        # Tags come in pages whose size a caller cannot choose.
        if not iot.can_paginate(name) or name == "list_tags_for_resource":
            continue
        paginator = iot.get_paginator(name)
        (result,) = paginator.result_keys
        rows = lambda size: [row for page in paginator.paginate(**own.get(name, {}), PaginationConfig={"PageSize": size})
                             for row in result.search(page) or []]
        whole, ones = rows(250), rows(1)
        assert whole == ones, (name, whole, ones)
        paged += 1
    (result,) = [iot.list_things(maxResults=1)["nextToken"]]
    refused("InvalidRequestException", iot.list_things, nextToken=result, attributeName="other")
    refused("InvalidRequestException", iot.list_thing_groups, nextToken=result)
    print(f"paged listings: {paged}")


def first(iot):
    return iot.list_certificates()["certificates"][0]["certificateArn"]


def boto(name):
    from botocore import xform_name
    return xform_name(name)


def dummy(shape, depth=0):
    """A value of a shape."""
    kind = shape.type_name
    if kind == "structure":
        return {name: dummy(shape.members[name], depth + 1) for name in shape.required_members} if depth < 6 else {}
    if kind == "list":
        return [dummy(shape.member, depth + 1)]
    if kind == "map":
        return {}
    if kind == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    return {"boolean": True, "timestamp": 1}.get(kind, 1)


def violation_of(shape):
    """A value that the shape's constraints refuse, if it has one."""
    kind, facts = shape.type_name, shape.metadata
    if kind == "string":
        if shape.enum:
            return "NO_SUCH_CHOICE"
        if "max" in facts:
            return "x" * (facts["max"] + 1)
        return "\u0001 ~ \u0001" if facts.get("pattern") else None
    if kind in ("integer", "long") and "max" in facts:
        return facts["max"] + 1
    return None


def validation(backed):
    """Of every operation, a member that its constraints refuse is refused by name."""
    loose, tried, free = client(check=False), 0, []
    for name in backed:
        model = loose.meta.service_model.operation_model(name)
        if model.input_shape is None:
            free.append(name)
            continue
        base = dummy(model.input_shape)
        bad = [(member, violation_of(shape)) for member, shape in model.input_shape.members.items()]
        bad = [(member, value) for member, value in bad if value is not None and len(str(value)) < 100_000]
        if not bad:
            free.append(name)
            continue
        for member, value in bad:
            error = refused("InvalidRequestException", getattr(loose, boto(name)), **{**base, member: value})
            message = error.response["Error"]["Message"]
            assert "validation error" in message and f"'{member}'" in message, (name, member, message)
            tried += 1
    print(f"constraints refused: {tried} members of {len(backed) - len(free)} operations; without constraints: {', '.join(free)}")


def access(backed):
    """Who may call what, and what a signature must be."""
    roles = json.loads(os.environ["FLEETWARD_ROLES"])
    denied = 0
    for role in ["viewer", "responder"]:
        iot = client(role, check=False)
        order = ["viewer", "responder", "administrator"]
        for name in backed:
            call = getattr(iot, boto(name))
            shape = iot.meta.service_model.operation_model(name).input_shape
            members = dummy(shape) if shape else {}
            if order.index(roles[name]) > order.index(role):
                error = refused("AccessDeniedException", call, **members)
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
                denied += 1
            elif roles[name] == "viewer":
                try:
                    call(**members)
                except botocore.exceptions.ClientError as error:
                    assert error.response["Error"]["Code"] != "AccessDeniedException", (role, name)
    refused("InvalidSignatureException", client(secret="wrong").list_things)
    refused("UnrecognizedClientException", client(key="FLEETNONE").list_things)
    import urllib.request
    import urllib.error
    import ssl
    try:
        urllib.request.urlopen(sys.argv[2] + "/things", context=ssl.create_default_context(cafile=sys.argv[3]))
        raise AssertionError("an unsigned request was answered")
    except urllib.error.HTTPError as error:
        assert error.code == 403 and error.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    edges()
    plain = client(endpoint=sys.argv[2].replace("https://", "http://"))
    assert plain.list_things()["things"]
    error = refused("NotImplementedException", client().start_on_demand_audit_task, targetCheckNames=["LOGGING_DISABLED_CHECK"])
    assert "StartOnDemandAuditTask" in error.response["Error"]["Message"]
    print(f"calls denied to lesser roles: {denied}")


def edges():
    """What no SDK sends: by hand, over plain HTTP from this machine, with the token of the data folder."""
    import http.client
    import urllib.parse
    host = urllib.parse.urlparse(sys.argv[2]).netloc
    with open(os.path.join(os.path.dirname(sys.argv[3]), "api-token"), encoding="ascii") as file:
        token = {"Authorization": "Bearer " + file.read().strip()}

    def ask(method, path, body=None, **headers):
        link = http.client.HTTPConnection(host, timeout=30)
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.headers.get("x-amzn-errortype"), answer.read().decode()

    cases = [
        (("GET", "/things/pump-1"), token, 200, None, '"pump-1"'),
        (("GET", "/things/pump-1"), {"Authorization": "Bearer wrong"}, 403, "MissingAuthenticationTokenException", "signed"),
        (("GET", "/no/such/path"), token, 404, "UnknownOperationException", "no operation"),
        (("POST", "/things/x", "{"), token, 400, "InvalidRequestException", "not JSON"),
        (("POST", "/things/x", "[]"), token, 400, "InvalidRequestException", "not a JSON object"),
        (("POST", "/things/x", '{"attributePayload": 7}'), token, 400, "InvalidRequestException", "attributePayload"),
        (("POST", "/things/x", "[" * 100_000), token, 400, "InvalidRequestException", "not JSON"),
        (("GET", "/things/%zz"), token, 400, "InvalidRequestException", "two hex digits"),
        (("POST", "/things/x", " " * (600 << 10)), token, 413, "RequestEntityTooLargeException", "524288 bytes"),
        (("POST", "/things/x", " " * (20 << 10)), {}, 413, "RequestEntityTooLargeException", "16384 bytes"),
        (("GET", "/things/x"), {**token, "x-long": "y" * (128 << 10)}, 431, None, ""),
        (("GET", "/fleetward/v1/nowhere"), token, 404, None, "no such path"),
    ]
    for request, headers, status, kind, text in cases:
        try:
            seen = ask(*request, **headers)
        except ConnectionError:
            # The server need not read to its end what is too long.
            assert status in (413, 431), request[:2]
            continue
        assert seen[:2] == (status, kind) and text in seen[2], (request[:2], seen)


def violations(iot):
    refused("InvalidRequestException", iot.put_verification_state_on_violation, violationId="0" * 32,
            verificationState="TRUE_POSITIVE")
    now = datetime.datetime.now(datetime.timezone.utc)
    span = dict(startTime=now - datetime.timedelta(days=1), endTime=now)
    assert iot.list_violation_events(**span, thingName="none")["violationEvents"] == []
    assert iot.list_metric_values(**span, thingName="none", metricName="aws:num-messages-sent")["metricDatumList"] == []
    backwards = dict(startTime=span["endTime"], endTime=span["startTime"])
    refused("InvalidRequestException", iot.list_violation_events, **backwards)
    refused("InvalidRequestException", iot.list_metric_values, **backwards, thingName="a", metricName="b")


def search(iot):
    names = lambda query, **how: [row["thingName"] for row in iot.search_index(queryString=query, **how)["things"]]
    assert names("thingName:pump*") == ["pump-1", "pump-2"]
    assert names("attributes.site:north AND thingGroupNames:plant") == ["pump-1"]
    assert names("attributes.floor>1 OR thingName:valve-1") == ["pump-1", "valve-1"]
    assert names("NOT attributes.site:*") == ["valve-1"]
    assert names("deviceDefender.violationCount:[1 TO 9]") == []
    first = iot.search_index(queryString="*", maxResults=2)
    rest = iot.search_index(queryString="*", maxResults=2, nextToken=first["nextToken"])
    assert [row["thingName"] for row in first["things"] + rest["things"]] == ["pump-1", "pump-2", "valve-1"]
    rows = iot.search_index(indexName="AWS_ThingGroups", queryString="parentGroupNames:plant")["thingGroups"]
    assert [row["thingGroupName"] for row in rows] == ["pumps"], rows
    refused("ResourceNotFoundException", iot.search_index, indexName="none", queryString="*")
    refused("InvalidRequestException", iot.search_index, queryString="a", nextToken=first["nextToken"])
    for wrong in ["a AND", "connectivity.connected:true", "(", "*a *b"]:
        refused("InvalidQueryException", iot.search_index, queryString=wrong)
    refused("InvalidQueryException", iot.search_index, queryString="a", queryVersion="2000-01-01")


def suite():
    backed = json.loads(sys.argv[4])
    iot = client()
    for room in [things, thing_types, groups]:
        room(iot)
    held = certificates(iot)
    policies(iot, held)
    for room in [profiles, tags, search, actions, audits, violations]:
        room(iot)
    iot.attach_security_profile(securityProfileName="pumps", securityProfileTargetArn=arn("all/things"))
    row = watch(iot)
    iot.put_verification_state_on_violation(violationId=row["violationId"], verificationState="BENIGN_POSITIVE",
                                            verificationStateDescription="a test")
    shown = iot.list_active_violations(thingName="loud", verificationState="BENIGN_POSITIVE")["activeViolations"]
    assert [row["verificationStateDescription"] for row in shown] == ["a test"], shown
    assert iot.list_active_violations(thingName="loud", verificationState="UNKNOWN")["activeViolations"] == []
    refused("InvalidRequestException", iot.describe_endpoint, endpointType="iot:Jobs")
    assert ":" in iot.describe_endpoint()["endpointAddress"]
    validation(backed)
    access(backed)
    report(iot, backed)


def report(iot, backed):
    missing = [name for name in backed if name not in SEEN.done]
    wanted = {(name, shape.name) for name in backed
              for shape in iot.meta.service_model.operation_model(name).error_shapes if shape.name in TYPED}
    unseen = sorted(wanted - SEEN.errors - NEVER.keys())
    surplus = sorted(pair for pair in NEVER if pair in SEEN.errors)
    print(f"declared errors of {len(TYPED)} types seen: {len(wanted & SEEN.errors)} / {len(wanted)}")
    for (name, kind), reason in sorted(NEVER.items()):
        print(f"  never: {name} {kind}: {reason}")
    for name, where in ELSEWHERE.items():
        print(f"  elsewhere: {name}: {where}")
    print(f"operations covered: {len(backed) - len(missing)} / {len(backed)}")
    assert missing == list(ELSEWHERE) and not unseen and not surplus, (missing, unseen, surplus)


def watch(iot):
    """The violation of the thing `loud`, which the test makes shout, once it is listed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rows = iot.list_active_violations(thingName="loud")["activeViolations"]
        if rows:
            (row,) = rows
            assert row["behavior"]["metric"] == "aws:message-byte-size", row
            assert row["lastViolationValue"]["count"] >= 4000, row
            return row
        time.sleep(0.1)
    raise AssertionError("no violation of `loud` in a minute")


def profile():
    """Makes a profile for all things."""
    iot = client()
    iot.create_security_profile(securityProfileName="fleet", behaviors=BEHAVIORS)
    iot.attach_security_profile(securityProfileName="fleet", securityProfileTargetArn=arn("all/things"))


def caught():
    """The profile that was made over HTTP caught the thing, and history and events tell of it."""
    iot = client("viewer")
    row = watch(iot)
    assert row["securityProfileName"] == "fleet" and row["verificationState"] == "UNKNOWN", row
    span = dict(startTime=row["violationStartTime"] - datetime.timedelta(hours=1),
                endTime=row["lastViolationTime"] + datetime.timedelta(hours=1))
    (event,) = iot.list_violation_events(**span, thingName="loud")["violationEvents"]
    assert event["violationId"] == row["violationId"] and event["violationEventType"] == "in-alarm", event
    deadline = time.monotonic() + 60
    while True:
        values = iot.list_metric_values(**span, thingName="loud", metricName="aws:message-byte-size")["metricDatumList"]
        if any(value["value"].get("count", 0) >= 4000 for value in values):
            break
        assert time.monotonic() < deadline, values
        time.sleep(0.2)


def write():
    """Makes things one after the other until the server dies, and prints what was acknowledged."""
    iot = client()
    made = 0
    try:
        while True:
            iot.create_thing(thingName=f"t{made}")
            iot.add_thing_to_thing_group(thingGroupName="all", thingName=f"t{made}")
            made += 1
            if made == 20:
                print("begun", flush=True)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        print(made, flush=True)


def begin():
    client().create_thing_group(thingGroupName="all")


def survived():
    """Everything that was acknowledged before the server was killed is there."""
    iot, made = client(), int(sys.argv[4])
    things = {row["thingName"] for page in iot.get_paginator("list_things").paginate() for row in page["things"]}
    members = {name for page in iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName="all")
               for name in page["things"]}
    expected = {f"t{number}" for number in range(made)}
    assert expected <= things and expected <= members <= things, (made, len(things), len(members))
    # One that was under way may be there or not.
    assert len(things) <= made + 1, (made, len(things))
    iot.describe_security_profile(securityProfileName="fleet")


def throttled():
    """A caller that asks too often is told so, in the way that SDKs wait for."""
    iot = client()
    codes = set()
    for _ in range(30):
        try:
            iot.list_things()
        except botocore.exceptions.ClientError as error:
            codes.add(error.response["Error"]["Code"])
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert codes == {"ThrottlingException"}, codes
    # With the SDK's own retries nobody notices.
    key, secret = USERS["administrator"]
    patient = boto3.client("iot", endpoint_url=sys.argv[2], verify=sys.argv[3], region_name=REGION,
                           aws_access_key_id=key, aws_secret_access_key=secret,
                           config=botocore.config.Config(retries={"total_max_attempts": 10, "mode": "standard"}))
    for _ in range(5):
        patient.list_things()


def locked_out():
    """A user who was removed is not let in any more."""
    refused("UnrecognizedClientException", client("viewer").list_things)


PHASES = [suite, profile, caught, begin, write, survived, throttled, locked_out]

if __name__ == "__main__":
    {phase.__name__: phase for phase in PHASES}[sys.argv[1]]()
