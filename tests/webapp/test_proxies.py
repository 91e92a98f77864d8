"""What proxies say of a request, and how far that is believed."""

from __future__ import annotations

import pytest

from neurocore.config import load_config

NAMES = {"allowed_hosts": ["flows.example"]}


def sent(site, path="/", **headers):
    return site.client.get(path, headers={"Host": "flows.example", **headers})


@pytest.mark.parametrize("path", ["/neuro/runs", "/runs"])
@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"root_path": "/neuro"}, {}),
        ({"root_path": "/neuro/"}, {}),
        ({"public_url": "https://flows.example:8443/neuro/"}, {}),
        ({"proxies": 1}, {"X-Forwarded-Prefix": "/neuro"}),
        ({"proxies": 1}, {"X-Forwarded-Prefix": "/neuro/"}),
        ({"proxies": 1, "root_path": "/other"}, {"X-Forwarded-Prefix": "/neuro"}),
        ({"proxies": 2}, {"X-Forwarded-Prefix": "/forged, /neuro, /inner"}),
    ],
)
def test_below_a_path_every_address_has_it_whether_the_proxy_takes_it_off_or_not(make_site, settings, headers, path):
    site = make_site(**NAMES, **settings)
    run_id = site.run()
    page = sent(site, path, **headers).text
    assert f'href="/neuro/runs/{run_id}' in page
    assert 'href="/runs' not in page
    assert 'src="/neuro/static/' in page
    made = site.client.post(
        "/neuro/api/v1/blueprints/payout/runs", json={"by": "ann"}, headers={"Host": "flows.example", **headers}
    )
    assert made.headers["Location"].startswith("/neuro/api/v1/runs/")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "/neuro"),
        *(
            ({"proxies": 1}, said)
            for said in ("//evil.example", "/..", "/a/../b", "/a b", "neuro", "/é", '/"><b>', "/")
        ),
    ],
)
def test_a_path_that_nobody_may_say_or_that_leads_away_is_left_alone(make_site, settings, said):
    page = sent(make_site(**NAMES, **settings), "/runs", **{"X-Forwarded-Prefix": said}).text
    assert 'href="/approvals"' in page


def test_the_root_path_wins_over_the_path_of_the_public_address(make_site):
    site = make_site(**NAMES, public_url="https://flows.example/neuro", root_path="")
    assert 'href="/approvals"' in sent(site, "/runs").text


def test_a_copied_link_has_the_path_once(make_site):
    site = make_site(**NAMES, public_url="https://flows.example/neuro")
    run_id = site.run()
    assert f'data-copy="https://flows.example/neuro/runs/{run_id}"' in sent(site, f"/neuro/runs/{run_id}").text


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"X-Forwarded-Host": "flows.example:8443", "X-Forwarded-Proto": "https"}, "https://flows.example:8443"),
        ({"X-Forwarded-Port": "8443", "X-Forwarded-Proto": "https"}, "https://flows.example:8443"),
        ({"X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"}, "https://flows.example"),
        ({"X-Forwarded-Port": "80", "X-Forwarded-Proto": "http"}, "http://flows.example"),
        ({"Host": "flows.example:8443", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"},
         "https://flows.example:8443"),
        ({"Host": "127.0.0.1:8321"}, "https://pay.example:8443"),
        ({"Host": "127.0.0.1:8321", "Referer": "https://pay.example:8443/runs"}, ""),
        ({"Host": "127.0.0.1:8321", "Sec-Fetch-Site": "same-origin"}, "https://whatever.example"),
    ],
)  # fmt: skip
def test_a_form_that_comes_through_a_proxy_is_our_own(make_site, headers, origin):
    site = make_site(**NAMES, proxies=1, public_url="https://pay.example:8443")
    given = {"Host": "flows.example", "Origin": origin, **headers}
    answer = site.client.post("/api/v1/blueprints/payout/runs", json={"by": "ann"}, headers=given)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://flows.example:8443"},
        {"Origin": "http://flows.example:8443", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"},
        {"Origin": "http://flows.example", "Sec-Fetch-Site": "same-site"},
        {"Referer": "https://evil.example/flows.example"},
        {"Referer": "http://flows.example.evil.example/"},
    ],
)
def test_what_comes_from_another_port_or_scheme_is_refused_and_names_the_settings(make_site, headers):
    site = make_site(**NAMES, proxies=1)
    given = {"Host": "flows.example", **headers}
    answer = site.client.post("/api/v1/blueprints/payout/runs", json={"by": "ann"}, headers=given)
    assert answer.status_code == 403
    assert "web.public_url" in answer.json["detail"]
    assert "web.proxies" in answer.json["detail"]


def test_a_host_that_is_not_allowed_names_both_settings(site):
    text = sent(site, "/api/v1/runs").json["detail"]
    assert "web.allowed_hosts" in text
    assert "web.public_url" in text


def test_below_a_path_cookies_stay_there(make_site):
    site = make_site(**NAMES, proxies=1, root_path="/neuro")
    cookie = sent(site, "/blueprints/payout").headers["Set-Cookie"]
    assert cookie.startswith("neurocore-")
    assert "Path=/neuro" in cookie
    secure = sent(site, "/blueprints/payout", **{"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert secure.startswith("__Secure-neurocore-")
    assert "Path=/neuro" in secure


@pytest.mark.parametrize("path", ["neuro", "//evil.example", "/a//b", "/../x", "/a?b", "/a b", "/é", "https://x/y"])
def test_a_root_path_that_is_no_path_is_refused(tmp_path, path):
    from neurocore.errors import ConfigError

    (tmp_path / "neurocore.yaml").write_text(f"project: {{name: x}}\nweb: {{root_path: {path!r}}}\n")
    with pytest.raises(ConfigError, match=r"web\.root_path: It is not a path"):
        load_config(tmp_path, environ={})
    (tmp_path / "neurocore.yaml").write_text("project: {name: x}\n")
    with pytest.raises(ConfigError, match="It is not a path"):
        load_config(tmp_path, environ={"NEUROCORE_WEB__ROOT_PATH": path})
