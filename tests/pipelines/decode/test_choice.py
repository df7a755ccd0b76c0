"""The table of backends, what is missing, and `auto`."""

import sys
import time

import pytest

from tests.pipelines.decode.conftest import Clip, make_plan, with_member
from unreel.pipelines import decode
from unreel.pipelines.decode import BACKENDS, Decoded, available, choose_backend, make_backend
from unreel.pipelines.decode.choose import fastest
from unreel.shards.errors import DecodeFailed


class Pretender:
    """A backend of a known speed."""

    def __init__(
        self, name: str, seconds: float, *, declined: str | None = None, broken: bool = False
    ) -> None:
        self.name, self.seconds, self.declined, self.broken = name, seconds, declined, broken
        self.version, self.calls = "1", 0

    def declines(self, sidecar) -> str | None:
        return self.declined

    def decode(self, samples, plans, *, pixels="rgb") -> Decoded:
        time.sleep(self.seconds)
        self.calls += 1
        return Decoded(frames=None, audio=None, failures={0: DecodeFailed("broken")} if self.broken else {})

    def close(self) -> None:
        pass


def test_the_fastest_is_chosen_and_every_other_accounted_for(mixed: list[Clip]) -> None:
    pretenders = [
        Pretender("slow", 0.03),
        Pretender("quick", 0.003),
        Pretender("picky", 0, declined="takes no such thing"),
        Pretender("bad", 0, broken=True),
    ]
    choice = fastest(
        {pretender.name: pretender for pretender in pretenders},
        [mixed[0].sample],
        [[make_plan([1])]],
        left_out={"absent": "no library"},
    )
    assert choice.name == "quick"
    assert set(choice.rates) == {"slow", "quick"} and choice.rates["quick"] > 3 * choice.rates["slow"]
    assert choice.left_out == {"absent": "no library", "picky": "takes no such thing", "bad": "broken"}
    assert [pretender.calls for pretender in pretenders] == [4, 4, 0, 1]
    assert str(choice).startswith(f"quick {choice.rates['quick']:.0f} clips/s, slow")
    assert "no picky: takes no such thing" in str(choice)


def test_auto_on_real_samples(mixed: list[Clip]) -> None:
    samples = [clip.sample for clip in mixed[:4]]
    choice = choose_backend(samples, [make_plan([3, 20])] * 4, threads=2, repeats=1)
    assert choice.name in choice.rates and "packets" in choice.rates
    assert set(choice.rates) | set(choice.left_out) == set(BACKENDS)


def test_auto_measures_what_several_tasks_share(mixed: list[Clip]) -> None:
    samples = [clip.sample for clip in mixed[:4]]
    plans = [make_plan([3, 20])] * 4, [make_plan([5], start=100)] * 4
    choice = choose_backend(samples, *plans, threads=2, repeats=1)
    assert choice.name in choice.rates and "packets" in choice.rates


def test_no_backend_for_the_samples_is_a_mistake_that_says_why(mixed: list[Clip]) -> None:
    with pytest.raises(ValueError, match=r"no decode backend takes these samples.*packets"):
        choose_backend([with_member(mixed[0].sample, mp4=b"")], [make_plan([3])], threads=1, repeats=1)


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="backend 'pakets': there are packets, decord, torchcodec, dali"):
        make_backend("pakets", threads=1)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_library_is_said_with_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = {"packets": "av", "dali": "nvidia.dali"}.get(name, name)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, BACKENDS[name].partition(":")[0], raising=False)
    reason = available()[name]
    assert reason is not None and "pip install" in reason and "\n" not in reason
    with pytest.raises(ValueError, match=f"backend '{name}' does not work here"):
        make_backend(name, threads=1)


def test_importing_the_table_imports_no_library() -> None:
    import subprocess

    code = f"import sys, {decode.__name__}; print(set(sys.modules) & {{'av', 'decord', 'torchcodec', 'nvidia.dali'}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "set()"
