"""Ferrule joins any two endpoints and relays between them, both ways, losing nothing.

    >>> from ferrule import Relay, TcpListen, TcpConnect
    >>> with Relay(TcpListen(8080, fork=True), TcpConnect("db", 5432)).start() as running:
    ...     running.wait()

Addresses are typed objects (``ferrule.addresses``, all of them also here) or text as in socat(1).
Nothing is imported before it is used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ferrule import addresses
    from ferrule._core import Flow as Flow
    from ferrule._core import Holder as Holder
    from ferrule._core import Host as Host
    from ferrule._core import Outages as Outages
    from ferrule._core import Port as Port
    from ferrule._core import Report as Report
    from ferrule._core import Running as Running
    from ferrule._core import __version__ as __version__
    from ferrule._core import ports as ports
    from ferrule.address import Address as Address
    from ferrule.address import Dual as Dual
    from ferrule.address import parse as parse
    from ferrule.address import quote as quote
    from ferrule.addresses import *  # noqa: F403
    from ferrule.capture import Capture as Capture
    from ferrule.errors import AddressError as AddressError
    from ferrule.errors import ChildError as ChildError
    from ferrule.errors import OpenError as OpenError
    from ferrule.errors import OpenTimeoutError as OpenTimeoutError
    from ferrule.errors import RelayError as RelayError
    from ferrule.errors import TransferError as TransferError
    from ferrule.errors import TransferTimeoutError as TransferTimeoutError
    from ferrule.pair import VirtualPair as VirtualPair
    from ferrule.pair import virtual_pair as virtual_pair
    from ferrule.relay import Relay as Relay

# Where each name lives; what is not here is one of the typed addresses.
_HOMES = {
    "Address": "address",
    "AddressError": "errors",
    "Capture": "capture",
    "ChildError": "errors",
    "Dual": "address",
    "Flow": "_core",
    "Holder": "_core",
    "Host": "_core",
    "OpenError": "errors",
    "OpenTimeoutError": "errors",
    "Outages": "_core",
    "Port": "_core",
    "Relay": "relay",
    "RelayError": "errors",
    "Report": "_core",
    "Running": "_core",
    "TransferError": "errors",
    "TransferTimeoutError": "errors",
    "VirtualPair": "pair",
    "__version__": "_core",
    "parse": "address",
    "ports": "_core",
    "quote": "address",
    "virtual_pair": "pair",
}

__all__ = [
    "Address",
    "AddressError",
    "Capture",
    "ChildError",
    "Dual",
    "Flow",
    "Holder",
    "Host",
    "OpenError",
    "OpenTimeoutError",
    "Outages",
    "Port",
    "Relay",
    "RelayError",
    "Report",
    "Running",
    "TransferError",
    "TransferTimeoutError",
    "VirtualPair",
    "__version__",
    "parse",
    "ports",
    "quote",
    "virtual_pair",
]


if TYPE_CHECKING:
    __all__ += addresses.__all__
else:

    def __getattr__(name: str) -> object:
        if name.startswith("_") and name != "__version__":
            raise AttributeError(f"module 'ferrule' has no attribute {name!r}")
        from importlib import import_module

        home = import_module(f"ferrule.{_HOMES.get(name, 'addresses')}")
        try:
            value = globals()[name] = getattr(home, name)
        except AttributeError:
            raise AttributeError(f"module 'ferrule' has no attribute {name!r}") from None
        return value


def __dir__() -> list[str]:
    from ferrule import addresses

    return sorted({*globals(), *__all__, *addresses.__all__})
