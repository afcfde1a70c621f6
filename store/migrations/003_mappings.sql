-- Translation in both directions, filters, and warehouses that answer later.

-- Kits, of one cart or of all. merchants.aliases_version counts changes of both
-- aliases and kits: it is the version of the mappings that a submission keeps.
create table kits (
  merchant_id text not null references merchants,
  cart        text not null, -- a cart's name, or '' for all carts
  sku         text not null check (sku <> '' and sku = btrim(sku)),
  version     bigint not null,
  changed_at  timestamptz not null default now(),
  changed_by  text not null,
  primary key (merchant_id, cart, sku)
);
create table kit_components (
  merchant_id text not null,
  cart        text not null,
  sku         text not null,
  component   text not null check (component <> '' and component = btrim(component)),
  units       bigint not null check (units between 1 and 1000000),
  primary key (merchant_id, cart, sku, component),
  foreign key (merchant_id, cart, sku) references kits on delete cascade
);
create index kit_components_by_component on kit_components (merchant_id, component);

-- Who changed which mapping when, and what it was before. Append-only.
create table mapping_changes (
  id          bigint generated always as identity primary key,
  merchant_id text not null references merchants,
  version     bigint not null,
  at          timestamptz not null default now(),
  actor       text not null,
  kind        text not null check (kind in ('alias', 'kit')),
  cart        text not null,
  sku         text not null,
  before      text, -- the item code, or the kit's components as "2 x CUP, 1 x BOX"; null: there was none
  after       text  -- null: removed
);
create index mapping_changes_by_sku on mapping_changes (merchant_id, sku, version);
create index mapping_changes_by_version on mapping_changes (merchant_id, version);
create function refuse_mapping_change() returns trigger language plpgsql as $$
begin
  raise exception 'mapping_changes is append-only';
end $$;
create trigger mapping_changes_append_only before update or delete or truncate on mapping_changes
  for each statement execute function refuse_mapping_change();

-- Units of the code that make one unit of the cart's line: more than one in kits.
alter table submission_items add column per bigint not null default 1 check (per > 0);

-- What packages of orders with kits hold of what was ordered. shipment_lines have
-- whole units of lines: a kit is whole with the last of its components.
create table shipment_items (
  shipment_id bigint not null references shipments,
  code        text not null,
  units       bigint not null check (units > 0),
  primary key (shipment_id, code)
);

-- What filters, ship methods and stock of a cart go by; part of the merchant's file.
alter table connections add column rules jsonb not null default '{}';

-- What a cart says of an order besides what is to be shipped, and why a filter left
-- it out. Workers of the release before give no traits.
alter table orders add column traits jsonb not null default '{"unknown": true}', add column skip_reason text,
  add check (state <> 'skipped' or skip_reason is not null);
create index orders_skipped on orders (cart_id, id) where state = 'skipped';

-- A warehouse that has only received the order is expected to answer by then.
alter table orders add column answer_due timestamptz;
create index orders_unanswered on orders (warehouse_id, answer_due) where answer_due is not null;
-- Orders on hold that the warehouse has: it says itself that they are stuck.
create index orders_held_there on orders (warehouse_id, id) where state = 'held' and warehouse_order_id is not null;

-- Orders on hold in order of id: a merchant may have thousands among very many orders.
create index orders_holds on orders (merchant_id, id) where state = 'held';
-- Orders that have not ended, to be counted every few seconds.
create index orders_under_way on orders (merchant_id, state, hold_reason) where state not in ('skipped', 'confirmed', 'sending_cancelled', 'cancelled');

-- Promise 1: nothing that a warehouse has waits to be sent. Workers of the release
-- before know no such holds and would let them go: they are refused. Not valid, so
-- that the table is not read under a lock; it is true of every row before.
alter table orders add constraint orders_not_there
  check (warehouse_order_id is null or state not in ('new', 'skipped', 'submitting', 'in_doubt')) not valid;

-- What a cart was last told, by its location; '' is the connection's own. Takes the
-- place of cart_levels, which workers of the release before still use.
create table sent_levels (
  cart_id   bigint not null references connections,
  sku       text not null,
  location  text not null,
  available numeric(14, 4) not null,
  owed      numeric(14, 4) not null, -- negative: something moved it since; lower each time
  sent_at   timestamptz not null,
  error     text,
  retry_at  timestamptz,
  by_parts  boolean not null default false, -- the cart keeps no stock of it: orders there take of its parts
  primary key (cart_id, sku, location)
);
create index sent_levels_by_parts on sent_levels (cart_id, sku) where by_parts;
insert into sent_levels (cart_id, sku, location, available, owed, sent_at, error, retry_at)
  select cart_id, sku, '', available, owed, sent_at, error, retry_at from cart_levels;
-- What those workers tell a cart while both releases run counts here too.
create function copy_cart_level() returns trigger language plpgsql as $$
begin
  insert into sent_levels (cart_id, sku, location, available, owed, sent_at, error, retry_at)
    values (new.cart_id, new.sku, '', new.available, new.owed, new.sent_at, new.error, new.retry_at)
  on conflict (cart_id, sku, location) do update set available = excluded.available,
    owed = case when excluded.owed < 0 then least(sent_levels.owed, 0) - 1 else excluded.owed end, sent_at = excluded.sent_at, error = excluded.error, retry_at = excluded.retry_at;
  return null;
end $$;
create trigger cart_levels_copied after insert or update on cart_levels for each row
  when (pg_trigger_depth() = 0) execute function copy_cart_level();
-- And what this release tells a cart makes what they know of it stale: they tell it
-- anew, and have a row to mark when they tell it of a shipment.
create function forget_cart_level() returns trigger language plpgsql as $$
begin
  insert into cart_levels (cart_id, sku, available, owed, sent_at) values (new.cart_id, new.sku, new.available, -1, new.sent_at)
    on conflict (cart_id, sku) do update set owed = -1 where cart_levels.owed >= 0;
  return null;
end $$;
create trigger sent_levels_forgotten after insert or update on sent_levels for each row
  when (new.location = '' and pg_trigger_depth() = 0) execute function forget_cart_level();

-- What carts are being sent. One that stays tells of a worker that died, or lives on
-- unheard: by ends_at it has surely done to the cart's stock what it was to do.
create table stock_pushes (
  id        bigint generated always as identity primary key,
  cart_id   bigint not null references connections,
  skus      text[] not null,
  locations text[] not null,
  ends_at   timestamptz not null,
  overtaken boolean not null default false -- another one of the same SKUs began before it ended
);
create index stock_pushes_cart on stock_pushes (cart_id, ends_at);

-- When the pause or resume that counts was asked for, by its merchant's workflow:
-- one that comes late does not undo a later one. NULL: none was asked there yet.
alter table merchants add column pause_asked_at timestamptz;

-- The orders whose units a warehouse's figures may hold, without reading those that ended long ago.
create index orders_at_warehouse on orders (warehouse_id, accepted_at) where state in ('at_warehouse', 'cancel_requested', 'shipped');
create index orders_confirmed on orders (warehouse_id, updated_at) where state = 'confirmed';

-- Another parcel was named in the place of one.
alter table shipments add column relabelled boolean not null default false;

-- More entries of trails that people must know of: a warehouse goes on with what it
-- refused, ships less than was ordered, or names another parcel than a cart was told of.
drop index order_events_alarms;
create index order_events_alarms on order_events (at)
  where kind in ('back_at_cart', 'changed_too_late', 'duplicate_found', 'cancel_too_late', 'shipped_after_all', 'taken_after_all')
    or (kind = 'cancelled' and detail @> '{"asked": false}') or (kind = 'warehouse_status' and detail @> '{"status": "gone"}')
    or (kind = 'shipped_short' and detail @> '{"asked": false}') or (kind = 'relabelled' and detail @> '{"told": true}');

-- What a connection gave us and could not be read, as of the last run of that job.
create table unread (
  id            bigint generated always as identity primary key,
  connection_id bigint not null references connections,
  job           text not null,
  subject       text not null,
  line          integer not null default 0,
  message       text not null,
  since         timestamptz not null default now(),
  unique (connection_id, job, subject, line)
);

---- create above / drop below ----

drop table unread, stock_pushes, sent_levels, shipment_items, mapping_changes, kit_components, kits;
drop trigger cart_levels_copied on cart_levels;
drop function refuse_mapping_change, copy_cart_level, forget_cart_level;
drop index orders_skipped, orders_unanswered, orders_held_there, orders_holds, orders_under_way, orders_at_warehouse, orders_confirmed;
drop index order_events_alarms;
create index order_events_alarms on order_events (at)
  where kind in ('back_at_cart', 'changed_too_late', 'duplicate_found', 'cancel_too_late', 'shipped_after_all')
    or (kind = 'cancelled' and detail @> '{"asked": false}') or (kind = 'warehouse_status' and detail @> '{"status": "gone"}');
alter table shipments drop column relabelled;
alter table merchants drop column pause_asked_at;
alter table orders drop constraint orders_not_there, drop column traits, drop column skip_reason, drop column answer_due;
alter table connections drop column rules;
alter table submission_items drop column per;
