"""The calling convention: what ctypes hands to a library function, and how to answer.

Owns reading handles and writing results through the pointers that nvidia-ml-py passes. A function
here never sees a value where the C library would want a pointer: that is an error in the caller,
which would crash a real process, and raises TypeError.
"""

import ctypes
from collections.abc import Callable
from typing import Any

SUCCESS = 0
UNINITIALIZED = 1
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7
TIMEOUT = 10
CORRUPTED_INFOROM = 14
GPU_IS_LOST = 15
NO_DATA = 21
ARGUMENT_VERSION_MISMATCH = 25
DEPRECATED = 26

# Called with the board, then with what the caller passed after its handle; returns an NVML code.
DeviceCall = Callable[..., int]
# Called with the driver first, and with the board second where there is a handle.
HostCall = Callable[..., int]

HANDLE_BASE = 0x7F00_0000_0000
HANDLE_STEP = 0x1000

# A structure's fields without the binding's conversion of texts, which costs more than the answer.
get_field = object.__getattribute__
set_field = object.__setattr__

_BYREF: Any = type(ctypes.byref(ctypes.c_int()))


def target(argument: Any) -> Any:
    """Return the object that a pointer argument points to; None for a null pointer."""
    try:
        return argument._obj  # noqa: SLF001 - the only way from a byref to its object
    except AttributeError:
        if argument is None:
            return None
    if isinstance(argument, ctypes.Array):
        return argument
    if isinstance(argument, ctypes._Pointer):  # noqa: SLF001 - the base of all pointer types
        return argument.contents
    raise TypeError(f"{type(argument).__name__} was passed by value where NVML wants a pointer")


def put(argument: Any, value: float) -> int:
    """Write one number through a pointer."""
    try:
        argument._obj.value = value  # noqa: SLF001 - as `target`, without a call more
    except AttributeError:
        target(argument).value = value
    return SUCCESS


def put_text(argument: Any, size: Any, text: str) -> int:
    """Write a string and its NUL into a buffer of that size."""
    data = text.encode()
    if len(data) >= number(size):
        return INSUFFICIENT_SIZE
    buffer = argument if isinstance(argument, ctypes.Array) else target(argument)
    buffer.value = data
    return SUCCESS


def number(argument: Any) -> int:
    """Return a number that was passed bare or as a ctypes integer."""
    return int(getattr(argument, "value", argument))


def has_version(structure: Any, *versions: int) -> bool:
    """Whether a structure says that it is one of these versions."""
    return get_field(structure, "version") in versions


def handle_value(slot: int) -> int:
    """Return the address that stands for the board in that slot."""
    return HANDLE_BASE + (slot + 1) * HANDLE_STEP


def instance_handle_value(slot: int, number: int) -> int:
    """Return the address that stands for a MIG instance of the board in that slot."""
    return handle_value(slot) + number % HANDLE_STEP


def split_handle(handle: Any) -> tuple[int | None, int]:
    """Return the slot that a handle stands for, and the instance there or 0 for the board itself.

    The slot is None for a handle that we never gave.
    """
    address = ctypes.c_void_p.from_buffer(handle).value or 0
    slot, number = divmod(address - HANDLE_BASE, HANDLE_STEP)
    return (slot - 1 if slot > 0 else None), number


def put_address(argument: Any, address: int) -> int:
    """Write an address through a pointer to an opaque handle."""
    ctypes.c_void_p.from_buffer(target(argument)).value = address
    return SUCCESS


def address_of(handle: Any) -> int:
    """Return the address in an opaque handle."""
    return ctypes.c_void_p.from_buffer(handle).value or 0


def overwrite(arguments: tuple[Any, ...], value: int | bytes) -> None:
    """Write one number over every number that a call has returned, or bytes over its text."""
    if isinstance(value, bytes):
        for argument in arguments:
            if isinstance(argument, ctypes.Array):
                argument.raw = value[: len(argument)].ljust(len(argument), b"\0")
        return
    for argument in arguments:
        if not isinstance(argument, _BYREF):
            continue
        result = target(argument)
        if isinstance(result, ctypes.Structure):
            for name, kind, *_ in result._fields_:
                if name != "version" and _is_number(kind):
                    setattr(result, name, value)
        elif _is_number(type(result)):
            result.value = value


def _is_number(kind: type) -> bool:
    simple = ctypes._SimpleCData  # noqa: SLF001 - the base of all numbers and characters
    return issubclass(kind, simple) and kind is not ctypes.c_char
