"""A test that is skipped tests nothing. In CI (CI=true), a skip for a reason that is not allowed here fails the run.

Everywhere else a skip is only reported: `make test` needs no extra and no data.
"""

import os
import re

import pytest

# What a machine may lack that no package brings.
ALLOWED = re.compile(r"\b(GPU|CuPy)\b|the processor has no")


def unexpected_skips(reports: list[pytest.TestReport | pytest.CollectReport]) -> list[str]:
    """A line for each skip that is not allowed: the test, and the reason that it gave."""
    found = []
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not ALLOWED.search(reason):
            found.append(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
    return found


def skips_that_fail(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return unexpected_skips(reporter.stats.get("skipped", [])) if os.environ.get("CI") == "true" else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and skips_that_fail(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := skips_that_fail(config):
        terminalreporter.section("skipped, which CI does not allow", red=True)
        for line in lines:
            terminalreporter.line(line)
