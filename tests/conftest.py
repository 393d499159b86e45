"""What every test has, and in which order files run where pytest-xdist has several processes, as ``scripts/test`` has.

A file's tests stay together and in their order. Those that keep the machine busy by themselves, with real weights in
several workers or with a browser, or that measure how fast it is, run one after the other: in one process, and first,
what can bear company last. Beside them run tests that mostly wait, the longest files first; what computes comes last.
"""

import pytest

ALONE = (
    "tests/system/test_verify_scaling.py",
    "tests/system/test_page_network.py",
    "tests/system/test_page_reload.py",
    "tests/system/test_page.py",
    "tests/system/test_monitor_page.py",
    "tests/system/test_page_real.py",
    "tests/system/test_wlk_client.py",
    "tests/system/test_client_package.py",
    "tests/system/test_whole.py",
    "tests/deploy/test_service.py",
    "tests/system/test_real_faults.py",
)
LONG = (
    "tests/system/test_survival.py",
    "tests/peers/test_peers.py",
    "tests/system/test_restart.py",
    "tests/system/test_faults.py",
    "tests/system/test_resume.py",
    "tests/scripts/test_make_venv.py",
    "tests/system/test_verify_scaling_ends.py",
    "tests/system/test_both_processes.py",
    "tests/deploy/test_prometheus.py",
    "tests/system/test_supervision.py",
    "tests/deploy/test_proxies.py",
    "tests/system/test_bounds.py",
    "tests/system/test_monitoring.py",
)
COMPUTING = ("tests/gpu", "tests/peers/test_peers_recognition.py", "tests/scripts/test_bench_engine.py")


def scope(nodeid: str) -> str:
    """Return what a test runs together with: its file, or all that run alone."""
    return "alone" if nodeid.startswith(ALONE) else nodeid.split("::", maxsplit=1)[0]


def turn(nodeid: str) -> int:
    """Return when a test's turn comes, the lowest first."""
    order = (*ALONE, *LONG)
    if nodeid.startswith(COMPUTING):
        return len(order) + 1
    return next((place for place, name in enumerate(order) if nodeid.startswith(name)), len(order))


@pytest.fixture(scope="session")
def anyio_backend():
    """Run async tests on asyncio."""
    return "asyncio"


@pytest.hookimpl(optionalhook=True)  # the hook is pytest-xdist's
def pytest_xdist_make_scheduler(config, log):
    """Hand out the tests by their scope, in the order of their turns."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - not needed where nothing is handed out

    class Scopes(LoadScopeScheduling):
        _split_scope = staticmethod(scope)

    config.option.loadscopereorder = False
    return Scopes(config, log)


def pytest_collection_modifyitems(config, items):
    """Put the tests in the order of their turns where there are several processes."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn(item.nodeid))
