"""A relay's rate limit, month limit and drain."""

import os
import signal
import time
import unittest

from devnet import Devnet, wait_until
from face import Through, echo_port, source_port
from network import Network, free_port

# The seconds for which the rate is measured and printed, before and after a reload; 0: it is only checked.
FIGURES = float(os.environ.get("TUNIC_RATE_SECONDS", "0"))


class Limits(unittest.TestCase):
    def test_rate_month_drain_and_reload_under_load(self):
        """R8: relays that send at most 2 MB a second each. The rate of each relay is measured while a download runs, over
        TUNIC_RATE_SECONDS (2) before and after a reload."""
        # Bytes above the rate at one time, which the relay makes up for: bytes in the kernel, and those of one look.
        rate, burst, ahead = 2_000_000, 100_000, 200_000
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=1) as net:
            # A burst smaller than the measured bytes, and a short drain.
            net.prefix = ["env", f"TUNIC_RELAY_RATE={rate}", f"TUNIC_RELAY_BURST={burst}", "TUNIC_RELAY_DRAIN=2"]
            socks = net.start(hops=2)
            port = source_port(self)
            with Devnet.connect(Through(socks), "127.0.0.1", port) as stream:
                count = 0

                def read_for(seconds):
                    nonlocal count
                    end = time.monotonic() + seconds
                    while time.monotonic() < end:
                        count += len(stream.recv(1 << 18))

                def sent():
                    """The bytes sent by each node, and the times before and after each count."""
                    counts = []
                    for node in net.nodes:
                        asked = time.monotonic()
                        counts.append((node.status()["total"]["bytes_out"], asked, time.monotonic()))
                    return counts

                read_for(0.5)
                before = sent()
                read_for(FIGURES or 2)
                # All processes are reloaded by SIGHUP in the middle, and the stream goes on.
                for process in [net.client, *net.nodes]:
                    process.process.send_signal(signal.SIGHUP)
                read_for(FIGURES or 2)
                # The longest possible time between the two counts of a relay, so that a busy machine does not look like
                # a fast relay.
                spans = [(after[0] - first[0], after[2] - first[1]) for first, after in zip(before, sent())]
                for count, seconds in spans:
                    self.assertLess(count, rate * 1.05 * seconds + burst + ahead)
                if FIGURES:
                    print("\nbytes a second, of %d: %s" % (rate, [round(count / seconds) for count, seconds in spans]))
                self.assertTrue(net.client.status()["ready"])
                wait_until(lambda: max(node.status()["accounting"]["bytes"] for node in net.nodes) > rate)
                # The path stays open, so that the drain ends at its deadline.
                relay = max(net.nodes, key=lambda node: node.status()["paths"]).process
                relay.terminate()
                self.assertEqual(relay.wait(30), 0)

    def test_a_drain_ends_when_the_last_stream_does(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=1) as net:
            net.prefix = ["env", "TUNIC_RELAY_DRAIN=600"]
            socks = net.start(hops=1)
            exit = net.nodes[-1]
            with Devnet.connect(Through(socks), "127.0.0.1", echo_port(self)) as stream:
                exit.process.terminate()
                wait_until(lambda: exit.status().get("draining"))
                # Longer than a drain waits without a stream.
                for _ in range(4):
                    stream.sendall(b"x")
                    self.assertEqual(stream.recv(1), b"x")
                    time.sleep(1)
                self.assertIsNone(exit.process.poll())
            self.assertEqual(exit.process.wait(120), 0)

    def test_v2_asking_for_the_status_books_nothing(self):
        """The month's bytes are counted once a second, however often they are requested."""
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=1) as net:
            socks = net.start(hops=2)
            with Devnet.connect(Through(socks), "127.0.0.1", source_port(self)) as stream:
                passed, booked = set(), set()
                begin = time.monotonic()
                while len(passed) <= 30 and time.monotonic() < begin + 30:
                    stream.recv(1 << 18)
                    report = net.nodes[-1].status()
                    passed.add(report["total"]["bytes_out"])
                    booked.add(report["accounting"]["bytes"])
                seconds = time.monotonic() - begin
            self.assertGreater(len(passed), 30)
            self.assertLessEqual(len(booked), seconds + 2)

    def test_the_months_bytes_are_kept_and_rest_the_relay(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=1) as net:
            net.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 3 for node in net.nodes))
            wait_until(lambda: net.nodes[0].status()["accounting"]["bytes"] > 0)
            net.nodes[0].process.terminate()
            net.nodes[0].process.wait(60)
            folder = net.folder / "net" / "node-1"
            since, used = map(int, (folder / "accounting").read_text().split()[:2])
            self.assertGreater(used, 0)
            self.assertLess(abs(since - time.time()), 32 * 86400)
            net.prefixes[0] = ["env", "TUNIC_RELAY_MONTHLY_LIMIT=5 MB"]
            others, net.addresses, net.listen = net.nodes[1:], net.addresses[:1], net.listen[:1]

            def start_with(account):
                (folder / "accounting").write_text(account)
                net.nodes = []
                net.start_nodes()
                net.nodes += others
                wait_until(lambda: net.nodes[0].status().get("accounting"))

            # An invalid file is replaced by a new account.
            start_with(f"{since} {2**64 - 1}\n")
            wait_until(lambda: 0 < net.nodes[0].status()["accounting"]["bytes"] < 5_000_000)
            net.nodes[0].process.kill()
            net.nodes[0].process.wait()
            # The clock was a month ahead for a while. The present month's bytes count again.
            start_with(f"{since + 32 * 86400} 0 {since} 5000000\n")
            wait_until(lambda: net.nodes[0].status().get("draining"))
            self.assertIn("month", net.nodes[0].status()["problem"])
            self.assertEqual(net.nodes[0].status()["accounting"]["since"], since)


if __name__ == "__main__":
    unittest.main()
