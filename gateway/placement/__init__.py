"""Which worker serves which session: workers, leases, the waiting line, moves, and the events that tell of it."""
