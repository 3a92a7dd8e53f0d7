"""Every lesson run by the tests is an offline test: only this machine can be reached."""

import ipaddress
import socket

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def _refuse_the_network(address: object) -> None:
    if isinstance(address, tuple):
        host = str(address[0])
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise OSError(f"lessons run offline, this one tried to reach {host}")


def _guarded_connect(self: socket.socket, address: object) -> None:
    _refuse_the_network(address)
    return _connect(self, address)  # type: ignore[arg-type]


def _guarded_connect_ex(self: socket.socket, address: object) -> int:
    _refuse_the_network(address)
    return _connect_ex(self, address)  # type: ignore[arg-type]


def _no_lookup(host: object, *args: object, **kwargs: object) -> object:
    if host in (None, "localhost", "127.0.0.1", "::1"):
        return _getaddrinfo(host, *args, **kwargs)  # type: ignore[arg-type]
    raise OSError(f"lessons run offline, this one tried to look up {host}")


_getaddrinfo, socket.getaddrinfo = socket.getaddrinfo, _no_lookup
socket.socket.connect = _guarded_connect  # type: ignore[method-assign]
socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]
