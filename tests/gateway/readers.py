"""Clients that put together what they are sent, and check what the protocol guarantees."""

import json

from prometheus_client.parser import text_string_to_metric_families


def read_values(client, kind, key) -> list:
    """Read what a client of an `Exchange` has been sent; return one key of all messages of one type."""
    return [message[key] for message in map(json.loads, client.read()) if message.get("type") == kind]


def read_statuses(client) -> list[str]:
    return read_values(client, "status", "message")


def shown(update) -> str:
    """Return the committed text of an update as one string."""
    return " ".join(line["text"] for line in update["lines"] if line["speaker"] != -2)


def read_samples(text) -> dict:
    """Return every sample of a scrape by its name without the prefix, and the values of its labels in their order."""
    return {
        (each.name.removeprefix("whisperlivekit_"), *(value for _, value in sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


class Reader:
    """Puts events together as the page does, and checks their order and numbers."""

    def __init__(self) -> None:
        self.seq = 0
        self.finals: dict[int, str] = {}
        self.open: dict | None = None
        self.acked = (0, 0)
        self.types: list[str] = []

    def __call__(self, messages) -> int:
        """Take what was read, or None for a new socket; return the last ``seq`` seen."""
        if messages is None:
            self.acked = (0, 0)
        take = {"final": self._final, "partial": self._partial, "ack": self._ack}
        for message in messages or []:
            assert message["seq"] > self.seq
            self.seq = message["seq"]
            self.types.append(message["type"])
            if message["type"] in take:
                take[message["type"]](message)
        return self.seq

    def _final(self, message) -> None:
        number = message["segment"]
        assert number == len(self.finals) + 1, "finals come once and in order"
        if self.open is not None:
            assert self.open["segment"] == number
            assert message["text"].startswith(self.open["committed"])
        self.open = None
        self.finals[number] = message["text"]

    def _partial(self, message) -> None:
        assert message["segment"] == len(self.finals) + 1
        if self.open is not None:
            assert message["committed"].startswith(self.open["committed"])
        assert message["start"] <= message["end"]
        self.open = message

    def _ack(self, message) -> None:
        assert message["received"] >= self.acked[0]
        assert message["committed_until"] >= self.acked[1]
        self.acked = (message["received"], message["committed_until"])

    @property
    def text(self) -> str:
        """Return the text that the page shows, without blanks."""
        tail = self.open["committed"] + self.open["tail"] if self.open else ""
        return ("".join(self.finals.values()) + tail).replace(" ", "")
