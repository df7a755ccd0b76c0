import time

import pytest

from unreel.shards.errors import Unreachable
from unreel.shards.remote.folder import RemoteFolder
from unreel.shards.remote.web import Patience

CONTENT = bytes(range(256)) * 16
HASTY = Patience(attempts=3, pause_seconds=0.01, connect_seconds=0.5, stall_seconds=0.3, slowest=1 << 20)


@pytest.fixture
def remote(faulty_server):
    (faulty_server.folder / "a.tar").write_bytes(CONTENT)
    (faulty_server.folder / "b.tar").write_bytes(CONTENT[::-1])
    return RemoteFolder(faulty_server.url + "/", patience=HASTY)


def test_range_is_what_was_asked_for(remote, faulty_server):
    assert remote.read("a.tar", 100, 1000) == CONTENT[100:1100]
    assert faulty_server.requests[-1] == ("/a.tar", "bytes=100-1099")


def test_passing_trouble_is_asked_again(remote, faulty_server, trouble):
    for kind, value in (("status", "500"), ("reset", ""), ("short", ""), ("status", "503")):
        faulty_server.trouble = [trouble(kind, times=2, value=value)]
        assert remote.read("a.tar", 0, 512) == CONTENT[:512], kind


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("status", "500", "500"),
        ("reset", "", ""),
        ("short", "", ""),
        ("stall", "", ""),
        ("drip", "", ""),
        ("whole", "", "the server offers status 200"),
    ],
)
def test_lasting_trouble_ends_in_an_error_that_names_it(remote, faulty_server, trouble, kind, value, words):
    faulty_server.trouble = [trouble(kind, suffix="a.tar", value=value)]
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"a\.tar") as caught:
        remote.read("a.tar", 0, 512)
    assert words in str(caught.value)
    asked = [path for path, _ in faulty_server.requests if path == "/a.tar"]
    assert len(asked) <= HASTY.attempts
    # A bound that a hanging read would break many times over, not a measurement.
    assert time.monotonic() - begun < 20
    assert remote.read("b.tar", 0, 512) == CONTENT[::-1][:512]


@pytest.mark.parametrize("status", ["403", "404"])
def test_what_is_not_there_is_asked_for_once(remote, faulty_server, trouble, status):
    faulty_server.trouble = [trouble("status", value=status)]
    with pytest.raises(Unreachable):
        remote.read("a.tar", 0, 512)
    assert len(faulty_server.requests) == 1


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "ftp://127.0.0.1/a.tar"]
)
def test_no_redirect_leaves_the_web_or_reaches_a_machines_own_service(remote, faulty_server, trouble, target):
    faulty_server.trouble = [trouble("redirect", value=target)]
    with pytest.raises(Unreachable, match="redirects to"):
        remote.read("a.tar", 0, 512)
    assert len(faulty_server.requests) == 1


def test_redirect_inside_the_same_reach_is_followed(remote, faulty_server, trouble):
    faulty_server.trouble = [trouble("redirect", suffix="a.tar", times=1, value=f"{faulty_server.url}/b.tar")]
    assert remote.read("a.tar", 0, 512) == CONTENT[::-1][:512]


@pytest.mark.parametrize(
    "url", ["pipe:curl x", "file:///etc", "ftp://host/x", "data:,x", "concat:a|b", "http://"]
)
def test_other_schemes_are_refused_by_name(url):
    with pytest.raises(ValueError, match="URL"):
        RemoteFolder(url)


def test_whole_file_has_a_limit(remote):
    assert remote.whole("a.tar") == CONTENT
    with pytest.raises(Unreachable, match="4096 bytes, at most 100 are fetched"):
        remote.whole("a.tar", limit=100)


def test_file_that_does_not_answer_is_left_alone_for_a_while(remote, faulty_server, trouble):
    faulty_server.trouble = [trouble("status", suffix="a.tar", value="500")]
    for _ in range(5):
        with pytest.raises(Unreachable):
            remote.read("a.tar", 0, 8)
    assert len(faulty_server.requests) == HASTY.attempts
