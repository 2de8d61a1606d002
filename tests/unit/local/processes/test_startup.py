"""Timeouts of a starting process."""

from __future__ import annotations

from local.processes.startup import Activity, StartupTimeout


def samples(startup, *, until_s, cpu_per_s=0.0, bytes_per_s=0, from_s=0):
    """Observe once a second; return the time and reason of the timeout, or None."""
    for now_s in range(from_s + 1, until_s + 1):
        startup.observe(Activity(cpu_per_s * now_s, bytes_per_s * now_s), now_s)
        reason = startup.timeout_reason(now_s)
        if reason:
            return now_s, reason
    return None


def test_idle_process_times_out_after_the_stall_timeout():
    startup = StartupTimeout(60, 900, 0)
    assert samples(startup, until_s=1000) == (60, "used no CPU and wrote nothing for 60 s")


def test_timer_wakeups_are_not_progress():
    startup = StartupTimeout(60, 900, 0)
    assert samples(startup, until_s=1000, cpu_per_s=0.002)[0] <= 60 + 1


def test_a_tenth_of_a_core_is_progress_until_the_total_limit():
    startup = StartupTimeout(60, 900, 0)
    assert samples(startup, until_s=1000, cpu_per_s=0.1) == (900, "was not ready within 900 s")


def test_log_output_is_progress():
    startup = StartupTimeout(60, 900, 0)
    assert samples(startup, until_s=899, bytes_per_s=1) is None


def test_stall_timeout_starts_at_the_last_progress():
    startup = StartupTimeout(60, 900, 0)
    assert samples(startup, until_s=100, cpu_per_s=1.0) is None
    startup.observe(Activity(100.0, 0), 159)
    assert startup.timeout_reason(159) is None
    assert startup.timeout_reason(160) is not None


def test_restart_resets_the_stall_timeout():
    startup = StartupTimeout(60, 900, 0)
    startup.observe(Activity(5.0, 10), 1)
    startup.observe(Activity(0.1, 10), 50)
    assert startup.timeout_reason(100) is None
