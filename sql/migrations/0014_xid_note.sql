-- Where the field disagrees about an Xid, next to what is done about it. Locks xid_policy for a
-- moment.

alter table xid_policy add column note text not null default '';
comment on column xid_policy.source is 'who says so; for a code that the site treats otherwise, the override file, the reason, and what the policy says';
