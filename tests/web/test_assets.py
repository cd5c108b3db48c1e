"""Assets: a name that carries its content, caches that keep it, and the style sheet they build."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from modelyard.core.errors import NotFound
from modelyard.web.assets import FOR_EVER, STATIC, load_assets
from modelyard.web.headers import HEADERS, POLICY

Client = TestClient[Any]


def test_a_name_changes_with_its_content_and_with_nothing_else(tmp_path: Path) -> None:
    for folder in ("css", "fonts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "css" / "1.css").write_text("b{}")
    first = load_assets(tmp_path)
    (tmp_path / "a.js").write_text("2")
    second = load_assets(tmp_path)
    assert first.url("a.js") != second.url("a.js")
    assert first.url("modelyard.css") == second.url("modelyard.css")


@pytest.mark.parametrize(
    ("name", "media"), [("modelyard.css", "text/css"), ("modelyard.js", "text/javascript"), ("inter.woff2", "font/woff2")]
)
def test_an_asset_is_kept_for_ever_under_its_name(client: Client, name: str, media: str) -> None:
    answer = client.get(load_assets().url(name))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media)
    assert answer.headers["cache-control"] == FOR_EVER
    again = client.get(load_assets().url(name), headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_asset_is_compressed_only_for_those_who_take_it(client: Client) -> None:
    url = load_assets().url("modelyard.css")
    plain = client.get(url, headers={"accept-encoding": "identity"})
    zipped = client.get(url, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert (zipped.headers["vary"], zipped.content) == ("Accept-Encoding", plain.content)
    assert int(zipped.headers["content-length"]) < len(gzip.compress(plain.content, 1))


def test_the_chart_library_is_made_when_it_is_asked_for(client: Client) -> None:
    answer = client.get(load_assets().url("vega.js"))
    assert answer.status_code == 200
    assert "vegaEmbed" in answer.text


@pytest.mark.parametrize("name", ["modelyard.000000000000.css", "..%2f..%2fpages.py", "modelyard.css"])
def test_another_name_is_not_found(client: Client, name: str) -> None:
    answer = client.get(f"/assets/{name}")
    assert answer.status_code == 404


def test_an_asset_that_is_not_there_is_a_mistake_in_a_template() -> None:
    with pytest.raises(KeyError):
        load_assets().url("nothing.js")
    with pytest.raises(NotFound, match=r"no asset 'nothing\.js'"):
        load_assets().served("nothing.js")


def test_everything_the_style_sheet_loads_is_served(client: Client) -> None:
    sheet = client.get(load_assets().url("modelyard.css")).text
    names = re.findall(r"url\(([^)]+)\)", sheet)
    assert len(names) == 2
    assert {client.get(f"/assets/{name}").status_code for name in names} == {200}


def test_a_font_brings_its_licence() -> None:
    for font in (STATIC / "fonts").glob("*.woff2"):
        assert "SIL Open Font License" in font.with_name(f"{font.stem}-LICENSE.txt").read_text()


@pytest.mark.parametrize("path", ["/", "/nowhere", "/assets/nothing.js", "/models/no_such"])
def test_every_answer_has_the_headers_that_keep_it_to_itself(client: Client, path: str) -> None:
    answer = client.get(path)
    assert {name.decode(): answer.headers[name.decode()] for name, _ in HEADERS} == {
        name.decode(): value.decode() for name, value in HEADERS
    }


def test_the_policy_allows_nothing_unsafe_and_nobody_else() -> None:
    assert "unsafe" not in POLICY
    assert not re.search(r"https?:|\*|data:", POLICY)
    assert "default-src 'self'" in POLICY
    assert "frame-ancestors 'none'" in POLICY
