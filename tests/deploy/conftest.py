from tests.system.conftest import start_server

__all__ = ["start_server"]
