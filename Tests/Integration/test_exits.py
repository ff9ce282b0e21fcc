"""A client's choice of exits."""

import signal
import time
import unittest

from devnet import Devnet, ask, wait_until
from face import Through, echo_port
from network import Network, Process, free_port


class Exits(unittest.TestCase):
    def test_choice_by_country_and_id_failover_and_avoidance(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(6)], exits=3) as net:
            for number, country in [(3, "SE"), (4, "SE"), (5, "NO")]:
                net.prefixes[number] = ["env", f"TUNIC_RELAY_COUNTRY={country}"]
            net.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 6 for node in net.nodes))
            ids = [node.status()["node"] for node in net.nodes]
            folder = net.folder / "client"
            folder.mkdir(0o700)
            net.start_client(
                hops=2, folder=folder,
                prefix=["env", "TUNIC_CLIENT_EXITS=country:SE", f"TUNIC_CLIENT_AVOID={ids[0]}",
                        "TUNIC_CLIENT_EXIT_CHECK=1"])
            control = net.client.control
            wait_until(lambda: net.client.status()["ready"])
            exits = ask(control, "exits")["exits"]
            self.assertEqual({(e["node"], e["country"]) for e in exits}, {(ids[3], "SE"), (ids[4], "SE")})
            wait_until(lambda: all(e.get("up") for e in ask(control, "exits")["exits"]))
            self.assertEqual([s["done"] for s in net.client.status()["progress"]], [True] * 4)
            for path in ask(control, "paths")["paths"]:
                self.assertIn(path["hops"][-1], (ids[3], ids[4]))
                self.assertNotIn(ids[0], path["hops"])
            # One exit dies. The client sees that it is down, and new streams use the other exit.
            net.nodes[3].process.kill()
            wait_until(lambda: any(
                e["node"] == ids[3] and e.get("up") is False for e in ask(control, "exits")["exits"]), 30)
            port = echo_port(self)
            with Devnet.connect(Through(net.client.status()["socks"][0]), "127.0.0.1", port) as stream:
                stream.sendall(b"x")
                self.assertEqual(stream.recv(1), b"x")
            used = [e["node"] for e in ask(control, "exits")["exits"] if e["sessions"]]
            self.assertEqual(used, [ids[4]])

    def test_a_choice_that_leaves_no_exit_is_said_and_nobody_waits(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=1) as net:
            net.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 3 for node in net.nodes))
            folder = net.folder / "client"
            folder.mkdir(0o700)
            file = net.folder / "tunic.toml"
            text = 'exits = ["country:XX"]\n'
            lines = f'network = "{net.file}"\ndata = "{folder}"\n[client]\nsocks = ["127.0.0.1:0"]\nhops = 2\n'

            def refused():
                started = time.monotonic()
                with self.assertRaises(OSError):
                    Devnet.connect(Through(net.client.status()["socks"][0]), "127.0.0.1", 9)
                return time.monotonic() - started < 15

            file.write_text(lines + text)
            net.client = Process([], ["run", "--config", file], folder)
            problem = "None of the exits known (1) may be used; look at client.exits and client.avoid."
            wait_until(lambda: net.client.status().get("problem") == problem)
            self.assertTrue(refused())
            # First a choice that leaves one exit, then again the one that leaves none.
            file.write_text(lines)
            net.client.process.send_signal(signal.SIGHUP)
            wait_until(lambda: net.client.status()["ready"])
            file.write_text(lines + text)
            net.client.process.send_signal(signal.SIGHUP)
            wait_until(lambda: not net.client.status()["ready"])
            self.assertEqual(net.client.status()["problem"], problem)
            self.assertTrue(refused())
            # Told by the client at once, and later by the process, from the status.
            for line in [f"warning {problem}", f"warning not ready: {problem}"]:
                wait_until(lambda: line in net.client.log.read_text())


if __name__ == "__main__":
    unittest.main()
