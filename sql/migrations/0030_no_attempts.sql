-- The contraction that follows 0028: `attempts` was left for collectors of the version before, whose
-- ledger of starts is `lane_starts` since. Locks a table that nobody uses.

drop table attempts;
