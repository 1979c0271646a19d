"""Who is asking, and what they may see and do: decided before anything is routed.

`identity.py` has the words, `gate.py` stands before the application and asks one of the ways to
know somebody: `oidc.py` and `sessions.py`, or `proxy.py`. `routes.py` is the list of all there is.
"""
