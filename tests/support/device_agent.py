"""The device agent of AWS (AWSIoTDeviceDefenderAgentSDK), run against a broker of the test.

    device_agent.py agent PORT AGENT-ARGUMENTS...   its own program over its own MQTT client; only the
                                                    port is ours, since it knows just 443 and 8883
    device_agent.py collect FOLDER                  writes what its collector reports of this machine:
                                                    FOLDER/{long,short}.{json,cbor}

Needs: pip install AWSIoTDeviceDefenderAgentSDK
"""

import functools
import pathlib
import sys

from AWSIoTDeviceDefenderAgentSDK import collector


def run_agent(port, arguments):
    from AWSIoTDeviceDefenderAgentSDK import agent

    builder = agent.mqtt_connection_builder
    builder.mtls_from_path = functools.partial(builder.mtls_from_path, port=port)
    sys.argv = ["agent.py", *arguments]
    agent.main()


def collect(folder):
    for name, short in [("long", False), ("short", True)]:
        # The first sample of a collector: a second one with short names fails in version 2.0.0.
        report = collector.Collector(short, True).collect_metrics()
        (folder / f"{name}.json").write_text(report.to_json_string())
        (folder / f"{name}.cbor").write_bytes(bytes(report.to_cbor()))


if __name__ == "__main__":
    if sys.argv[1] == "agent":
        run_agent(int(sys.argv[2]), sys.argv[3:])
    else:
        collect(pathlib.Path(sys.argv[2]))
