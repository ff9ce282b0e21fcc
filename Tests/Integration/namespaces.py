"""Network namespaces for tests: other processes and sockets of this process in separate networks."""
import concurrent.futures
import ctypes
import os
import subprocess
import threading

_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """No namespace can be created here."""


class Namespace:
    """A network namespace (and one of mounts) with its loopback up, while the context is open; `prefix` starts programs in it."""

    def __init__(self, *, resolver=None):
        mount = f"mount --bind {resolver} /etc/resolv.conf && " if resolver else ""
        try:
            self.holder = subprocess.Popen(
                ["unshare", "-n", "-m", "sh", "-c", f"{mount}ip link set lo up && echo ready && exec sleep 3600"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except FileNotFoundError as error:
            raise Unavailable("no unshare") from error
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "-n", "-m", "-r", "-w"]
        ready = self.holder.stdout.readline() == "ready\n"
        if not ready or subprocess.run([*self.prefix, "true"], capture_output=True).returncode != 0:
            self.close()
            raise Unavailable("no network namespace can be made or entered here")

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, *command, **options):
        """Runs a program in the namespace."""
        return subprocess.run([*self.prefix, *command], capture_output=True, text=True, **options)

    def sh(self, script):
        """Runs shell commands in the namespace, which must succeed."""
        done = self.run("sh", "-ec", script)
        if done.returncode:
            raise Unavailable(done.stderr)
        return done.stdout

    def call(self, function, *arguments, **options):
        """Calls a function on a thread whose sockets are in the namespace."""
        result = concurrent.futures.Future()

        def work():
            try:
                descriptor = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
                try:
                    if _libc.setns(descriptor, _NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(descriptor)
                result.set_result(function(*arguments, **options))
            except BaseException as error:  # noqa: it is the caller's
                result.set_exception(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return result.result()
