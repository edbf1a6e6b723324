#!/usr/bin/env python3
"""Writes the seeds of fuzz targets into fuzz/corpus: what the tests of the decoders read, and pieces
of the data sets where these are there.

    fuzz/seeds.py [TARGET...]
"""
import base64
import csv
import gzip
import hashlib
import json
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATASETS = pathlib.Path(os.environ.get("FLEETWARD_DATASETS", ROOT / "../shared/datasets"))
TABLES = ROOT / "tests/bad_input"
RAW_STRING = re.compile(r'r(#+)"(.*?)"\1', re.S)


def text(path):
    return (ROOT / path).read_text()


def raw_strings(path, begins=""):
    """The raw strings of a Rust file."""
    return [found[1].encode() for found in RAW_STRING.findall(text(path)) if found[1].startswith(begins)]


def table(name):
    """The inputs of a table of bad inputs; `\\xNN` is a byte. Repetitions stay as they are written."""
    path = TABLES / f"{name}.txt"
    if not path.exists():
        return []
    blocks = ("\n" + path.read_text()).split("\n=== ")[1:]
    inputs = [block.split("\n---\n")[0].partition("\n")[2] for block in blocks]
    escape = re.compile(rb"\\x([0-9a-f]{2})")
    return [escape.sub(lambda found: bytes([int(found[1], 16)]), one.encode()) for one in inputs]


def hex_table(name):
    inputs = []
    for one in table(name):
        try:
            inputs.append(bytes.fromhex(one.decode()))
        except ValueError:
            pass
    return inputs


def pieces(data, size=4096, most=40):
    """Up to `most` pieces of whole lines."""
    found, piece = [], b""
    for line in data.splitlines(keepends=True):
        if len(piece) + len(line) > size:
            found.append(piece)
            piece = b""
        piece += line
    found.append(piece)
    return found[:: max(1, len(found) // most)]


def logs():
    for path in sorted(DATASETS.glob("mosquitto-logs/*.log")):
        yield path.read_bytes()
    for path in sorted(DATASETS.glob("mosquitto-logs-field/*.log.gz")):
        yield gzip.decompress(path.read_bytes())


def report_cbor():
    digits = re.findall(r'"((?:[0-9a-f]{2}){8,})"', text("fleet/tests/it/corpus.rs"))
    digits += re.findall(r'"((?:[0-9a-f]{2}){2,})"', text("fleet/tests/it/report_errors.rs"))
    return [bytes.fromhex(each) for each in digits] + hex_table("reports_cbor")


def mosquitto_log():
    return [piece for log in logs() for piece in pieces(log)] + table("log_lines")


def mosquitto_topic_line():
    seeds = []
    for path in sorted(DATASETS.glob("mosquitto-logs/*-sys-topics-*.jsonl")):
        messages = [json.loads(line) for line in path.read_text().splitlines()]
        lines = [f"{m['topic']} {m['payload']}\n" for m in messages if m["topic"].startswith("$SYS/broker/log/")]
        seeds += pieces("".join(lines).encode())
    return seeds


def lifecycle():
    return raw_strings("brokers/src/lifecycle/tests.rs", "{") + table("lifecycle")


def recorded():
    return raw_strings("brokers/src/recorded/tests.rs", "{") + table("recorded")


def problem_documents():
    blocks = ("\n" + text("behaviors/testdata/problems.txt")).split("\n=== ")[1:]
    return [block.partition("\n")[2].split("\n---")[0].encode() for block in blocks]


def json_files(*folders):
    return [path.read_bytes() for folder in folders for path in sorted((ROOT / folder).glob("*.json"))]


def dynsec_reply():
    seeds = []
    for path in sorted(DATASETS.glob("mosquitto-logs/*-dynsec-replies.jsonl")):
        for line in path.read_text().splitlines():
            seeds.append(json.dumps(json.loads(line)["response"]).encode())
    return seeds


def mqtt_capture():
    """The first packets of the captures."""
    found = []
    for path in sorted(DATASETS.glob("mqttset-pcap/*.pcap*.gz")):
        data = gzip.decompress(path.read_bytes())
        found += [data[:size] for size in (600, 2000, 4000)]
    return found


def topics():
    found = re.findall(r'"([^"\n]*/[^"\n]*)"', text("brokers/src/mqtt/topics.rs"))
    return [each.encode() for each in found] + table("topics")


def data_files(pattern):
    return [path.read_bytes() for path in sorted(DATASETS.glob(pattern))]


def policy_tests(reader, begins=""):
    return raw_strings(f"audits/src/policy/parse/{reader}.rs", begins)


def broker_tests(broker):
    """The configurations of the cases of the rules."""
    cases = re.findall(r'conf!\("((?:[^"\\]|\\.)*)"\)', text(f"audits/tests/it/broker/{broker}.rs"))
    return [case.encode().decode("unicode_escape").encode() for case in cases]


def ders(table, column="der_base64"):
    """What the tables of certificates and CRLs hold."""
    found = []
    for path in sorted(DATASETS.glob(f"x509-*/{table}.csv.gz")):
        with gzip.open(path, "rt") as lines:
            found += [base64.b64decode(row[column]) for row in csv.DictReader(lines)]
    return found


def pem_bundle():
    def block(der):
        return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"

    certificates = [der for der in ders("certs") if len(der) < 900][:40]
    return [block(one) + block(two) for one, two in zip(certificates, certificates[1:])] + raw_pem()


def raw_pem():
    return [b"-----BEGIN A-----\nAQI=\n-----END A-----\n", b"-----BEGIN A-----\n-----BEGIN B-----\n-----END B-----\n"]


def journal():
    """Each way to go on after good records, in blocks and in the form before."""
    rest = bytes(8) + b"\x01\0\x05" + bytes(8) + b"\x02\0ab{}"
    record = len(rest).to_bytes(4, "little") + rest
    numbers = [n.to_bytes(4, "little") for n in (0, 4, 4 * len(record))]
    # LZ4: the record as it is, three times the same again, the last bytes as they are.
    same = bytes([0xF0 + 15, len(record) - 15]) + record + len(record).to_bytes(2, "little")
    packed = same + bytes([3 * len(record) - 5 - 19, 0x50]) + record[-5:]
    return [b"\0", b"\1", b"\3\x40", b"\4", b"\5" + rest, b"\6\x40", b"\2" + record, b"\1" + b"".join(numbers) + packed]


SEEDS = {
    "certificate": lambda: [der for der in ders("certs") if len(der) <= 4096],
    "crl": lambda: ders("crls"),
    "pem_bundle": pem_bundle,
    "report_json": lambda: raw_strings("fleet/tests/it/corpus.rs")
    + raw_strings("fleet/tests/it/report_errors.rs", "{")
    + raw_strings("fleet/tests/it/report_reading.rs", "{")
    + table("reports_json"),
    "report_cbor": report_cbor,
    "mosquitto_log": mosquitto_log,
    "mosquitto_topic_line": mosquitto_topic_line,
    "lifecycle": lifecycle,
    "recorded": recorded,
    "fold": lambda: [b"\n".join(recorded())] + recorded(),
    "profile": lambda: json_files("profiles", "src/demo/files", "behaviors/testdata")
    + problem_documents()
    + table("profiles"),
    "action": lambda: raw_strings("mitigations/src/action/parse.rs", "{") + table("actions"),
    "registry": lambda: raw_strings("fleet/src/registry.rs", "{") + table("registries"),
    "config": lambda: [text("fleetward.example.toml").encode()] + table("configurations"),
    "report_topic": topics,
    "dynsec_reply": dynsec_reply,
    "mqtt_capture": mqtt_capture,
    "journal": journal,
    "policy_aws": lambda: data_files("aws-iot-policies/*.json")[::4],
    "broker_mosquitto": lambda: data_files("mqtt-broker-configs/*/mosquitto.conf")
    + [b"port 1\0" + each for each in data_files("mqtt-broker-configs/*/passwd")],
    "broker_rabbitmq": lambda: data_files("mqtt-broker-configs/*/rabbitmq.conf")
    + [b"heartbeat = 1\0" + each for each in data_files("mqtt-broker-configs/*/definitions.json")]
    + broker_tests("rabbitmq"),
    "broker_emqx": lambda: data_files("mqtt-broker-configs/*/emqx*.conf")
    + [b"node.name = a\0" + each for each in data_files("mqtt-broker-configs/*/acl.conf")]
    + broker_tests("emqx"),
    "broker_nats": lambda: broker_tests("nats") + policy_tests("nats"),
    "policy_mosquitto": lambda: data_files("mqtt-broker-configs/*/acl"),
    "policy_dynsec": lambda: policy_tests("dynsec", "{"),
    "policy_rabbitmq": lambda: policy_tests("rabbitmq", "{"),
    "policy_emqx": lambda: policy_tests("emqx") + data_files("mqtt-broker-configs/*/acl.conf"),
    "policy_nats": lambda: policy_tests("nats"),
    "history": lambda: [bytes([how]) + tail for how in range(24) for tail in (b"", b"\x20\0\1", b"\2\x0a", bytes(8))],
    "snapshot": lambda: [b"\0", b"\1", b"\1\0\0\1"],
}


def main():
    for target in sys.argv[1:] or SEEDS:
        folder = ROOT / "fuzz/corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for seed in SEEDS[target]():
            (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


main()
