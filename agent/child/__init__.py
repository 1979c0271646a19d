"""The child process that calls the driver, so that one that hangs or crashes takes nothing else.

Owns both sides and what they say to each other: `serve` is the child, `process` one child as its
parent sees it, `boards` the one or two of them that an agent has, `frames` their words. The parent
never loads the driver's library; the child knows no spool and no network.
"""
