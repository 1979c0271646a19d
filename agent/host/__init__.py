"""The host around the boards: what may slow a job down or mislead the clock beside a GPU's fault.

Owns small readers of /proc and /sys, each with a pure parser, and the one flat table they fill.
Names end in their unit; what a host does not have is left out. Roots are settings, so the tests
read fixture trees. Nothing here needs a privilege.
"""
