-- An account may be divided among carts, and an order may move from one's part to
-- another's: before it is sent, it is looked for among those of the others.
create index orders_external on orders (external_id);
