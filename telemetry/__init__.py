"""The vocabulary of all programs: metric catalogue, records, wire, errors, service set-up.

Owns what crosses a process boundary and nothing else. What a program does with it is that
program's own business.
"""
