from typing import Any

# The binding ships no types, and most of its error classes are made at import time.
def __getattr__(name: str) -> Any: ...
