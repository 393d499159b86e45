"""Which tests may run beside which when pytest-xdist has two processes for them, as ``scripts/test`` has.

A file's tests stay together and in their order. Those that keep both cores of a small machine busy by themselves, with
real weights in several workers or with a browser, run one after the other: in one process, and first. Beside them run
tests that mostly wait; what computes comes last, when nothing waits for it.
"""

import pytest

GREEDY = (
    "tests/deploy/test_service.py",
    "tests/system/test_client_package.py",
    "tests/system/test_monitor_page.py",
    "tests/system/test_page",
    "tests/system/test_real_faults.py",
    "tests/system/test_restart.py",
    "tests/system/test_verify_scaling.py",
    "tests/system/test_whole.py",
    "tests/system/test_wlk_client.py",
)
HUNGRY = ("tests/gpu", "tests/peers/test_peers_recognition.py", "tests/scripts/test_bench_engine.py")


def company(nodeid: str) -> str:
    """Return what a test runs together with: its file, or all that is greedy."""
    return "greedy" if nodeid.startswith(GREEDY) else nodeid.split("::", maxsplit=1)[0]


def turn(nodeid: str) -> int:
    """Return when a test's turn comes, the lowest first."""
    return 0 if nodeid.startswith(GREEDY) else 2 if nodeid.startswith(HUNGRY) else 1


@pytest.fixture(scope="session")
def anyio_backend():
    """Run async tests on asyncio."""
    return "asyncio"


@pytest.hookimpl(optionalhook=True)  # the hook is pytest-xdist's
def pytest_xdist_make_scheduler(config, log):
    """Hand out the tests by their company, in the order of their turns."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - not needed where nothing is handed out

    class Companies(LoadScopeScheduling):
        _split_scope = staticmethod(company)

    config.option.loadscopereorder = False
    return Companies(config, log)


def pytest_collection_modifyitems(config, items):
    """Put the tests in the order of their turns where there are several processes."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn(item.nodeid))
