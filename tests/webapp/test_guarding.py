"""Secure by construction: who may ask, from where, how much, and what a browser is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from neurocore.access import permission
from neurocore.errors import ConfigError, UsageError
from tests.webapp.rights import all_but
from webapp import create_app
from webapp.cli import refuse_unless_safe
from webapp.security import permissions
from webapp.security.hosts import host_name, is_loopback
from webapp.security.sessions import KEY_FILE, secret_key

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.parametrize("path", ["/", "/runs", "/approvals", "/blueprints", "/about", "/runs/nothere", "/healthz"])
def test_every_answer_carries_the_policy(site, path):
    answer = site.client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "Strict-Transport-Security" not in answer.headers


def test_behind_tls_the_cookie_is_bound_to_the_host_and_https_is_kept(make_site):
    site = make_site(proxies=1, allowed_hosts=["flows.example"])
    headers = {"Host": "flows.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1"}
    answer = site.client.get("/blueprints/payout", headers=headers)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-neurocore-")
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_without_configured_proxies_their_headers_are_nothing(site):
    answer = site.client.get("/blueprints/payout", headers={"X-Forwarded-Proto": "https"})
    assert answer.headers["Set-Cookie"].startswith("neurocore-")
    assert "HttpOnly" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.1.2.3"])
def test_a_name_that_is_not_ours_is_refused(site, host):
    answer = site.client.get("/", headers={"Host": host})
    assert answer.status_code == 400, "DNS rebinding leads nowhere"
    assert "web.allowed_hosts" in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "[::1]evil.com", "[::1].evil.com", "[::1]:80.evil.com", "[::1", "::1", "localhost:\u00b2", "localhost:80:80",
        "localhost:x", "localhost@evil.com", "localhost evil.com", "localhost,evil.com", "localhost/..",
        "\xa0localhost", ".localhost", "localhost:123456",
    ],
)  # fmt: skip
def test_a_host_header_that_is_none_is_refused_whatever_stands_in_it(site, host):
    answer = site.client.get("/", headers={"Host": host})
    assert answer.status_code == 400
    assert "is not a valid host name" in answer.text


@pytest.mark.parametrize("digits", ["\u0663", "\uff13", "\u06f3", "1_0", "+3", "9" * 5000, "-1"])
def test_only_ascii_digits_are_a_number_in_an_address(site, digits):
    run_id = site.run()
    for path in (f"/runs/{run_id}/steps/{digits}", f"/api/v1/runs/{run_id}/steps/{digits}"):
        assert site.client.get(path).status_code in (404, 414), path
    assert site.client.get("/runs", query_string={"limit": digits}).status_code in (200, 422)
    assert site.client.get(f"/runs/{run_id}/steps/0").status_code == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:8321", "127.0.0.1:5000", "[::1]:8321", "LOCALHOST."])
def test_loopback_is_ours_under_every_port(site, host):
    assert site.client.get("/healthz", headers={"Host": host}).status_code == 200


def test_allowed_hosts_and_the_public_address_are_ours(make_site):
    site = make_site(allowed_hosts=["flows.example", ".inner.example"], public_url="https://pay.example/flows")
    for host in ("flows.example", "a.inner.example:8000", "pay.example"):
        assert site.client.get("/healthz", headers={"Host": host}).status_code == 200, host
    assert site.client.get("/healthz", headers={"Host": "xinner.example"}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://localhost"},
        {"Origin": "http://[localhost"},
    ],
)
def test_a_form_of_another_site_does_nothing(site, headers):
    run_id = site.run()
    answer = site.post(f"/runs/{run_id}/cancellation", {"by": "eve"}, headers=headers)
    assert answer.status_code == 403
    assert not site.store.load_summary(run_id).status.ended


def test_our_own_forms_pass(site):
    run_id = site.run()
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
    assert site.post(f"/runs/{run_id}/cancellation", {"by": "ann"}, headers=headers).status_code == 303


def test_two_dashboards_on_one_machine_leave_each_other_s_forms_alone(make_site):
    first, second = make_site(), make_site()
    run_id, browser = first.run(), first.client
    form = {"csrf_token": first.token(browser), "by": "ann"}
    browser.application = second.app  # a browser keeps one jar for all ports of a host
    second.token(browser)
    browser.application = first.app
    assert browser.post(f"/runs/{run_id}/cancellation", data=form).status_code == 303


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_form_without_our_token_does_nothing_and_keeps_what_was_typed(site, token):
    run_id = site.run()
    answer = site.client.post(
        f"/runs/{run_id}/decision", data={"csrf_token": token, "note": "my long note", "decision": "approve"}
    )
    assert answer.status_code == 400
    assert "Nothing was done" in answer.text
    assert "my long note" in answer.text


def test_every_route_that_changes_something_names_its_action(site):
    changing = [rule for rule in site.app.url_map.iter_rules() if (rule.methods or set()) - permissions.SAFE_METHODS]
    assert len(changing) >= 6
    views = {rule.endpoint: site.app.view_functions[rule.endpoint] for rule in changing}
    public = {endpoint for endpoint, view in views.items() if permissions.is_public(view)}
    signing_in = {"account.signing_in", "account.signing_out", "account.link_used", "oidc.leave"}
    assert public == {*signing_in, "passkeys.sign_in_options", "passkeys.sign_in"}
    named = set(permission.Action) - {permission.Action.VIEW}
    assert {endpoint for endpoint, view in views.items() if permissions.action_of(view) not in named} == public


def test_the_factory_refuses_to_start_over_a_route_that_names_none(site):
    site.app.add_url_rule("/forgotten", "forgotten", lambda: "", methods=["POST"])
    with pytest.raises(RuntimeError, match="POST /forgotten"):
        permissions.check(site.app)


@pytest.mark.parametrize("visit", ["", "abc", "²", "-1", "1.0", "9" * 12, "2"])
def test_a_visit_that_is_none_decides_nothing(site, visit):
    run_id = site.run()
    assert site.decide(run_id, "approve", visit=visit).status_code == 409
    assert site.gate(run_id).status == "open"


def test_an_action_that_is_not_allowed_is_refused(site, monkeypatch):
    run_id = site.run()
    monkeypatch.setattr(permission, "may", all_but(permission.Action.CANCEL))
    assert site.post(f"/runs/{run_id}/cancellation", {"by": "ann"}).status_code == 403
    assert site.post(f"/runs/{run_id}/replay", {"by": "ann"}).status_code == 303


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/{run}", "/approvals", "/blueprints", "/api/v1/runs", "/metrics"])
def test_reading_is_a_right_too(site, path, monkeypatch):
    run_id = site.run()
    monkeypatch.setattr(permission, "may", all_but(permission.Action.VIEW))
    assert site.client.get(path.format(run=run_id)).status_code == 403
    assert site.client.get("/healthz").status_code == 200


def test_what_is_too_large_is_refused_before_it_is_read(site):
    run_id = site.run()
    assert site.post(f"/runs/{run_id}/decision", {"note": "x" * 5_000_000}).status_code == 413
    assert site.client.get("/runs?q=" + "x" * 9_000).status_code == 414
    assert site.client.get("/runs?" + "&".join(f"a{i}=1" for i in range(200))).status_code == 414
    for fields in ({f"f{number}": "1" for number in range(600)}, {"note": "x" * 3_000_000}):
        parts = {"csrf_token": site.token(), **fields}.items()
        body = "".join(f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{it}\r\n' for name, it in parts)
        form = {"data": f"{body}--x--\r\n".encode(), "content_type": "multipart/form-data; boundary=x"}
        assert site.client.post(f"/runs/{run_id}/decision", **form).status_code == 413


def test_the_secret_key_is_made_once_and_is_nobody_elses(tmp_path):
    first = secret_key(tmp_path / "data")
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / "data" / KEY_FILE).chmod(0o644)
    assert secret_key(tmp_path / "data") == first
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [KEY_FILE]


@pytest.mark.usefixtures("no_hard_links")
def test_first_starts_at_once_make_one_key_where_hard_links_are_refused(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from webapp.security.sessions import secret_key; sys.stdin.read(); "
        "key = secret_key(Path(sys.argv[1])); print(key.decode()); "
        "os.link(sys.argv[1], sys.argv[1] + '.link')"  # which shows that links are refused here
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "data")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(5)
    ]  # fmt: skip
    ended = [one.communicate("") for one in started]
    assert all("Operation not permitted" in said for _, said in ended), ended
    assert {key.strip() for key, _ in ended} == {secret_key(tmp_path / "data").decode()}
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [KEY_FILE]


def test_a_key_whose_first_start_was_cut_off_is_made_again(tmp_path):
    (tmp_path / KEY_FILE).touch(0o600)
    assert len(secret_key(tmp_path)) == 64
    assert secret_key(tmp_path) == secret_key(tmp_path)


def test_a_key_that_can_only_be_read_is_used(tmp_path):
    key = secret_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o400)
    assert secret_key(tmp_path) == key


def test_a_damaged_key_says_what_to_do(tmp_path):
    (tmp_path / KEY_FILE).write_text("short")
    with pytest.raises(ConfigError, match="remove it and start again"):
        secret_key(tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "flows.example"])
def test_listening_beyond_this_machine_is_refused_with_the_two_ways_to_mend_it(host):
    with pytest.raises(UsageError) as refused:
        refuse_unless_safe(host, insecure_open=False)
    assert "127.0.0.1" in str(refused.value)
    assert "--insecure-open" in str(refused.value)
    refuse_unless_safe(host, insecure_open=True)


def test_loopback_needs_no_word():
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        refuse_unless_safe(host, insecure_open=False)
    assert not is_loopback("0.0.0.0")
    assert host_name("[::1]:80") == "::1"


def test_without_persistence_there_is_nothing_to_show(tmp_path):
    from neurocore.config import NeuroCoreConfig, Persistence

    with pytest.raises(UsageError, match=r"persistence\.enabled"):
        create_app(NeuroCoreConfig(project_root=tmp_path, persistence=Persistence(enabled=False)))


def test_errors_nobody_meant_show_no_traceback(site, monkeypatch):
    monkeypatch.setattr(site.store, "page_runs", lambda *args, **kwargs: 1 / 0)
    answer = site.client.get("/runs")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "ZeroDivision" not in answer.text
