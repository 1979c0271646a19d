"""The alerts program: from the database to people.

Owns what is called wrong, when it is said, to whom and how often. It reads what the collector
stored and never writes there; its own tables are those of migration 0010. One evaluator is active
at a time, fenced by a lease; what is decided is written down before anybody is told.
"""
