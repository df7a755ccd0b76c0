"""Signals: the first one undoes what was begun, the second one ends the process at once."""

import signal
import subprocess
import sys
import threading

import pytest

from unreel.tools.stopping import Stopped, stop_in_good_order

TWICE = """
import signal, time
from unreel.tools.stopping import stop_in_good_order
try:
    with stop_in_good_order():
        signal.raise_signal(signal.SIGTERM)
finally:
    print("undone", flush=True)
    with stop_in_good_order():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            print("never", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_is_raised_and_the_handlers_come_back(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    with pytest.raises(Stopped, match=number.name) as stopped, stop_in_good_order():
        signal.raise_signal(number)
    assert stopped.value.number == number
    assert signal.getsignal(number) is former


def test_second_signal_ends_the_process_whatever_it_does() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (128 + signal.SIGTERM, ["undone"])


def test_other_threads_have_no_signals() -> None:
    entered = []

    def enter() -> None:
        with stop_in_good_order():
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]
