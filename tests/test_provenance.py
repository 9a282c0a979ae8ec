"""The hardware, versions and revision behind numbers."""

import json
import subprocess

from mtsccd_jax import provenance


def test_the_environment_names_hardware_and_versions_in_json():
    facts = json.loads(json.dumps(provenance.environment()))
    assert facts["platform"] == "cpu"
    assert facts["devices"] == 8
    assert facts["cores"] >= 1
    assert facts["cpu"]
    assert facts["versions"]["jax"].startswith("0.")


def test_a_missing_package_has_no_version():
    assert provenance.versions(("numpy", "no-such-package"))["no-such-package"] is None


def test_outside_a_checkout_there_is_no_revision(monkeypatch):
    def no_git(*arguments, **settings):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(provenance.subprocess, "run", no_git)
    assert provenance.commit() is None
