"""How long a start is waited for."""

from __future__ import annotations

from local.processes.startup import Activity, StartupWait


def samples(wait, *, until_s, cpu_per_s=0.0, bytes_per_s=0, from_s=0):
    """Observe once a second; return the time of giving up and its reason, or None."""
    for now_s in range(from_s + 1, until_s + 1):
        wait.observe(Activity(cpu_per_s * now_s, bytes_per_s * now_s), now_s)
        reason = wait.reason_to_give_up(now_s)
        if reason:
            return now_s, reason
    return None


def test_a_silent_and_idle_process_is_given_up_after_the_stall_time():
    wait = StartupWait(60, 900, 0)
    assert samples(wait, until_s=1000) == (60, "used no CPU and wrote nothing for 60 s")


def test_timers_of_a_stuck_process_are_no_progress():
    wait = StartupWait(60, 900, 0)
    assert samples(wait, until_s=1000, cpu_per_s=0.002)[0] <= 60 + 1


def test_a_tenth_of_a_core_is_progress_up_to_the_limit():
    wait = StartupWait(60, 900, 0)
    assert samples(wait, until_s=1000, cpu_per_s=0.1) == (900, "was not ready within 900 s")


def test_output_is_progress():
    wait = StartupWait(60, 900, 0)
    assert samples(wait, until_s=899, bytes_per_s=1) is None


def test_the_stall_time_counts_from_the_last_progress():
    wait = StartupWait(60, 900, 0)
    assert samples(wait, until_s=100, cpu_per_s=1.0) is None
    wait.observe(Activity(100.0, 0), 159)
    assert wait.reason_to_give_up(159) is None
    assert wait.reason_to_give_up(160) is not None


def test_a_process_that_was_started_again_has_its_stall_time_again():
    wait = StartupWait(60, 900, 0)
    wait.observe(Activity(5.0, 10), 1)
    wait.observe(Activity(0.1, 10), 50)
    assert wait.reason_to_give_up(100) is None
