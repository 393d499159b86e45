"""Which worker serves which session: workers, leases, the wait queue, migrations, and events about all of it."""
