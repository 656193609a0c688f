"""The webhook's address, which is a secret, and one post to it."""

import json
import logging
import socket
import ssl
import subprocess
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from hooks import Hook

from fashion_ops.params import Notify, load_params
from fashion_ops.params.recipes import configure
from fashion_ops.params.webhook import Webhook, parse_webhook
from fashion_ops.workspace import Workspace
from pipelines import home, notify, webhook_client
from pipelines.webhook_client import NotDelivered, post

SECRET = "T0secretB0"
BAD = {  # address -> a word of its message
    f"https://hooks.example.com/services/{SECRET} x": "host hooks.example.com",
    f"https://hooks.example.com/{SECRET}\nHost: evil": "host hooks.example.com",
    f"https://hooks.example.com/{SECRET}/gräte": "host hooks.example.com",
    f"hooks.example.com/services/{SECRET}": "must start with http:// or https://",
    SECRET: "must start with http:// or https://",
    f"file:///{SECRET}": "must start with http:// or https://",
    f"ftp://user:{SECRET}@hooks.example.com/": "must start with http:// or https://",
    f"https://user:{SECRET}@:443/x": "no valid host",
    f"https:///{SECRET}": "no valid host",
    f"https://{SECRET} .example.com/": "no valid host",
    f"https://hooks.example.com:{SECRET}/": "host or port is not valid",
    f"https://hooks.example.com:99999/{SECRET}": "host or port is not valid",
    f"https://[{SECRET}/": "host or port is not valid",
}


@pytest.mark.parametrize("address", BAD)
def test_an_address_that_cannot_be_posted_to_is_refused_in_one_line_without_the_secret(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=r"^FASHION_OPS_WEBHOOK") as caught:
        parse_webhook(address, "FASHION_OPS_WEBHOOK")
    said = str(caught.value)
    assert BAD[address] in said and "\n" not in said
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({"notify": {"webhook": address}}))
    with pytest.raises(ValueError, match="notify") as read:
        load_params(params)
    monkeypatch.setenv(notify.WEBHOOK, address)
    waiting = notify.raise_alarm(Workspace(tmp_path), Notify(), "overdue", "1", "late")
    assert waiting is not None and "undelivered alarms" in waiting
    shown = [*map("".join, map(traceback.format_exception, (caught.value, read.value)))]
    assert SECRET.lower() not in "".join([*shown, waiting, caplog.text]).lower()


def test_no_value_of_the_section_is_repeated_when_params_yaml_is_wrong(tmp_path: Path) -> None:
    params, secret = tmp_path / "params.yaml", f"https://hooks.example.com/{SECRET}"
    for text in (
        f"notify: {{webhok: '{secret}'}}",
        f"notify: '{secret}'",
        f"notify: {{webhook: ['{secret}']}}",
        f"notify:\n  webhook: {secret}: x\n",
    ):
        params.write_text(text)
        with pytest.raises(ValueError, match=r"params\.yaml") as caught:
            load_params(params)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    params.write_text(f"notify: {{webhook: '{secret}'}}")
    assert SECRET not in repr(load_params(params)) + repr(parse_webhook(secret, "here"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"notify: {{webhook: '{secret}2'}}")
    assert SECRET not in repr(configure(params, [recipe])) and f"{SECRET}2" in params.read_text()


def test_user_and_password_become_a_header_and_the_rest_stays() -> None:
    webhook = parse_webhook(" https://me:p%40ss@Hooks.Example.com:8443/a/b?c=d#e \n", "here")
    assert webhook.address == "https://Hooks.Example.com:8443/a/b?c=d"
    assert webhook.headers == {"Authorization": "Basic bWU6cEBzcw=="}
    assert repr(webhook) == "Webhook(host='hooks.example.com')"


def hooked(hook: Hook, path: str = f"/{SECRET}?key={SECRET}") -> Webhook:
    return parse_webhook(f"http://u:{SECRET}@127.0.0.1:{hook.port}{path}", "here")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "its reply is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n", "its reply is not HTTP"),
        (b"HTTP/1.1 200 " + b"x" * 100_000, "its reply is not HTTP"),
        (b"\x00\xff" * 10, "its reply is not HTTP"),
        (None, "closed the connection without a reply"),
        (301, "301 Moved Permanently; redirects are not followed"),
        (307, "307 Temporary Redirect; redirects are not followed"),
        (404, "answered 404 Not Found"),
        (503, "answered 503 Service Unavailable"),
        (299 + 300, "answered 599"),
    ],
)
def test_what_is_no_acceptance_is_not_delivered_and_says_why_without_the_secret(
    hook: Hook, reply: int | bytes | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hook.replies = [reply]
    with pytest.raises(NotDelivered, match="host 127") as caught:
        post(hooked(hook), {"text": "x"})
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert why in shown and SECRET not in shown and "secret" not in str(caught.value)
    assert not hook.accepted and f"POST /{SECRET}?key={SECRET} " in hook.requests[0]


def test_a_post_is_tried_again_and_accepted_once(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_client, "PAUSES", (0.01, 0.01))
    hook.replies = [503, None]
    post(hooked(hook), {"text": "x"})
    assert len(hook.requests) == 3 and hook.accepted == [{"text": "x"}]
    hook.replies = [500] * 3
    with pytest.raises(NotDelivered):
        post(hooked(hook), {"text": "y"})
    assert len(hook.requests) == 6 and len(hook.accepted) == 1


def test_a_server_that_hangs_drips_or_never_ends_costs_the_time_limit_and_no_thread(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_client, "TIMEOUT", 0.4)
    endless = b"HTTP/1.1 100 Continue\r\n\r\n" * 2000
    hook.hold.clear()
    with pytest.raises(NotDelivered, match="no reply in time"):
        post(hooked(hook), {"text": "x"})
    hook.hold.set()
    hook.replies = [endless + b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 24)]  # a body is not read
    monkeypatch.setattr(webhook_client, "TIMEOUT", 5.0)
    post(hooked(hook), {"text": "x"})
    for thread in threading.enumerate():
        if thread.name == "webhook":
            thread.join(10)
            assert not thread.is_alive()


def test_a_thread_that_answers_as_its_connection_is_closed_does_not_change_the_cause(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over; until the cause is told, the thread has said that its connection is closed."""
    monkeypatch.setattr(webhook_client, "TIMEOUT", 0.4)
    end = socket.socket.shutdown

    def slow_end(connection: socket.socket, how: int) -> None:
        end(connection, how)
        for thread in threading.enumerate():
            if thread.name == "webhook":
                thread.join(10)

    monkeypatch.setattr(socket.socket, "shutdown", slow_end)
    monkeypatch.setattr(webhook_client, "_exchange", with_longer_timeout(webhook_client._exchange))
    hook.hold.clear()
    with pytest.raises(NotDelivered, match="no reply in time"):
        post(hooked(hook), {"text": "x"})


def with_longer_timeout(exchange: Any) -> Any:
    """The socket's own limit is the same as that of the attempt, and may come first."""
    return lambda webhook, data, seconds, connections: exchange(webhook, data, 30.0, connections)


def test_a_certificate_that_nobody_signed_is_refused(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = (tmp_path / "cert.pem", tmp_path / "key.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run([*made, "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
    except OSError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    hook.wrap = lambda connection: context.wrap_socket(connection, server_side=True)
    webhook = parse_webhook(f"https://127.0.0.1:{hook.port}/{SECRET}", "here")
    with pytest.raises(NotDelivered, match="certificate is not valid") as caught:
        post(webhook, {"text": "x"})
    assert SECRET not in str(caught.value)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    post(webhook, {"text": "x"})
    assert hook.accepted == [{"text": "x"}]
    with pytest.raises(NotDelivered, match=r"closed the connection|not HTTP|reached"):
        post(hooked(hook), {"text": "x"})  # HTTP to a server of HTTPS


def test_alarms_wait_in_order_and_one_that_is_refused_stops_no_other(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notify.WEBHOOK, hook.url)
    ws = Workspace(tmp_path)
    hook.replies = [None, None]
    for about in ("1", "2"):
        said = str(notify.raise_alarm(ws, Notify(), "overdue", about, f"late {about}"))
        assert f"undelivered alarms in {ws.alarms}: {about}" in said
    hook.replies = [400]
    assert f"undelivered alarms in {ws.alarms}: 1" in str(notify.deliver(ws, Notify()))
    assert [body["text"] for body in hook.accepted] == ["late 2"]
    assert notify.deliver(ws, Notify()) is None
    assert notify.raise_alarm(ws, Notify(), "overdue", "1", "late 1") is None  # has been told
    assert [body["text"] for body in hook.accepted] == ["late 2", "late 1"]
    assert len({body["id"] for body in hook.accepted}) == 2


def test_an_alarm_that_cannot_be_queued_is_posted_at_once(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notify.WEBHOOK, hook.url)
    (tmp_path / ".alarms").write_text("in the way")
    assert notify.raise_alarm(Workspace(tmp_path), Notify(), "overdue", "1", "late") is None
    assert [body["event"] for body in hook.accepted] == ["overdue"]


def test_passwords_of_addresses_in_an_error_reach_neither_log_nor_webhook(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(notify.WEBHOOK, hook.url)
    cause = f"postgresql+psycopg2://fashion_ops:{SECRET}@db/mlflow does not answer"
    ws, text = Workspace(tmp_path), f"failed: {cause}"
    assert notify.raise_alarm(ws, Notify(), "run_failed", "1", text, steps=[cause]) is None
    assert SECRET not in caplog.text + json.dumps(hook.accepted)
    assert hook.accepted[0]["steps"] == ["postgresql+psycopg2://db/mlflow does not answer"]


def test_a_wrong_address_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv(notify.WEBHOOK, f"https://hooks.example.com/{SECRET} x")
    with pytest.raises(SystemExit, match="2"):
        home.main([])
    said = capsys.readouterr().err
    assert "FASHION_OPS_WEBHOOK (host hooks.example.com)" in said and SECRET not in said
    monkeypatch.setenv(notify.WEBHOOK, f"https://hooks.example.com/{SECRET}")
    home.main([])
    assert not capsys.readouterr().err
