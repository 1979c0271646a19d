-- Recompression by the collector: there is nothing to do where the server has no columnstore. Locks nothing.

select 1;
