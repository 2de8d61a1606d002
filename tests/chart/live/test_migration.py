"""The Job that migrates the schema runs before pods of a new version, and a failure stops the roll-out."""

from __future__ import annotations

import pytest
from helm_python import HelmError

from tests.chart.helm import merged
from tests.chart.live.cases import needed
from tests.chart.live.release import Values
from tests.chart.live.resources import objects

CHARTS = ("rag", "ratelimit")
FAILING = "failing"  # Jobs fail in namespaces with this prefix
DEPLOYMENTS = "apps/v1/deployments"


def migrating(chart: str, *, revision: str = "1") -> Values:
    # One failure is enough: a Job waits 10 s and longer before the next attempt.
    return merged(needed(chart), {"migration": {"backoffLimit": 0}, "podAnnotations": {"test/revision": revision}})


def without(chart: str) -> Values:
    return merged(needed(chart), {"migration": {"enabled": False}})


@pytest.mark.parametrize("chart", CHARTS)
def test_migration_completes_before_install_and_upgrade_and_leaves_nothing(make_release, chart):
    release = make_release(chart)
    release.install(migrating(chart))
    release.upgrade(migrating(chart, revision="2"))
    assert release.running()
    left = objects(release.api, release.namespace)
    assert not [each for each in left if each.endswith("-migrate")]


@pytest.mark.parametrize("chart", CHARTS)
def test_failed_migration_prevents_the_install_and_can_be_uninstalled(make_release, chart):
    release = make_release(chart, prefix=FAILING)
    with pytest.raises(HelmError, match="(?i)pre-install|hook"):
        release.install(migrating(chart))
    assert release.list(DEPLOYMENTS) == []
    assert release.status() == "failed"
    release.uninstall()
    left = objects(release.api, release.namespace)
    assert [each for each in left if each.startswith("secrets/")] == []


@pytest.mark.parametrize("chart", CHARTS)
def test_failed_migration_leaves_the_running_version_alone(make_release, chart):
    release = make_release(chart, prefix=FAILING)
    release.install(without(chart))
    before = release.only(DEPLOYMENTS)
    with release.watch_pods() as watch, pytest.raises(HelmError, match="(?i)pre-upgrade|hook"):
        release.upgrade(migrating(chart, revision="2"))
    after = release.only(DEPLOYMENTS)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert watch.removed == []
    release.upgrade(without(chart))
    assert release.status() == "deployed"
