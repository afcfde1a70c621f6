-- An account may be divided among carts, and an order may move from one's part to
-- another's: before it is sent, it is looked for among those of the others.
create index orders_external on orders (external_id);

-- When the merchant's last pause ended: what waited through it has its time anew.
alter table merchants add column resumed_at timestamptz;

---- create above / drop below ----

drop index orders_external;
alter table merchants drop column resumed_at;
