"""What a child broker is given."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from pathlib import Path

import pytest

from tiercast_mqtt.bulk import BulkClient
from tiercast_mqtt.password import hash_password
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.brokers import BrokerConfig, open_broker
from tiercast_protocol.node.childbroker import EMBEDDED_LIMITS, ChildBroker
from tiercast_protocol.node.link import BulkLink, ControlLink


async def test_the_owner_keeps_his_hash_when_users_change(tmp_path: Path) -> None:
    broker = ChildBroker("embedded", BrokerConfig(), tmp_path, ("o", "pw"))
    await broker.set_users({})
    before = (tmp_path / "users").read_text()
    await broker.set_users({"n": hash_password("x")})
    after = (tmp_path / "users").read_text()
    assert set(before.splitlines()) < set(after.splitlines())


async def test_the_files_of_the_embedded_broker(tmp_path: Path) -> None:
    async with open_broker(BrokerConfig(mode="embedded"), folder=tmp_path, region="r", owner="o") as broker:
        config = json.loads((tmp_path / "embedded.json").read_text())
        assert config["limits"] == EMBEDDED_LIMITS
        assert config["client_id_is_username"], "a node could keep another from connecting, under its client id"
        assert f":{config['listen'][0]['port']}" in broker.children_url
        assert config["listen"][1]["path"] == broker.url.removeprefix("unix://")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("mode", ["mosquitto", "embedded"])
@pytest.mark.parametrize("with_ca", [False, True])
async def test_children_come_over_tls(tmp_path: Path, mode: str, certificate: tuple[str, str], with_ca: bool) -> None:
    cert, key = certificate
    config = BrokerConfig(mode=mode, cert=cert, key=key, ca=cert if with_ca else "")
    users = {"n": hash_password("pw")}
    async with open_broker(config, folder=tmp_path, region="r", owner="o", users=users) as broker:
        assert broker.children_url.startswith("mqtts://127.0.0.1:")
        assert broker.url.startswith("unix://")
        context = ssl.create_default_context(cafile=cert)
        if with_ca:
            context.load_cert_chain(cert, key)
        client = await _connect(broker.children_url, context)
        await client.close()
        if with_ca:
            with pytest.raises(ConnectionError):
                await _connect(broker.children_url, ssl.create_default_context(cafile=cert))


async def _connect(url: str, context: ssl.SSLContext) -> BulkClient:
    host, _, port = url.removeprefix("mqtts://").rpartition(":")
    return await BulkClient.connect(
        host=host,
        port=int(port),
        client_id="n",
        username="n",
        password="pw",
        tls=context,
        on_message=lambda _topic, _payload: None,
        on_lost=lambda _error: None,
        timeout=60,
    )


@pytest.mark.parametrize("mode", ["mosquitto", "embedded"])
async def test_links_speak_tls_and_refuse_a_certificate_of_nobody(
    tmp_path: Path, mode: str, certificate: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = certificate
    config = BrokerConfig(mode=mode, cert=cert, key=key)
    users = {"n": hash_password("pw")}
    async with open_broker(config, folder=tmp_path, region="r", owner="o", users=users) as broker:
        for context, trusted in ((TlsFiles(ca=cert).context(broker.children_url), True), (None, False)):
            control = ControlLink(
                broker.children_url, client_id="n", login=("n", "pw"), on_message=_nothing, tls=context
            )
            bulk = BulkLink(
                broker.children_url, client_id="n:bulk", login=("n", "pw"), on_message=lambda _t, _p: None, tls=context
            )
            said = ""
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(link.run()) for link in (control, bulk)]
                if trusted:
                    await control.up.wait()
                    await bulk.up.wait()
                    await control.publish("tiercast/1/r/n/up", b"x" * 100_000)
                    info = bulk.tcp_info()
                    assert info is not None
                    assert info.received > 0
                while not trusted and said.count("broker not reached") < 4:
                    await asyncio.sleep(0.05)
                    said += capsys.readouterr().out
                assert control.connected is bulk.connected is trusted
                for task in running:
                    task.cancel()


async def _nothing(topic: str, payload: bytes) -> None:
    pass
